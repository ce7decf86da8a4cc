//! `sealway certs trust`: a CA goes into the system's trust store, and out again.
//!
//! Input: the arguments, the root folder, the time, and somebody who answers. Output: what was done, and its exit code. Invariant:
//! nothing changes before it was shown and agreed to, and what Sealway has not installed stays.

use std::io::{BufRead, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sealway_api::Timestamp;
use serde::Serialize;
use thiserror::Error;

use super::super::Exit;
use crate::args::{ConsentArgs, OutputArgs, OutputFormat, TrustCommand, TrustInstallArgs, TrustUninstallArgs};
use crate::document::Document;
use crate::gateway::control_runtime;
use crate::printer::Printer;
use crate::state::state_directory;

mod certificate;
mod perform;
mod store;

use certificate::{Certificate, Fault, NameConstraints};
use perform::{Failure, LARGEST_CERTIFICATE, contents, forbidden, perform, read};
use store::{Installing, Plan, Store, System, quoted};

pub(crate) fn run(command: &TrustCommand, printer: &Printer) -> anyhow::Result<Exit> {
    let (TrustCommand::Install(TrustInstallArgs { consent, .. }) | TrustCommand::Uninstall(TrustUninstallArgs { consent, .. })) =
        command;
    let stdin = std::io::stdin();
    let mut conversation = Conversation {
        root: Path::new("/"),
        now: Timestamp::now(),
        program: std::env::current_exe().context("cannot find out where this program is")?,
        by_sudo: std::env::var_os("SUDO_UID").is_some(),
        answers: match consent {
            ConsentArgs { yes: true } => Answers::Yes,
            ConsentArgs { yes: false } if stdin.is_terminal() => Answers::Lines(Box::new(stdin.lock())),
            ConsentArgs { yes: false } => Answers::Nobody,
        },
        printer,
    };
    control_runtime().context("runtime")?.block_on(async {
        match command {
            TrustCommand::Install(args) => conversation.install(args).await,
            TrustCommand::Uninstall(args) => conversation.uninstall(args).await,
        }
    })
}

/// Why it could not be done.
#[derive(Debug, Error)]
enum Refusal {
    #[error("there is no {}: run `sealway demo` first, which makes this CA, or name another with --ca FILE", .0.display())]
    NoDemo(PathBuf),
    #[error("{} {fault}", path.display())]
    Unfit { path: PathBuf, fault: Fault },
    #[error(
        "this system has no trust store that Sealway knows: Debian and Ubuntu (package ca-certificates), Fedora and RHEL \
         (package ca-certificates), macOS"
    )]
    NoStore,
    #[error("{} is there and was not written by Sealway: look at it, and move it away if nothing needs it", .0.display())]
    Occupied(PathBuf),
    #[error("{} may be changed by root only: `{command}`", path.display())]
    NotPermitted { path: PathBuf, command: String },
    #[error("there is no terminal to ask at: pass --yes if this is what you want")]
    Nobody,
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Who answers.
enum Answers {
    /// `--yes` has.
    Yes,
    /// Somebody at a terminal.
    Lines(Box<dyn BufRead>),
    /// No terminal, no `--yes`.
    Nobody,
}

struct Conversation<'a> {
    root: &'a Path,
    now: Timestamp,
    /// This program, as it can be called again.
    program: PathBuf,
    /// Whether the next command of the same person needs `sudo` too.
    by_sudo: bool,
    answers: Answers,
    printer: &'a Printer,
}

