//! The one who does what the plan says: plan, perform, keep, and again until nothing is left to do.
//!
//! Input: resources, commands, the time. Output: an [`Outlook`] after each step; exported files and the hook's runs on the way.
//! Invariants: nothing is in memory that is not kept; what cannot be done is tried again later and later, never in a loop; and each step
//! ends, whatever the plan says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, ObjectRef, Resources, Timestamp};

use self::holds::Holds;
use crate::chain::read_chain;
use crate::export::{Export, ExportFault};
use crate::facts::Facts;
use crate::hook::{Hook, Switch};
use crate::issued::{Change, Issued, IssuedSecret};
use crate::order::Action;
use crate::perform::{PerformFault, perform};
use crate::plan::{Finding, IssuerStatuses, Overlay, Plan, Severity, plan};
use crate::settings::Settings;
use crate::store::{Damage, OpenFault, Store, WriteFault};

pub use self::commands::{Command, RenewRefusal, Renewed, RevokeRefusal, Revoked};
pub use self::run::run;

mod commands;
#[cfg(test)]
mod crashes;
mod holds;
mod run;
#[cfg(test)]
mod tests;

/// Actions of one step: what is done is handed out before more is done.
const ACTIONS: usize = 32;

/// Where what is issued is kept.
#[derive(Clone, Copy, Debug)]
pub enum Keeping<'path> {
    /// Nowhere: it ends with the process.
    Memory,
    /// In this state directory.
    Directory(&'path Path),
}

/// See the module.
pub struct Worker {
    settings: Settings,
    /// `None`: memory only.
    store: Option<Store>,
    issued: Arc<Issued>,
    damage: Vec<Damage>,
    export: Option<Exporting>,
    hook: Option<Hook>,
    made: Made,
    holds: Holds,
    /// Whom the last step has left for the next; they must not be the same again.
    left: Vec<ObjectRef>,
    /// What was handed out last; `None` before the first step.
    outlook: Option<Arc<Outlook>>,
    #[cfg(test)]
    script: Option<tests::Script>,
}

/// Where files are written, opened as soon as it can be.
struct Exporting {
    directory: PathBuf,
    /// The state directory, which it must not overlap with.
    state: Option<PathBuf>,
    export: Option<Export>,
}

impl Exporting {
    fn open(&mut self) -> Result<&Export, ExportFault> {
        let export = match self.export.take() {
            Some(export) => export,
            None => Export::open(&self.directory, self.state.as_deref())?,
        };
        Ok(self.export.insert(export))
    }
}

/// How often this process has signed, and tried in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Certificates that were issued, the first time or anew.
    pub issued: u64,
    /// Attempts that failed.
    pub failed: u64,
}

/// What the issuer gives, and how it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// Objects that the manifests lack and the issuer gives. The same `Arc` as long as it is the same.
    pub overlay: Arc<Overlay>,
    /// By object.
    pub statuses: IssuerStatuses,
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
    /// What is kept.
    pub issued: Arc<Issued>,
    /// What this process has done.
    pub made: Made,
    /// When the next step is due if nothing else happens.
    pub wake_at: Option<Timestamp>,
    /// Grows whenever any of the others changes.
    pub generation: u64,
}

/// Why an action was not done.
enum Fault {
    Perform(PerformFault),
    Write(WriteFault),
}

impl Worker {
    /// Opens what was kept. An `export` directory that cannot be used now is a finding of each step, and is tried again with the next.
    ///
    /// # Errors
    /// When the state directory cannot be used; see [`Store::open`].
    pub fn open(settings: Settings, keeping: Keeping<'_>, export: Option<&Path>, hook: Option<Hook>) -> Result<Self, OpenFault> {
        let state = match keeping {
            Keeping::Memory => None,
            Keeping::Directory(path) => Some(path.to_owned()),
        };
        let (store, issued, damage) = match keeping {
            Keeping::Memory => (None, Issued::default(), Vec::new()),
            Keeping::Directory(path) => {
                let (store, issued, damage) = Store::open(path)?;
                (Some(store), issued, damage)
            }
        };
        Ok(Self {
            settings,
            store,
            issued: Arc::new(issued),
            damage,
            export: export.map(|directory| Exporting {
                directory: directory.to_owned(),
                state,
                export: None,
            }),
            hook,
            made: Made::default(),
            holds: Holds::default(),
            left: Vec::new(),
            outlook: None,
            #[cfg(test)]
            script: None,
        })
    }

