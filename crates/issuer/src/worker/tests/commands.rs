//! What renew and revoke do, and why not.

use sealway_api::{Certificate, Issuer, Resource, Secret};

use super::*;
use crate::settings::Behaviour;

fn manifests() -> Resources {
    let mut resources = Resources::default();
    let certificate = |name: &str, secret: &str, issuer: &str| {
        let mut certificate = Certificate::default();
        certificate.metadata.name = name.to_owned();
        certificate.metadata.namespace = Some("payment".to_owned());
        certificate.spec.secret_name = secret.to_owned();
        certificate.spec.issuer_ref.name = issuer.to_owned();
        Resource::Certificate(Arc::new(certificate))
    };
    resources.insert(certificate("leaf", "leaf", "ca"));
    resources.insert(certificate("waits", "carried", "ca"));
    resources.insert(certificate("ca", "ca", "acme"));
    let mut acme = Issuer::default();
    acme.metadata.name = "acme".to_owned();
    acme.metadata.namespace = Some("payment".to_owned());
    acme.spec.acme = Some(serde_json::json!({}));
    resources.insert(Resource::Issuer(Arc::new(acme)));
    let mut carried = Secret::default();
    carried.metadata.name = "carried".to_owned();
    carried.metadata.namespace = Some("payment".to_owned());
    resources.insert(Resource::Secret(Arc::new(carried)));
    resources
}

#[test]
fn renewals_that_cannot_be_say_why() {
    let mut worker = worker(Keeping::Memory, small_world);
    let renewed = worker.renew(at(0), &no_resources(), &key("leaf")).expect("renewed");
    assert_eq!((renewed.secret, renewed.revision), (key("leaf"), 2));

    let refusal = worker.renew(at(1), &no_resources(), &key("laef")).expect_err("unknown");
    assert!(
        matches!(&refusal, RenewRefusal::NotFound { nearest, .. } if *nearest == ["payment/leaf"]),
        "{refusal:?}"
    );
    assert_eq!(refusal.hint(), "did you mean payment/leaf?");
    let refusal = worker
        .renew(at(1), &no_resources(), &key("waits"))
        .expect_err("the plan does nothing");
    assert!(matches!(&refusal, RenewRefusal::Waiting { .. }), "{refusal:?}");
    assert!(
        worker.issued.attempts[&key("waits")].renewal_asked.is_some(),
        "it is not forgotten"
    );
    assert_eq!(
        worker.issued.attempts[&key("waits")].renewal_of,
        Some(0),
        "the first one is the answer, too"
    );

    let refusal = worker.renew(at(1), &manifests(), &key("waits")).expect_err("carried");
    assert!(
        matches!(&refusal, RenewRefusal::Carried { secret, .. } if *secret == key("carried")),
        "{refusal:?}"
    );
    let refusal = worker.renew(at(1), &manifests(), &key("ca")).expect_err("foreign");
    assert!(matches!(&refusal, RenewRefusal::ForeignIssuer { .. }), "{refusal:?}");
}

#[test]
fn revocations_are_kept_and_those_that_cannot_be_say_why() {
    let scratch = TempDir::new().expect("a directory");
    let mut worker = worker(Keeping::Directory(scratch.path()), small_world);
    let outlook = worker.step(at(0), &no_resources());
    let leaf = serial_of(&outlook, "leaf");

    let refusal = worker
        .revoke(at(1), &no_resources(), &leaf, "boredom")
        .expect_err("no reason");
    assert!(matches!(refusal, RevokeRefusal::Reason { .. }), "{refusal:?}");
    let revoked = worker
        .revoke(at(1), &no_resources(), &leaf.to_uppercase(), "keyCompromise")
        .expect("revoked");
    assert_eq!((revoked.certificate, &revoked.serial), (key("leaf"), &leaf));
    let refusal = worker.revoke(at(2), &no_resources(), &leaf, "").expect_err("twice");
    assert!(
        matches!(&refusal, RevokeRefusal::AlreadyRevoked { revocation, .. } if revocation.at == at(1)),
        "{refusal:?}"
    );
    let refusal = worker.revoke(at(2), &no_resources(), &leaf[..12], "").expect_err("unknown");
    assert!(
        matches!(&refusal, RevokeRefusal::NotFound { nearest, .. } if *nearest == [leaf.clone()]),
        "{refusal:?}"
    );
    let refusal = worker
        .revoke(at(2), &no_resources(), &serial_of(&outlook, "ca"), "")
        .expect_err("a root");
    assert!(matches!(&refusal, RevokeRefusal::SelfSigned { .. }), "{refusal:?}");

    let mut foreign = no_resources();
    let of_others = super::worker(Keeping::Memory, small_world).step(at(0), &no_resources());
    let secret = &of_others.issued.secrets[&key("leaf")].secret;
    foreign.insert(Resource::Secret(Arc::clone(secret)));
    let refusal = worker
        .revoke(at(2), &foreign, &serial_of(&of_others, "leaf"), "")
        .expect_err("not ours");
    assert!(
        matches!(&refusal, RevokeRefusal::NotOurs { secret, .. } if *secret == key("leaf")),
        "{refusal:?}"
    );

    drop(worker);
    let again = super::worker(Keeping::Directory(scratch.path()), small_world).step(at(3), &no_resources());
    let mut issuances = again.issued.authorities.values().flat_map(|authority| &authority.issuances);
    assert!(issuances.any(|issuance| issuance.serial == leaf && issuance.revoked.is_some()));
}