impl Conversation<'_> {
    async fn install(&mut self, args: &TrustInstallArgs) -> anyhow::Result<Exit> {
        let path = match &args.ca {
            Some(path) => path.clone(),
            None => {
                let path = state_directory(args.state_dir.as_deref())?.join(DEMO_CA);
                if !path.exists() {
                    return Err(Refusal::NoDemo(path).into());
                }
                path
            }
        };
        let certificate = open(&path)?;
        certificate.fits(self.now).map_err(|fault| Refusal::Unfit {
            path: path.clone(),
            fault,
        })?;
        let system = self.system()?;
        let contents = contents(&system).await.map_err(Refusal::from)?;
        let certificates = [certificate];
        let [certificate] = &certificates;
        let plan = match system.install(certificate, &contents) {
            Installing::Done => return self.report(&system, Outcome::InstalledAlready, &certificates, args.output),
            Installing::BelievedAnyway => return self.report(&system, Outcome::BelievedAnyway, &certificates, args.output),
            Installing::Occupied(path) => return Err(Refusal::Occupied(path).into()),
            Installing::Steps(plan) => plan,
        };
        let again = format!("install --ca {}", quoted(std::path::absolute(&path)?.as_os_str()));
        let undo = format!("uninstall --ca {}", quoted(system.file(certificate.fingerprint).as_os_str()));
        let undo = format!(
            "undo: {}",
            self.command(&undo, self.by_sudo || forbidden(system.written()).is_some())
        );
        let warning = "All programs that use this store will believe whatever this CA signs, within its name constraints.";
        let text = self.shown(&system, &certificates, &plan) + &format!("{warning}\n{undo}\n");
        if !self.agreed(&system, &text, &again)? {
            return self.report(&system, Outcome::Declined, &certificates, args.output);
        }
        perform(&plan, self.printer.is_quiet()).await.map_err(Refusal::from)?;
        self.report(&system, Outcome::Installed, &certificates, args.output)
    }

    async fn uninstall(&mut self, args: &TrustUninstallArgs) -> anyhow::Result<Exit> {
        // Expired, or no CA after all: out it goes.
        let wanted = args.ca.as_deref().map(open).transpose()?;
        let system = self.system()?;
        let contents = contents(&system).await.map_err(Refusal::from)?;
        for path in &contents.changed {
            let path = path.display();
            self.printer
                .complain(format!("warning: {path} is not as Sealway writes it, and stays"))?;
        }
        let (leaving, plan) = system.uninstall(wanted.as_ref().map(|wanted| wanted.fingerprint), &contents);
        if plan.steps.is_empty() {
            return self.report(&system, Outcome::NothingInstalled, &leaving, args.output);
        }
        let again = match &args.ca {
            Some(path) => format!("uninstall --ca {}", quoted(std::path::absolute(path)?.as_os_str())),
            None => "uninstall".to_owned(),
        };
        let text = self.shown(&system, &leaving, &plan);
        if !self.agreed(&system, &text, &again)? {
            return self.report(&system, Outcome::Declined, &leaving, args.output);
        }
        perform(&plan, self.printer.is_quiet()).await.map_err(Refusal::from)?;
        self.report(&system, Outcome::Uninstalled, &leaving, args.output)
    }

    fn system(&self) -> Result<System, Refusal> {
        System::detect(self.root, Path::exists).ok_or(Refusal::NoStore)
    }

    /// This program's command line.
    fn command(&self, arguments: &str, by_sudo: bool) -> String {
        let sudo = if by_sudo { "sudo " } else { "" };
        format!("{sudo}{} certs trust {arguments}", quoted(self.program.as_os_str()))
    }

    fn shown(&self, system: &System, certificates: &[Certificate], plan: &Plan) -> String {
        let mut text = String::new();
        for certificate in certificates {
            let constraints = match &certificate.constraints {
                None => "none: it may vouch for every name".to_owned(),
                Some(constraints) => constraints_text(constraints),
            };
            text += &format!(
                "subject           {}\nSHA-256           {}\nvalid             {} to {}\nname constraints  {constraints}\n",
                certificate.subject, certificate.fingerprint, certificate.not_before, certificate.not_after,
            );
        }
        text += &format!("In {}, Sealway will\n", system.store.name());
        for step in &plan.steps {
            text += &format!("  {step}\n");
        }
        text
    }

    /// Shows what will be done and asks; an error when nobody can agree to it, or root alone may.
    fn agreed(&mut self, system: &System, text: &str, again: &str) -> anyhow::Result<bool> {
        // Who has to answer has to see the question, quiet or not.
        match &self.answers {
            Answers::Lines(_) => self.printer.complain(text.trim_end())?,
            Answers::Yes | Answers::Nobody => self.printer.talk(text.trim_end())?,
        }
        if let Some(path) = forbidden(system.written()) {
            let command = self.command(again, true);
            return Err(Refusal::NotPermitted { path, command }.into());
        }
        match &mut self.answers {
            Answers::Yes => Ok(true),
            Answers::Nobody => Err(Refusal::Nobody.into()),
            Answers::Lines(lines) => {
                self.printer.complain("Go on? [y/N]")?;
                let mut answer = String::new();
                lines.take(LONGEST_ANSWER).read_line(&mut answer)?;
                Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
            }
        }
    }

    fn report(
        &self,
        system: &System,
        outcome: Outcome,
        certificates: &[Certificate],
        output: OutputArgs,
    ) -> anyhow::Result<Exit> {
        if output.format == OutputFormat::Text {
            let store = system.store.name();
            let said = outcome.text();
            if certificates.is_empty() {
                self.printer.data(format!("{said}: {store}\n"))?;
            }
            for certificate in certificates {
                let (subject, fingerprint) = (&certificate.subject, certificate.fingerprint);
                self.printer.data(format!("{said}: {subject} ({fingerprint}), {store}\n"))?;
            }
        } else {
            let certificates = certificates
                .iter()
                .map(|certificate| CertificateReport::of(certificate, system));
            let content = TrustReport {
                outcome,
                store: system.store,
                certificates: certificates.collect(),
            };
            self.printer.document(output.format, &Document::new("Trust", content))?;
        }
        Ok(match outcome {
            Outcome::Declined => Exit::No,
            _ => Exit::Yes,
        })
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Installed,
    InstalledAlready,
    BelievedAnyway,
    Uninstalled,
    NothingInstalled,
    Declined,
}