    /// Does what is to be done at `now`, as far as it can be.
    pub fn step(&mut self, now: Timestamp, resources: &Resources) -> Arc<Outlook> {
        let mut plan = self.decide(now, resources);
        // Before the first step, what was kept is what others have.
        let before = self
            .outlook
            .as_ref()
            .map_or_else(|| Arc::new(plan.overlay.clone()), |outlook| Arc::clone(&outlook.overlay));
        let mut done = 0;
        while done < ACTIONS {
            let tried = self.round(now, &plan.actions, ACTIONS - done);
            if tried == 0 {
                break;
            }
            done += tried;
            plan = self.decide(now, resources);
        }
        self.brake(now, &plan.actions);
        self.holds.keep_only(&plan.actions);

        let mut findings = plan.findings;
        findings.extend(
            self.damage
                .iter()
                .filter(|damage| !damage.is_over(&self.issued))
                .map(Damage::finding),
        );
        findings.extend(self.holds.findings(now));
        findings.extend(self.hand_out(now, &before, &plan.overlay));
        let is_unfinished = plan.actions.iter().any(|action| !self.holds.is_held(action, now));
        let wake_at = [plan.wake_at, self.holds.until(now), is_unfinished.then_some(now)];
        self.publish(Outlook {
            overlay: if *before == plan.overlay {
                before
            } else {
                Arc::new(plan.overlay)
            },
            statuses: plan.statuses,
            findings,
            issued: Arc::clone(&self.issued),
            made: self.made,
            wake_at: wake_at.into_iter().flatten().min(),
            generation: 0,
        })
    }

    /// Stops for a while when a step's worth of actions has left the same objects to be worked on: that would go on for ever.
    fn brake(&mut self, now: Timestamp, actions: &[Action]) {
        if self.holds.is_stopped(now) {
            return;
        }
        let left: Vec<ObjectRef> = actions
            .iter()
            .filter(|action| !self.holds.is_held(action, now))
            .map(subject)
            .collect();
        if !left.is_empty() && left == self.left {
            self.holds.stop(now, unsettled(left.len()));
        } else {
            self.left = left;
        }
    }

    /// Does each action once, at most `limit`; how many were tried.
    fn round(&mut self, now: Timestamp, actions: &[Action], limit: usize) -> usize {
        let mut tried = 0;
        for action in actions {
            if tried == limit {
                break;
            }
            if self.holds.is_held(action, now) {
                continue;
            }
            tried += 1;
            match self.act(now, action) {
                Ok(()) => self.holds.succeeded(action),
                Err(Fault::Perform(fault)) => self.holds.hold(now, action, failed(action, &fault)),
                Err(Fault::Write(fault @ WriteFault::Name { .. })) => self.holds.hold(now, action, not_kept(action, &fault)),
                // The disk is in no mood for the others either, and making keys that are thrown away helps nobody.
                Err(Fault::Write(fault)) => self.holds.stop(now, not_kept(action, &fault)),
            }
        }
        tried
    }

    fn act(&mut self, now: Timestamp, action: &Action) -> Result<(), Fault> {
        let changes = self.perform(now, action).map_err(Fault::Perform)?;
        // A CA must not have on record what cannot be kept.
        if let Some(store) = &self.store {
            changes
                .iter()
                .try_for_each(|change| store.check(change))
                .map_err(Fault::Write)?;
        }
        let issued = changes.iter().find_map(|change| match change {
            Change::Secret(_, secret) => Some(Arc::clone(secret)),
            _ => None,
        });
        for change in changes {
            self.keep(change).map_err(Fault::Write)?;
        }
        self.note(action, issued.as_deref());
        Ok(())
    }

