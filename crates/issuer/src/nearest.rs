//! Names that may have been meant.

/// The most similar of `names`; none that is too different to have been meant.
#[must_use]
pub fn nearest(written: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    if written.is_empty() || written.len() > LONGEST {
        return Vec::new();
    }
    let limit = 1 + written.len() / 4;
    // A name without its namespace, or one that was not typed to its end, is as good as a letter too few.
    let is_part = |name: &str| name.starts_with(written) || name.rsplit('/').next() == Some(written);
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .filter_map(|name| {
            let distance = if is_part(&name) { 1 } else { distance(written, &name) };
            (distance <= limit).then_some((distance, name))
        })
        .collect();
    near.sort();
    near.dedup();
    // The best, and those that are as good.
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.retain(|(distance, _)| *distance == best);
    near.truncate(MOST);
    near.into_iter().map(|(_, name)| name).collect()
}

/// How many bytes must be added, dropped or replaced.
fn distance(one: &str, two: &str) -> usize {
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (line, byte) in one.bytes().enumerate() {
        let mut left = line + 1;
        let mut diagonal = line;
        for (place, other) in two.bytes().enumerate() {
            let Some(above) = row.get(place + 1).copied() else { break };
            let next = (diagonal + usize::from(byte != other)).min(left + 1).min(above + 1);
            if let Some(cell) = row.get_mut(place) {
                *cell = left;
            }
            diagonal = above;
            left = next;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Nothing that has a name is longer, in bytes.
const LONGEST: usize = 512;
const MOST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_comes_first() {
        let names = || ["payment/cert", "payment/certs", "order/client", "vault/tls"].map(str::to_owned);
        assert_eq!(nearest("payment/crt", names()), ["payment/cert"]);
        assert_eq!(nearest("pay", names()), ["payment/cert", "payment/certs"]);
        assert_eq!(nearest("client", names()), ["order/client"]);
        assert_eq!(nearest("vault", names()), ["vault/tls"]);
        assert_eq!(nearest("wholly/another", names()), [""; 0]);
        assert_eq!(nearest(&"a".repeat(100_000), names()), [""; 0]);
    }

    #[test]
    fn distances_are_levenshteins() {
        for (one, two, expected) in [
            ("", "", 0),
            ("kitten", "sitting", 3),
            ("abc", "", 3),
            ("", "abc", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(one, two), expected, "{one} {two}");
        }
    }
}
