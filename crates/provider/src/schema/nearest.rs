//! The name that was probably meant.

/// The most similar of `names`, unless all are too different to be meant.
pub(crate) fn name<'name>(written: &str, names: impl Iterator<Item = &'name String>) -> Option<String> {
    let limit = 1 + written.chars().count() / 3;
    names
        .map(|name| (distance(&written.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name.clone())
}

/// Levenshtein distance: how many letters must be added, dropped or replaced.
fn distance(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (other, above) in two.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(letter != *other)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn nearest_name_is_found_only_when_it_is_near() {
        let names = ["hostname", "hostnames", "parentRefs", "rules"].map(str::to_owned);
        assert_eq!(name("hostnmae", names.iter()).as_deref(), Some("hostname"));
        assert_eq!(name("ParentRefs", names.iter()).as_deref(), Some("parentRefs"));
        assert_eq!(name("parentRef", names.iter()).as_deref(), Some("parentRefs"));
        assert_eq!(name("wholly-other", names.iter()), None);
        assert_eq!(name("", [].iter()), None);
    }
}
