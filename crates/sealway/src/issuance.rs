//! The embedded issuer beside the gateway.
//!
//! Job: give the issuer's worker the resources of each load, and give what comes of it to the rest of the process: Secrets and ConfigMaps
//! that the manifests lack, statuses, findings. Input: loads and commands. Output: a channel that always holds the newest [`Outlook`].
//! Invariant: what the manifests carry is never replaced by what was issued.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use sealway_api::{Kind, ObjectRef, Resources, Timestamp};
use sealway_core::{Cause, Problem, RevocationList, Told};
use sealway_issuer::{
    Behaviour, Command, Finding, Hook, Issued, IssuerStatuses, Keeping, OpenFault, Outlook, Settings, Severity, Store, Worker,
    write_pem,
};
use sealway_provider::files::Loaded;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::revocation::Lists;

/// What the command line says of issuing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// How to issue.
    pub(crate) settings: Settings,
    /// Where what is issued is kept.
    pub(crate) place: Place,
    /// `--export-certs`.
    pub(crate) export: Option<PathBuf>,
    /// `--on-renew`.
    pub(crate) on_renew: Option<String>,
}

/// Where what is issued is kept.
#[derive(Clone, Debug, Default)]
pub(crate) enum Place {
    /// Nowhere: it ends with the process.
    #[default]
    Memory,
    /// In this state directory.
    Directory(PathBuf),
    /// There is no such directory, and this says why. It matters only to who has something to issue.
    Unknown(String),
}

impl Place {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::Memory | Self::Unknown(_) => None,
        }
    }
}

/// The issuer, seen from the rest of the process.
#[derive(Clone, Debug)]
pub(crate) struct Issuance {
    /// The newest outlook.
    pub(crate) outlook: watch::Receiver<Arc<Outlook>>,
    /// Renewals and revocations that are asked for.
    pub(crate) commands: mpsc::Sender<Command>,
}

/// The issuer's own end: to be run.
pub(crate) struct Issuing {
    setup: Setup,
    worker: Option<Worker>,
    loads: watch::Receiver<Loaded>,
    commands: mpsc::Receiver<Command>,
    outlook: watch::Sender<Arc<Outlook>>,
}

/// Opens what was issued before, issues what is missing (as far as one step goes), and hands both ends over.
pub(crate) async fn open(setup: Setup, loads: watch::Receiver<Loaded>) -> (Issuance, Issuing) {
    let (publish, outlook) = watch::channel(Arc::default());
    let (ask, commands) = mpsc::channel(COMMANDS_MAX);
    let mut issuing = Issuing {
        setup,
        worker: None,
        loads,
        commands,
        outlook: publish,
    };
    issuing.try_open().await;
    let issuance = Issuance { outlook, commands: ask };
    (issuance, issuing)
}

impl Issuing {
    /// Where it keeps what is issued, if anywhere.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        self.setup.place.directory().map(Path::to_path_buf)
    }

    /// Whether we do better than cert-manager, or as it does.
    pub(crate) fn behaviour(&self) -> Behaviour {
        self.setup.settings.behaviour
    }

    /// Issues until nobody has loads to give any more.
    pub(crate) async fn run(mut self) {
        while self.worker.is_none() {
            tokio::select! {
                changed = self.loads.changed() => if changed.is_err() { return },
                // Another process may let go of the directory.
                () = sleep(RETRY) => {}
            }
            self.try_open().await;
        }
        let Some(worker) = self.worker.take() else { return };
        let (publish, resources) = watch::channel(Arc::clone(&self.loads.borrow_and_update().resources));
        let feed = async move {
            while self.loads.changed().await.is_ok() {
                publish.send_replace(Arc::clone(&self.loads.borrow_and_update().resources));
            }
        };
        tokio::join!(feed, sealway_issuer::run(worker, resources, self.commands, self.outlook));
    }

    /// Opens the worker if there is anything for it to do, and has it do its first step.
    async fn try_open(&mut self) {
        let resources = Arc::clone(&self.loads.borrow_and_update().resources);
        let is_wanted = is_wanted(&resources);
        if !is_wanted && !self.setup.place.directory().is_some_and(has_state) {
            return;
        }
        let setup = self.setup.clone();
        let opened = spawn_blocking(move || {
            let (mut worker, runner) = setup.open()?;
            // At the first start this issues what is asked for; at the next there is nothing left to do, and what was issued is served from
            // the first moment.
            let outlook = worker.step(Timestamp::now(), &resources);
            Ok::<_, Refusal>((worker, outlook, runner))
        });
        match opened.await {
            Ok(Ok((worker, outlook, runner))) => {
                if let Some(runner) = runner {
                    tokio::spawn(runner.run());
                }
                self.worker = Some(worker);
                self.outlook.send_replace(outlook);
            }
            Ok(Err(refusal)) => {
                // Who has nothing to be issued does not care who else issues, but serves what was.
                let is_nobodys = !is_wanted && matches!(refusal, Refusal::State(OpenFault::Locked { .. }));
                let refusal = Some(refusal).filter(|_| !is_nobodys);
                let setup = self.setup.clone();
                let resources = Arc::clone(&self.loads.borrow().resources);
                let seen = spawn_blocking(move || without_worker(&setup, &resources, refusal.as_ref())).await;
                let Ok(outlook) = seen else { return };
                // This is tried again and again; nobody wants to hear the same every few seconds.
                self.outlook.send_if_modified(|last| {
                    let differs = **last != outlook;
                    if differs {
                        *last = Arc::new(outlook);
                    }
                    differs
                });
            }
            Err(panic) => tracing::error!(%panic, "defect: opening the state directory panicked; nothing is issued"),
        }
    }
}

