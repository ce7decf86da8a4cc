//! `sealway certs revoke`: shows whose certificate it is, asks, and has it taken back.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use sealway_api::{ObjectKey, ObjectRef, Timestamp};
use sealway_issuer::{Action, Authority, AuthorityId, Change, Issuance, Issued, Revocation, Store, perform};
use serde::Serialize;

use super::Exit;
use super::source::read_state;
use crate::args::{CertsRevokeArgs, OutputFormat};
use crate::certificates::{chain, nearest};
use crate::control::{self, Asked, Outcome};
use crate::document::Document;
use crate::gateway::control_runtime;
use crate::printer::Printer;
use crate::state::existing_state_directory;

pub(super) fn run(args: &CertsRevokeArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let directory = existing_state_directory(args.state_dir.as_deref())?;
    let issued = read_state(&directory)?;
    let Some(found) = Found::of(&issued, &args.serial) else {
        printer.complain(format!("error: {}", missing(&issued, &args.serial)))?;
        return Ok(Exit::No);
    };
    if let Some(revoked) = &found.issuance.revoked {
        printer.complain(format!(
            "error: certificate {} was revoked at {}: nothing is left to do",
            args.serial, revoked.at
        ))?;
        return Ok(Exit::No);
    }
    if !agreed(args, &found.text(args), printer)? {
        printer.complain("left as it was")?;
        return Ok(Exit::No);
    }
    let (certificate, is_current) = (found.issuance.certificate.clone(), found.secret.is_some());
    let reason = Some(args.reason.as_str())
        .filter(|reason| *reason != "unspecified")
        .unwrap_or_default();
    let asked = Asked::Revoke {
        serial: args.serial.clone(),
        reason: reason.to_owned(),
    };
    let answer = control_runtime()
        .context("runtime")?
        .block_on(control::ask(&directory, asked));
    let answer = answer.with_context(|| format!("the gateway on {} cannot be asked", directory.display()))?;
    let is_running = answer.is_some();
    let listed = match answer.map(|answer| answer.outcome) {
        Some(Outcome::Revoked { listed, .. }) => listed,
        Some(Outcome::Refused(refused)) => {
            printer.complain(format!("error: {}: {}", refused.message, refused.hint))?;
            return Ok(Exit::No);
        }
        Some(Outcome::Renewed { .. }) => bail!("the gateway answers something else: does another version run?"),
        None => revoke_here(&directory, &args.serial, reason)?,
    };
    if !listed && is_running {
        printer.talk(
            "it is noted, but the revocation list does not say so yet: the gateway's log and `certs list` say what is in the way",
        )?;
    } else if !listed {
        printer.talk("the key of its CA is not in the state directory: the next `sealway run` signs the revocation list")?;
    }
    if is_current {
        printer.talk(format!("`sealway certs renew {certificate}` issues another"))?;
    }
    report(args, &certificate, listed, printer)
}

/// A certificate that a CA of ours has signed.
struct Found<'a> {
    authority: &'a Authority,
    issuance: &'a Issuance,
    /// The Secret that holds it now.
    secret: Option<&'a ObjectKey>,
}

impl<'a> Found<'a> {
    fn of(issued: &'a Issued, serial: &str) -> Option<Self> {
        let (_, authority, issuance) = find(issued, serial)?;
        let secrets = issued
            .secrets
            .iter()
            .filter(|(_, secret)| secret.certificate == issuance.certificate);
        let mut holding = secrets.filter(|(_, secret)| {
            let text = secret.secret.data.get("tls.crt");
            text.and_then(|text| chain(text.expose()).into_iter().next())
                .is_some_and(|leaf| leaf.serial == serial)
        });
        Some(Self {
            authority,
            issuance,
            secret: holding.next().map(|(key, _)| key),
        })
    }