    /// Says what was done, and counts it.
    fn note(&mut self, action: &Action, made: Option<&IssuedSecret>) {
        match (action, made) {
            (Action::Issue(order), Some(made)) => {
                self.made.issued += 1;
                let facts = facts(&made.secret);
                let (name, kind, _) = &order.request.issuer;
                tracing::info!(
                    certificate = %order.certificate,
                    secret = %order.secret,
                    serial = facts.as_ref().map(|facts| facts.serial.as_str()).unwrap_or_default(),
                    revision = made.revision,
                    not_after = facts.as_ref().map(|facts| facts.not_after.to_string()).unwrap_or_default(),
                    issuer = format!("{} {name}", if kind.is_empty() { "Issuer" } else { kind }),
                    reason = order.reason,
                    "certificate issued"
                );
            }
            (Action::Issue(_), None) => self.made.failed += 1,
            (Action::Restore { secret, authority, .. }, _) => {
                tracing::warn!(%secret, ca = %authority, "the Secret of a CA could not be read and is restored from the CA's record");
            }
            (Action::Adopt { id, secret, issuers, .. }, _) => {
                let others = self.issued.authorities.iter();
                let others = others.filter(|(other, authority)| *other != id && !authority.issuers.is_disjoint(issuers));
                if others.count() > 0 {
                    tracing::info!(%secret, ca = %id, "roll-over: a new CA is published beside the one before; it signs once all can know it");
                }
            }
            (Action::Retire { authority }, _) => {
                tracing::info!(ca = %authority, "a CA is retired: nothing that it signed is valid any more");
            }
            (Action::Amend { .. } | Action::List { .. }, _) => {}
        }
    }

    /// Keeps one change, and only then has it in memory.
    fn keep(&mut self, change: Change) -> Result<(), WriteFault> {
        if let Some(store) = &self.store {
            store.write(&change)?;
        }
        Arc::make_mut(&mut self.issued).apply(change);
        Ok(())
    }

    fn decide(&self, now: Timestamp, resources: &Resources) -> Plan {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return (script.plan)(now, &self.issued);
        }
        plan(now, resources, &self.issued, &self.settings)
    }

    fn perform(&self, now: Timestamp, action: &Action) -> Result<Vec<Change>, PerformFault> {
        #[cfg(test)]
        if let Some(script) = &self.script {
            return (script.perform)(action, &self.issued, now);
        }
        perform(action, &self.issued, now)
    }

    /// Switches files, then tells others.
    fn hand_out(&mut self, now: Timestamp, before: &Overlay, after: &Overlay) -> Vec<Finding> {
        let (switched, findings) = match self.export.as_mut().map(Exporting::open) {
            None => (switched(before, after), Vec::new()),
            Some(Err(fault)) => (BTreeSet::new(), vec![self.not_exported(&fault)]),
            Some(Ok(export)) => {
                let exported = export.write(now, after, &self.issued.damaged);
                let finding = |(key, fault): &(ObjectKey, ExportFault)| Finding {
                    severity: Severity::Error,
                    label: fault.label(),
                    object: reference(after, key),
                    field: String::new(),
                    message: format!("it is not exported: {fault}"),
                    hint: Some(fault.hint()),
                };
                (exported.switched, exported.faults.iter().map(finding).collect())
            }
        };
        if let Some(hook) = &self.hook {
            for key in switched {
                hook.tell(self.switch(after, &key));
            }
        }
        findings
    }

    fn not_exported(&self, fault: &ExportFault) -> Finding {
        let directory = self.export.as_ref().map(|export| export.directory.display().to_string());
        Finding {
            severity: Severity::Error,
            label: "export-not-opened",
            object: ObjectRef::new(Kind::Other("--export-certs".to_owned()), "", directory.unwrap_or_default()),
            field: String::new(),
            message: format!("nothing is exported: {fault}"),
            hint: Some(fault.hint()),
        }
    }

    fn switch(&self, overlay: &Overlay, key: &ObjectKey) -> Switch {
        let issued = self.issued.secrets.get(key);
        Switch {
            object: reference(overlay, key),
            certificate: issued.map(|issued| issued.certificate.clone()),
            serial: issued
                .and_then(|issued| facts(&issued.secret))
                .map(|facts| facts.serial)
                .unwrap_or_default(),
            directory: self
                .export
                .as_ref()
                .and_then(|export| Some(export.export.as_ref()?.place(key))),
        }
    }

    /// A new generation, unless nothing is new.
    fn publish(&mut self, mut outlook: Outlook) -> Arc<Outlook> {
        if let Some(last) = &self.outlook {
            outlook.generation = last.generation;
            if outlook == **last {
                return Arc::clone(last);
            }
        }
        outlook.generation += 1;
        let outlook = Arc::new(outlook);
        self.outlook = Some(Arc::clone(&outlook));
        outlook
    }
}