/// Hands on the revocation lists of our own CAs, as often as there are new ones.
pub(crate) async fn tell_lists(mut outlook: watch::Receiver<Arc<Outlook>>, lists: watch::Sender<Lists>) {
    loop {
        let found = revocation_lists(&outlook.borrow_and_update().issued);
        lists.send_if_modified(|told| {
            let differs = *told != found;
            *told = found;
            differs
        });
        if outlook.changed().await.is_err() {
            return;
        }
    }
}

fn revocation_lists(issued: &Issued) -> Lists {
    let signed = issued.authorities.values().filter_map(|authority| {
        let der = authority.revocation_list.as_ref()?;
        let chain = sealway_issuer::read_chain(authority.chain.as_bytes()).ok()?;
        // Of several issuers with one CA each publishes the same list.
        let issuer = authority.issuers.first()?.clone();
        RevocationList::issued(issuer, chain.into_iter().map(CertificateDer::from).collect(), der).ok()
    });
    signed.map(Arc::new).collect()
}

impl Setup {
    fn open(&self) -> Result<(Worker, Option<sealway_issuer::HookRunner>), Refusal> {
        if let Place::Unknown(why) = &self.place {
            return Err(Refusal::NoPlace(why.clone()));
        }
        let state = self.place.directory();
        if let Some(state) = state {
            // So that the export sees where it really is; an error is told by who opens it.
            let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
        }
        let (hook, runner) = self.on_renew.clone().map(Hook::new).unzip();
        let keeping = state.map_or(Keeping::Memory, Keeping::Directory);
        let settings = Settings {
            system_authorities: system_authorities(),
            ..self.settings.clone()
        };
        let worker = Worker::open(settings, keeping, self.export.as_deref(), hook).map_err(Refusal::State)?;
        Ok((worker, runner))
    }
}

/// What there is when nothing can be issued: what was issued before is served as far as it can be read.
fn without_worker(setup: &Setup, resources: &Resources, refusal: Option<&Refusal>) -> Outlook {
    let issued = setup
        .place
        .directory()
        .and_then(|directory| Store::peek(directory).ok())
        .unwrap_or_default();
    let plan = sealway_issuer::plan(Timestamp::now(), resources, &issued, &setup.settings);
    let mut findings: Vec<Finding> = refusal.map(|refusal| refusal.finding(setup)).into_iter().collect();
    findings.extend(plan.findings);
    Outlook {
        overlay: Arc::new(plan.overlay),
        statuses: plan.statuses,
        findings,
        issued: Arc::new(issued),
        ..Outlook::default()
    }
}

/// Why nothing can be issued. What is served goes on.
#[derive(Debug)]
enum Refusal {
    NoPlace(String),
    State(OpenFault),
}

