//! The documents as text for people.

use std::fmt::Write as _;

use annotate_snippets::normalize_untrusted_str as plain;
use anstyle::{AnsiColor, Style};

use super::inspection::Past;
use super::{AuthorityEntry, Details, Entry, Inspection, Inventory, Place, State};

/// One line for each certificate, the most pressing first, then one for each CA.
pub(crate) fn inventory_text(inventory: &Inventory) -> String {
    if inventory.certificates.is_empty() && inventory.authorities.is_empty() {
        return "no certificates\n".to_owned();
    }
    let mut rows =
        vec![["SECRET", "STATE", "ENDS", "ISSUER", "SERVED BY", "NAMES", "SERIAL"].map(|head| (head.to_owned(), HEAD))];
    rows.extend(inventory.certificates.iter().map(row));
    let mut text = columns(&rows);
    if !inventory.authorities.is_empty() {
        let mut rows = vec![["CA", "SIGNS FOR", "SIGNED", "REVOKED", "LIST", "STATE"].map(|head| (head.to_owned(), HEAD))];
        rows.extend(inventory.authorities.iter().map(authority_row));
        text.push('\n');
        text += &columns(&rows);
    }
    for entry in &inventory.certificates {
        let message = entry.message.as_ref().filter(|_| entry.state != State::Ready);
        let unseen = entry.seen.as_ref().filter(|seen| !seen.holds).map(|seen| &seen.message);
        for message in message.into_iter().chain(unseen) {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}: {}", plain(&entry.key().to_string()), plain(message));
        }
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn row(entry: &Entry) -> [(String, Style); 7] {
    let leaf = entry.leaf.as_ref();
    let mut names = leaf.map(|leaf| leaf.names.clone()).unwrap_or_default();
    if names.is_empty() {
        names.extend(leaf.map(|leaf| leaf.subject.clone()));
    }
    let issuer = entry.issuer.clone().or_else(|| leaf.map(|leaf| leaf.signed_by.clone()));
    [
        (entry.key().to_string(), PLAIN),
        (entry.state.text().to_owned(), style(entry.state)),
        (entry.seconds_left.map_or_else(none, until), ending(entry.seconds_left)),
        (issuer.unwrap_or_else(none), PLAIN),
        (shortened(entry.served_by.iter().map(place).collect(), 2), PLAIN),
        (shortened(names, 3), PLAIN),
        (leaf.map_or_else(none, |leaf| leaf.serial.clone()), PLAIN),
    ]
}

fn authority_row(authority: &AuthorityEntry) -> [(String, Style); 6] {
    let state = if authority.retired {
        ("retired", OPEN)
    } else {
        ("in use", PLAIN)
    };
    [
        (authority.secret.clone(), PLAIN),
        (shortened(authority.issuers.clone(), 2), PLAIN),
        (authority.issuances.to_string(), PLAIN),
        (authority.revoked.len().to_string(), PLAIN),
        (
            authority.list_number.map_or_else(none, |number| format!("number {number}")),
            PLAIN,
        ),
        (state.0.to_owned(), state.1),
    ]
}

/// Everything, a field a line.
pub(crate) fn inspection_text(inspection: &Inspection) -> String {
    let mut text = String::new();
    if let Some(entry) = &inspection.certificate {
        text += &fields(&entry_fields(entry));
    }
    let titled = |title: &str, details: &Details| format!("\n{title}\n{}", fields(&details_fields(details)));
    for (place, details) in inspection.chain.iter().enumerate() {
        let title = if place == 0 {
            "certificate".to_owned()
        } else {
            format!("above it ({place})")
        };
        text += &titled(&title, details);
    }
    for details in &inspection.authorities {
        text += &titled("authority in ca.crt", details);
    }
    if !inspection.history.is_empty() {
        text += "\nsigned for this Certificate\n";
        for past in &inspection.history {
            text += &past_line(past);
        }
    }
    text.trim_start_matches('\n').to_owned()
}

fn entry_fields(entry: &Entry) -> Vec<(&'static str, Vec<String>)> {
    let state = match &entry.message {
        Some(message) if message.starts_with(entry.state.text()) => message.clone(),
        Some(message) => format!("{}: {message}", entry.state.text()),
        None => entry.state.text().to_owned(),
    };
    vec![
        ("Secret", vec![entry.key().to_string()]),
        ("Certificate", entry.certificate.iter().cloned().collect()),
        ("issuer", entry.issuer.iter().cloned().collect()),
        ("state", vec![state]),
        ("ends", entry.seconds_left.map(until).into_iter().collect()),
        ("renewal", entry.renewal_time.iter().map(ToString::to_string).collect()),
        ("revision", entry.revision.iter().map(ToString::to_string).collect()),
        ("served by", entry.served_by.iter().map(place_and_names).collect()),
        ("handshakes", entry.seen.iter().map(|seen| seen.message.clone()).collect()),
    ]
}

fn details_fields(details: &Details) -> Vec<(&'static str, Vec<String>)> {
    let one = |text: &str| vec![text.to_owned()];
    let constraints = details.name_constraints.iter().flat_map(|constraints| {
        let only = constraints.permitted.iter().map(|name| format!("only {name}"));
        only.chain(constraints.excluded.iter().map(|name| format!("never {name}")))
    });
    let ca = match (details.is_ca, details.path_length) {
        (false, _) => "no".to_owned(),
        (true, None) => "yes".to_owned(),
        (true, Some(length)) => format!("yes, with at most {length} CAs below it"),
    };
    vec![
        ("subject", one(&details.subject)),
        ("signed by", one(&details.signed_by)),
        ("serial", one(&details.serial)),
        ("SHA-256", one(&details.sha256)),
        ("valid", vec![format!("{} to {}", details.not_before, details.not_after)]),
        ("key", one(&details.key)),
        ("signature", one(&details.signature)),
        ("CA", vec![ca]),
        (
            "usages",
            vec![details.usages.join(", ")]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect(),
        ),
        ("names", details.names.clone()),
        ("name constraints", constraints.collect()),
        ("subject key id", details.subject_key_id.iter().cloned().collect()),
        ("authority key id", details.authority_key_id.iter().cloned().collect()),
        ("revocation list", details.crl_distribution_points.clone()),
        ("OCSP", details.ocsp_servers.clone()),
        ("CA certificate", details.issuing_certificates.clone()),
    ]
}

fn past_line(past: &Past) -> String {
    let revoked = past.revoked_at.map(|at| {
        let reason = past.reason.as_deref().filter(|reason| !reason.is_empty());
        format!(", revoked at {at} ({})", reason.unwrap_or("unspecified"))
    });
    let current = if past.current { ", in the Secret now" } else { "" };
    let serial = plain(&past.serial);
    format!(
        "  {serial} until {}{current}{}\n",
        past.not_after,
        revoked.unwrap_or_default()
    )
}

/// Fields that have something, values one below the other.
fn fields(fields: &[(&str, Vec<String>)]) -> String {
    let mut text = String::new();
    for (name, values) in fields {
        for (place, value) in values.iter().enumerate() {
            let name = if place == 0 { *name } else { "" };
            let _ = writeln!(text, "  {name:16}  {}", plain(value));
        }
    }
    text
}

fn place(place: &Place) -> String {
    match (&place.listener, place.port) {
        (Some(listener), Some(port)) => format!("{} {listener}:{port}", place.gateway),
        _ => format!("{} (as a client)", place.gateway),
    }
}

fn place_and_names(at: &Place) -> String {
    if at.names.is_empty() {
        place(at)
    } else {
        format!("{} for {}", place(at), at.names.join(", "))
    }
}

/// The first few, and how many more there are.
fn shortened(list: Vec<String>, most: usize) -> String {
    let more = list.len().saturating_sub(most);
    let mut text = list.into_iter().take(most).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, " +{more}");
    }
    if text.is_empty() { none() } else { text }
}

