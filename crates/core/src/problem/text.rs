//! Lists in messages.

/// In backquotes; `nothing` when there is none.
pub(super) fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    some_of(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
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
