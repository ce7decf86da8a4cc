//! `sealway certs renew`: asks the gateway that runs, else issues here, else leaves word for the next run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use sealway_api::{ObjectKey, Timestamp};
use sealway_issuer::{Attempt, Change, Issued, Keeping, Settings, Store, Worker};
use serde::Serialize;

use super::Exit;
use super::source::read_state;
use crate::args::{CertsRenewArgs, OutputArgs, OutputFormat};
use crate::certificates::nearest;
use crate::control::{self, Answer, Asked, Outcome, Refused};
use crate::document::Document;
use crate::gateway::control_runtime;
use crate::manifests;
use crate::printer::Printer;
use crate::state::existing_state_directory;

pub(super) fn run(args: &CertsRenewArgs, printer: &Printer) -> anyhow::Result<Exit> {
    let directory = existing_state_directory(args.state_dir.as_deref())?;
    let wanted: BTreeSet<ObjectKey> = if args.all {
        known(&read_state(&directory)?)
    } else {
        let named = args.certificates.iter();
        named.map(|(namespace, name)| ObjectKey::new(namespace, name)).collect()
    };
    if wanted.is_empty() {
        printer.talk(format!("nothing was issued yet, as {} has it", directory.display()))?;
    }
    let results = match running(&directory, &wanted)? {
        Some(results) => results,
        None if args.paths.is_empty() => noted(&directory, &wanted, printer)?,
        None => issued_here(args, &directory, &wanted)?,
    };
    report(&results, args.output, printer)
}

/// Certificates that were issued, or tried.
fn known(issued: &Issued) -> BTreeSet<ObjectKey> {
    let of_secrets = issued.secrets.values().map(|issued| issued.certificate.clone());
    of_secrets.chain(issued.attempts.keys().cloned()).collect()
}

/// What the gateway on this state directory says; `None` when none runs.
fn running(directory: &Path, wanted: &BTreeSet<ObjectKey>) -> anyhow::Result<Option<Vec<Renewal>>> {
    control_runtime().context("runtime")?.block_on(async {
        let mut results = Vec::new();
        for key in wanted {
            let asked = Asked::Renew {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
            };
            let answer = control::ask(directory, asked).await;
            let answer = answer.with_context(|| format!("the gateway on {} cannot be asked", directory.display()))?;
            match answer {
                Some(answer) => results.push(Renewal::of(key, answer)),
                None if results.is_empty() => return Ok(None),
                None => anyhow::bail!(
                    "the gateway has ended in between; {} of {} are renewed",
                    results.len(),
                    wanted.len()
                ),
            }
        }
        Ok(Some(results))
    })
}

/// Issues by the manifests, in the place of the gateway that does not run.
fn issued_here(args: &CertsRenewArgs, directory: &Path, wanted: &BTreeSet<ObjectKey>) -> anyhow::Result<Vec<Renewal>> {
    let (_, loaded) = manifests::open(&args.paths)?;
    let settings = Settings {
        behaviour: args.issuer_behaviour.into(),
        ..Settings::default()
    };
    let mut worker = Worker::open(settings, Keeping::Directory(directory), None, None)
        .map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.hint()))?;
    let renewed = wanted.iter().map(|key| {
        let done = worker.renew(Timestamp::now(), &loaded.resources, key);
        Renewal::of(key, Answer::renewed(&done))
    });
    Ok(renewed.collect())
}

/// Leaves word for the next run.
fn noted(directory: &Path, wanted: &BTreeSet<ObjectKey>, printer: &Printer) -> anyhow::Result<Vec<Renewal>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (store, issued, _) = Store::open(directory).map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.hint()))?;
    let known = known(&issued);
    let mut results = Vec::new();
    for key in wanted {
        if !known.contains(key) {
            results.push(Renewal::unknown(key, &known));
            continue;
        }
        let attempt = Attempt {
            renewal_asked: Some(Timestamp::now()),
            renewal_of: issued
                .secrets
                .values()
                .filter(|secret| secret.certificate == *key)
                .map(|secret| secret.revision)
                .max()
                .or(Some(0)),
            ..issued
                .attempts
                .get(key)
                .map(|attempt| Attempt::clone(attempt))
                .unwrap_or_default()
        };
        store
            .write(&Change::Attempt(key.clone(), Arc::new(attempt)))
            .map_err(|fault| anyhow::anyhow!("{fault}: {}", fault.hint()))?;
        results.push(Renewal::new(key, Done::Noted));
    }
    printer.talk("no gateway runs on this state directory: pass the manifests with -f to issue at once")?;
    Ok(results)
}

/// What became of one Certificate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Renewal {
    certificate: String,
    #[serde(flatten)]
    done: Done,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Done {
    Renewed { secret: String, revision: u64, serial: String },
    Noted,
    Refused(Refused),
}

impl Renewal {
    fn new(key: &ObjectKey, done: Done) -> Self {
        Self {
            certificate: key.to_string(),
            done,
        }
    }

    fn of(key: &ObjectKey, answer: Answer) -> Self {
        let done = match answer.outcome {
            Outcome::Renewed {
                secret,
                revision,
                serial,
                ..
            } => Done::Renewed {
                secret,
                revision,
                serial,
            },
            Outcome::Refused(refused) => Done::Refused(refused),
            Outcome::Revoked { .. } => Done::Refused(Refused::strange()),
        };
        Self::new(key, done)
    }

    fn unknown(key: &ObjectKey, known: &BTreeSet<ObjectKey>) -> Self {
        let near = nearest(&key.to_string(), known.iter().map(ObjectKey::to_string));
        let hint = match near.as_slice() {
            [] => "`sealway certs list` shows those that there are; one that was never issued needs the manifests: -f".to_owned(),
            near => format!("did you mean {}?", near.join(" or ")),
        };
        let message = format!("Certificate {key} was never issued here");
        Self::new(key, Done::Refused(Refused::new("not-found", message, hint)))
    }
}

fn report(results: &[Renewal], output: OutputArgs, printer: &Printer) -> anyhow::Result<Exit> {
    if output.format == OutputFormat::Text {
        for Renewal { certificate, done } in results {
            match done {
                Done::Renewed {
                    secret,
                    revision,
                    serial,
                } => printer.data(format!(
                    "renewed {certificate}: Secret {secret} has serial {serial} (revision {revision})\n"
                ))?,
                Done::Noted => printer.data(format!("noted {certificate}: the next `sealway run` issues it anew\n"))?,
                Done::Refused(Refused { message, hint, .. }) => printer.complain(format!("error: {message}: {hint}"))?,
            }
        }
    } else {
        #[derive(Serialize)]
        struct Renewals<'a> {
            renewals: &'a [Renewal],
        }
        printer.document(output.format, &Document::new("Renewals", Renewals { renewals: results }))?;
    }
    let refused = results.iter().any(|result| matches!(result.done, Done::Refused(_)));
    Ok(if refused { Exit::No } else { Exit::Yes })
}