impl Outcome {
    fn text(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::InstalledAlready => "installed already",
            Self::BelievedAnyway => "believed already, and not because of Sealway",
            Self::Uninstalled => "uninstalled",
            Self::NothingInstalled => "nothing there that Sealway has installed",
            Self::Declined => "left as it was",
        }
    }
}

/// The answer as a document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TrustReport<'a> {
    outcome: Outcome,
    store: Store,
    certificates: Vec<CertificateReport<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateReport<'a> {
    subject: &'a str,
    sha256: String,
    not_before: Timestamp,
    not_after: Timestamp,
    name_constraints: Option<&'a NameConstraints>,
    file: PathBuf,
}

impl<'a> CertificateReport<'a> {
    fn of(certificate: &'a Certificate, system: &System) -> Self {
        Self {
            subject: &certificate.subject,
            sha256: certificate.fingerprint.hex(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            name_constraints: certificate.constraints.as_ref(),
            file: system.file(certificate.fingerprint),
        }
    }
}

fn open(path: &Path) -> Result<Certificate, Refusal> {
    Certificate::read(&read(path, LARGEST_CERTIFICATE)?).map_err(|fault| Refusal::Unfit {
        path: path.to_path_buf(),
        fault,
    })
}

fn constraints_text(constraints: &NameConstraints) -> String {
    let only = (!constraints.permitted.is_empty()).then(|| format!("only {}", constraints.permitted.join(", ")));
    let never = (!constraints.excluded.is_empty()).then(|| format!("never {}", constraints.excluded.join(", ")));
    only.into_iter().chain(never).collect::<Vec<_>>().join("; ")
}

/// Below the state directory.
const DEMO_CA: &str = "demo/ca.crt";
/// In bytes.
const LONGEST_ANSWER: u64 = 100;

#[cfg(test)]
mod tests;
