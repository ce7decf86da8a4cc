//! Names that were probably meant.

/// Nothing that has a name is longer, in bytes.
const LONGEST: usize = 253;
const MOST: usize = 3;

/// The most similar of `names`: none that is too different to be meant.
pub(super) fn nearest(written: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    if written.is_empty() || written.len() > LONGEST {
        return Vec::new();
    }
    let limit = 1 + written.len() / 4;
    let mut near: Vec<(usize, String)> = names
        .filter_map(|name| {
            let distance = if name.starts_with(written) {
                1
            } else {
                distance(written, &name)
            };
            (distance <= limit).then_some((distance, name))
        })
        .collect();
    near.sort();
    let best = near.first().map_or(0, |(distance, _)| *distance);
    let best = near.into_iter().take_while(|(distance, _)| *distance == best);
    best.take(MOST).map(|(_, name)| name).collect()
}

/// Levenshtein distance: how many bytes must be added, dropped or replaced.
fn distance(one: &str, two: &str) -> usize {
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (line, byte) in one.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (other, above) in two.bytes().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(byte != other)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn what_was_probably_meant_is_found() {
        let names = || {
            ["payment/cert", "payment/certs", "order/cert", "vault/tls"]
                .into_iter()
                .map(str::to_owned)
        };
        assert_eq!(nearest("payment/crt", names()), ["payment/cert"]);
        assert_eq!(nearest("pay", names()), ["payment/cert", "payment/certs"]);
        assert_eq!(nearest("vault", names()), ["vault/tls"]);
        assert_eq!(nearest("wholly/other", names()), [""; 0]);
        assert_eq!(nearest("", names()), [""; 0]);
        assert_eq!(nearest(&"a".repeat(1_000_000), names()), [""; 0]);
    }
}