fn none() -> String {
    "-".to_owned()
}

/// The largest unit says enough.
fn until(seconds: i64) -> String {
    let length = seconds.unsigned_abs();
    let text = match length {
        0..120 => format!("{length}s"),
        120..7_200 => format!("{}m", length / 60),
        7_200..172_800 => format!("{}h", length / 3_600),
        _ => format!("{}d", length / 86_400),
    };
    if seconds < 0 {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

fn columns<const COLUMNS: usize>(rows: &[[(String, Style); COLUMNS]]) -> String {
    let rows: Vec<[(String, Style); COLUMNS]> = rows
        .iter()
        .map(|row| row.clone().map(|(text, style)| (plain(&text), style)))
        .collect();
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, (text, _)) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|((text, style), width)| {
            let space = " ".repeat(width - text.chars().count());
            format!("{style}{text}{style:#}{space}")
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn style(state: State) -> Style {
    match state {
        State::Ready => GOOD,
        State::Issuing | State::NotYetValid | State::LeftOver => OPEN,
        State::Damaged | State::Revoked | State::Expired | State::Failing | State::NotReady => BAD,
    }
}

fn ending(seconds: Option<i64>) -> Style {
    match seconds {
        Some(seconds) if seconds < DAY => BAD,
        Some(seconds) if seconds < 7 * DAY => OPEN,
        _ => PLAIN,
    }
}

const DAY: i64 = 86_400;
const PLAIN: Style = Style::new();
const HEAD: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const OPEN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();