/// What stands in the first certificate of `tls.crt`.
fn facts(secret: &sealway_api::Secret) -> Option<Facts> {
    let chain = read_chain(secret.data.get("tls.crt")?.expose()).ok()?;
    Facts::of(chain.first()?).ok()
}

/// Objects whose content is another one now.
fn switched(before: &Overlay, after: &Overlay) -> BTreeSet<ObjectKey> {
    let secrets = after.secrets.iter().filter_map(|(key, secret)| {
        let is_same = before.secrets.get(key).is_some_and(|before| before.data == secret.data);
        (!is_same).then(|| key.clone())
    });
    let maps = after.config_maps.iter().filter_map(|(key, map)| {
        let is_same = before
            .config_maps
            .get(key)
            .is_some_and(|before| (&before.data, &before.binary_data) == (&map.data, &map.binary_data));
        (!is_same).then(|| key.clone())
    });
    secrets.chain(maps).collect()
}

/// The Secret of that name, or the ConfigMap when there is only that.
fn reference(overlay: &Overlay, key: &ObjectKey) -> ObjectRef {
    let is_map = !overlay.secrets.contains_key(key) && overlay.config_maps.contains_key(key);
    ObjectRef::of(if is_map { Kind::ConfigMap } else { Kind::Secret }, key)
}

fn subject(action: &Action) -> ObjectRef {
    match action {
        Action::Issue(order) => ObjectRef::of(Kind::Certificate, &order.certificate),
        Action::Restore { certificate, .. } => ObjectRef::of(Kind::Certificate, certificate),
        Action::Amend { secret, .. } | Action::Adopt { secret, .. } => ObjectRef::of(Kind::Secret, secret),
        Action::List { authority, .. } | Action::Retire { authority } => {
            ObjectRef::new(Kind::Other("CA".to_owned()), "", authority.to_string())
        }
    }
}

fn failed(action: &Action, fault: &PerformFault) -> Finding {
    Finding {
        severity: Severity::Error,
        label: "issuer-action-failed",
        object: subject(action),
        field: String::new(),
        message: fault.to_string(),
        hint: Some("it is tried again by itself, later and later".to_owned()),
    }
}

fn not_kept(action: &Action, fault: &WriteFault) -> Finding {
    Finding {
        severity: Severity::Error,
        label: fault.label(),
        object: subject(action),
        field: String::new(),
        message: format!("what was made for it is not used, because it cannot be kept: {fault}"),
        hint: Some(fault.hint()),
    }
}

fn unsettled(left: usize) -> Finding {
    Finding {
        severity: Severity::Warning,
        label: "issuer-unsettled",
        object: ObjectRef::new(Kind::Other("Issuer".to_owned()), "", "sealway"),
        field: String::new(),
        message: format!("{ACTIONS} actions did not make what is to be done less: {left} are left, and go on later"),
        hint: Some("if this stays, it is a mistake of Sealway's: please report it with the manifests".to_owned()),
    }
}