/// [`small_world`], and a list for whoever has revoked something that is on none.
fn listing_world(now: Timestamp, issued: &Issued) -> Plan {
    let mut plan = small_world(now, issued);
    let unlisted = issued.authorities.iter().filter(|(_, authority)| {
        let list = authority.revocation_list.as_deref().unwrap_or_default();
        let mut revoked = authority.issuances.iter().filter(|issuance| issuance.revoked.is_some());
        revoked.any(|issuance| !crate::plan::lists::is_on(list, &issuance.serial))
    });
    plan.actions.extend(unlisted.map(|(id, _)| Action::List {
        authority: id.clone(),
        signer: None,
        lifetime: Duration::from_secs(3600),
    }));
    plan
}

#[test]
fn a_list_is_promised_only_when_it_is_there_or_can_come() {
    let revoke = |worker: &mut Worker, resources: &Resources| {
        let leaf = serial_of(&worker.step(at(0), &no_resources()), "leaf");
        worker.revoke(at(1), resources, &leaf, "superseded")
    };
    let mut listing = worker(Keeping::Memory, listing_world);
    assert!(revoke(&mut listing, &no_resources()).expect("revoked").is_listed);
    let mut behind = worker(Keeping::Memory, small_world);
    assert!(!revoke(&mut behind, &no_resources()).expect("noted").is_listed);
    let is_noted = |issued: &Issued| {
        let mut issuances = issued.authorities.values().flat_map(|authority| &authority.issuances);
        issuances.any(|issuance| issuance.revoked.is_some())
    };
    assert!(is_noted(&behind.issued));

    let mut off = worker(Keeping::Memory, listing_world);
    off.settings.behaviour = Behaviour::CertManager;
    let refusal = revoke(&mut off, &no_resources()).expect_err("no lists");
    assert!(matches!(refusal, RevokeRefusal::ListsOff), "{refusal:?}");

    // A CA of the manifests, whose key is in its Secret only.
    let mut given = worker(Keeping::Memory, small_world);
    let outlook = given.step(at(0), &no_resources());
    let own = Arc::clone(&outlook.issued.secrets[&key("ca")].secret);
    let issued = Arc::make_mut(&mut given.issued);
    for authority in issued.authorities.values_mut() {
        Arc::make_mut(authority).key = None;
    }
    let successor = worker(Keeping::Memory, small_world).step(at(0), &no_resources());
    let successor = Arc::clone(&successor.issued.secrets[&key("ca")].secret);
    let carrying = |secret: &Arc<Secret>| {
        let mut resources = no_resources();
        resources.insert(Resource::Secret(Arc::clone(secret)));
        resources
    };
    for without in [no_resources(), carrying(&successor)] {
        let refusal = revoke(&mut given, &without).expect_err("nobody can sign a list");
        assert!(
            matches!(&refusal, RevokeRefusal::NoKey { secret } if *secret == key("ca")),
            "{refusal:?}"
        );
        assert!(!is_noted(&given.issued), "what is refused is not half done");
    }
    revoke(&mut given, &carrying(&own)).expect("the key is at hand");
}