    /// What will be done.
    fn text(&self, args: &CertsRevokeArgs) -> String {
        let certificate = &self.issuance.certificate;
        let subject = chain(self.authority.chain.as_bytes())
            .into_iter()
            .next()
            .map(|own| own.subject);
        let issuers: Vec<String> = self.authority.issuers.iter().map(ObjectRef::to_string).collect();
        let mut text = format!(
            "serial       {}\nCertificate  {certificate}\nvalid until  {}\nsigned by    {} (Secret {}, {})\nreason       {}\n",
            args.serial,
            self.issuance.not_after,
            subject.unwrap_or_default(),
            self.authority.secret,
            issuers.join(", "),
            args.reason,
        );
        text += "It is revoked for good: who checks the revocation list refuses it from then on.\n";
        if let Some(secret) = self.secret {
            text += &format!(
                "warning: it is the one in use, in Secret {secret}: `sealway certs renew {certificate}` issues another\n"
            );
        }
        text
    }
}

fn find<'a>(issued: &'a Issued, serial: &str) -> Option<(&'a AuthorityId, &'a Arc<Authority>, &'a Issuance)> {
    issued.authorities.iter().find_map(|(id, authority)| {
        let issuance = authority.issuances.iter().find(|issuance| issuance.serial == serial)?;
        Some((id, authority, issuance))
    })
}

fn missing(issued: &Issued, serial: &str) -> String {
    let known = issued.authorities.values().flat_map(|authority| &authority.issuances);
    let near = nearest(serial, known.map(|issuance| issuance.serial.clone()));
    let hint = match near.as_slice() {
        [] => {
            "`sealway certs list` shows serial numbers; one that signed itself, or that another CA signed, cannot be revoked here"
                .to_owned()
        }
        near => format!("did you mean {}?", near.join(" or ")),
    };
    format!("no CA of this state directory has signed a certificate with serial number {serial} that is not over: {hint}")
}

/// Shows what will be done and asks; an error when there is nobody to ask.
fn agreed(args: &CertsRevokeArgs, text: &str, printer: &Printer) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if args.consent.yes {
        printer.talk(text.trim_end())?;
        return Ok(true);
    }
    printer.complain(text.trim_end())?;
    if !stdin.is_terminal() {
        bail!("there is no terminal to ask at: pass --yes if this is what you want");
    }
    printer.complain("Go on? [y/N]")?;
    let mut answer = String::new();
    stdin.lock().take(LONGEST_ANSWER).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// In the place of the gateway that does not run. Whether the list says so already: that takes the CA's key.
fn revoke_here(directory: &Path, serial: &str, reason: &str) -> anyhow::Result<bool> {
    let (store, mut issued, _) = Store::open(directory).map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.hint()))?;
    let now = Timestamp::now();
    // As lists have it.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let Some((id, authority, _)) = find(&issued, serial) else {
        bail!("{}", missing(&issued, serial));
    };
    let (id, mut authority) = (id.clone(), Authority::clone(authority));
    for issuance in authority.issuances.iter_mut().filter(|issuance| issuance.serial == serial) {
        issuance.revoked.get_or_insert_with(|| Revocation {
            at: now,
            reason: reason.to_owned(),
        });
    }
    let has_key = authority.key.is_some();
    let mut keep = |change: Change| {
        store
            .write(&change)
            .map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.hint()))?;
        issued.apply(change);
        anyhow::Ok(())
    };
    keep(Change::Authority(id.clone(), Arc::new(authority)))?;
    if !has_key {
        return Ok(false);
    }
    let action = Action::List {
        authority: id,
        signer: None,
        lifetime: LIST_LIFETIME,
    };
    let changes = perform(&action, &issued, now).context("it is revoked, but the revocation list could not be signed")?;
    for change in changes {
        store
            .write(&change)
            .map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.hint()))?;
    }
    Ok(true)
}

fn report(args: &CertsRevokeArgs, certificate: &ObjectKey, listed: bool, printer: &Printer) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct Report<'a> {
        serial: &'a str,
        certificate: String,
        reason: &'a str,
        listed: bool,
    }
    if args.output.format == OutputFormat::Text {
        printer.data(format!("revoked {} of Certificate {certificate}\n", args.serial))?;
    } else {
        let report = Report {
            serial: &args.serial,
            certificate: certificate.to_string(),
            reason: &args.reason,
            listed,
        };
        printer.document(args.output.format, &Document::new("Revocation", report))?;
    }
    Ok(Exit::Yes)
}

/// In bytes.
const LONGEST_ANSWER: u64 = 100;
/// As the issuer's plan has it; the next run signs another in time.
const LIST_LIFETIME: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
