//! Lists in messages.

/// In backquotes; `nothing` when there is none.
pub(super) fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    some_of(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// In backquotes, however many: values to choose from.
pub(super) fn all_quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The first few, and how many more there are: a message is to be read.
pub(crate) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.get(SHOWN..) {
        Some(rest) if !rest.is_empty() => {
            let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>();
            format!("{} and {} more", shown.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_say_how_much_they_leave_out() {
        let names = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
        assert_eq!(some_of(&names(8)), "0, 1, 2, 3, 4, 5, 6, 7");
        assert_eq!(some_of(&names(1024)), "0, 1, 2, 3, 4, 5, 6, 7 and 1016 more");
        assert_eq!(quoted(&[]), "nothing");
    }
}