impl Refusal {
    fn finding(&self, setup: &Setup) -> Finding {
        let (label, message, hint) = match self {
            Self::NoPlace(why) => (
                "state-directory-unknown",
                why.clone(),
                "pass --state-dir DIR: a CA that is not kept would be another one after a restart".to_owned(),
            ),
            Self::State(fault) => ("state-not-opened", fault.to_string(), fault.hint()),
        };
        Finding {
            severity: Severity::Error,
            label,
            object: ObjectRef::new(
                Kind::Other("--state-dir".to_owned()),
                "",
                setup.place.directory().unwrap_or(Path::new("")).display().to_string(),
            ),
            field: String::new(),
            message: format!("nothing is issued: {message}"),
            hint: Some(hint),
        }
    }
}

/// The machine's authorities as PEM, for Bundles with `useDefaultCAs`; `None` when it has none.
fn system_authorities() -> Option<Arc<str>> {
    let certificates = rustls_native_certs::load_native_certs().certs;
    let pem: String = certificates
        .iter()
        .map(|certificate| write_pem("CERTIFICATE", certificate))
        .collect();
    (!pem.is_empty()).then(|| pem.into())
}

/// Whether the manifests ask for anything that an issuer does.
pub(crate) fn is_wanted(resources: &Resources) -> bool {
    let is_annotated = |annotations: &std::collections::BTreeMap<String, String>| {
        annotations.keys().any(|key| key.starts_with("cert-manager.io/"))
    };
    !resources.certificates.is_empty()
        || !resources.issuers.is_empty()
        || !resources.cluster_issuers.is_empty()
        || !resources.bundles.is_empty()
        || resources
            .gateways
            .values()
            .any(|gateway| is_annotated(&gateway.metadata.annotations))
}

/// Whether an earlier process has issued anything.
fn has_state(directory: &Path) -> bool {
    directory.join("secrets").is_dir()
}

/// `resources` with what the issuer adds to them. What was issued lies beneath the manifests: one that has just left them uncovers it,
/// before the worker has looked again.
pub(crate) fn with_overlay(resources: &Arc<Resources>, outlook: &Outlook) -> Arc<Resources> {
    let Outlook { overlay, issued, .. } = outlook;
    if overlay.secrets.is_empty() && overlay.config_maps.is_empty() && issued.secrets.is_empty() {
        return Arc::clone(resources);
    }
    let mut whole = Resources::clone(resources);
    let is_refused = |key| resources.refused.contains(&ObjectRef::of(Kind::Secret, key));
    let beneath = issued.secrets.iter().filter(|(key, _)| !is_refused(key));
    let beneath = beneath.map(|(key, issued)| (key, &issued.secret));
    for (key, secret) in overlay.secrets.iter().chain(beneath) {
        whole.secrets.entry(key.clone()).or_insert_with(|| Arc::clone(secret));
    }
    for (key, config_map) in &overlay.config_maps {
        whole.config_maps.entry(key.clone()).or_insert_with(|| Arc::clone(config_map));
    }
    Arc::new(whole)
}

/// What the issuer has found, as problems like all others.
pub(crate) fn problems(findings: &[Finding]) -> impl Iterator<Item = Problem> + '_ {
    findings.iter().map(|finding| {
        let told = Told {
            severity: match finding.severity {
                Severity::Error => sealway_core::Severity::Error,
                Severity::Warning => sealway_core::Severity::Warning,
                Severity::Note => sealway_core::Severity::Note,
            },
            code: finding.label,
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        };
        Problem::new(finding.object.clone(), finding.field.clone(), Cause::Told(Box::new(told)))
    })
}

/// Adds the statuses of certificates, issuers and bundles to those of the gateway, in the same shape (docs/json.md).
pub(crate) fn add_statuses(statuses: &mut Value, of_issuer: &IssuerStatuses) {
    let Some(statuses) = statuses.as_object_mut() else { return };
    statuses.insert("certificates".to_owned(), by_text(of_issuer.certificates.iter()));
    statuses.insert("issuers".to_owned(), by_text(of_issuer.issuers.iter()));
    statuses.insert("clusterIssuers".to_owned(), by_text(of_issuer.cluster_issuers.iter()));
    statuses.insert("bundles".to_owned(), by_text(of_issuer.bundles.iter()));
}

fn by_text<'a, K: ToString + 'a, S: Serialize + 'a>(statuses: impl Iterator<Item = (&'a K, &'a S)>) -> Value {
    let entry = |(key, status): (&K, &S)| (key.to_string(), serde_json::to_value(status).unwrap_or(Value::Null));
    Value::Object(statuses.map(entry).collect())
}

/// Commands that may wait.
const COMMANDS_MAX: usize = 16;
const RETRY: Duration = Duration::from_secs(5);
