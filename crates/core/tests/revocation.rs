//! Revocation lists from elsewhere than the manifests: whose they are, whom they reach, and when they are of no use.

use std::collections::BTreeMap;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use sealway_api::{Kind, ObjectRef, Resource, Resources};
use sealway_core::{
    AuthorityFlaw, Cause, Compiled, Compiler, CrlFailure, DistributionPoint, ListFault, ListRefusal, ListSource, Observed,
    PortKey, PortPlan, RevocationList, Settings, TlsListener, Transport, TrustBundle,
};
use serde_json::{Value, json};

type Authority = CertifiedIssuer<'static, KeyPair>;

const URL: &str = "http://crl.test/ca.crl";

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn root(name: &str) -> Authority {
    CertifiedIssuer::self_signed(params(name), key()).expect("signed")
}

fn below(authority: &Authority, name: &str) -> Authority {
    CertifiedIssuer::signed_by(params(name), key(), authority).expect("signed")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("key")
}

/// From the first day of a year to that of the next.
fn list(authority: &Authority, year: i32) -> Vec<u8> {
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(year, 1, 1),
        next_update: date_time_ymd(year + 1, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority).expect("signed").der().to_vec()
}

fn point(issuers: &[&Authority]) -> DistributionPoint {
    DistributionPoint {
        url: URL.to_owned(),
        issuers: issuers.iter().map(|issuer| issuer.der().clone()).collect(),
    }
}

fn fetched(issuers: &[&Authority], year: i32) -> Arc<RevocationList> {
    Arc::new(RevocationList::fetched(&point(issuers), &list(issuers[0], year)).expect("its issuer has signed it"))
}

/// One HTTPS listener for each authority, on a port of its own, that believes clients of it.
fn resources(authorities: &[&Authority]) -> Resources {
    let pair = key();
    let server = CertificateParams::new(vec!["a.test".to_owned()]).expect("parameters");
    let server = server.self_signed(&pair).expect("signed");
    let metadata = |name: &str| json!({"namespace": "infra", "name": name});
    let ports = || 443..;
    let validation = |port: u16| {
        let references = json!([{"group": "", "kind": "ConfigMap", "name": format!("ca-{port}")}]);
        json!({"port": port, "tls": {"validation": {"caCertificateRefs": references}}})
    };
    let listener = |port: u16| json!({"name": format!("l{port}"), "port": port, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "server"}]}});
    let per_port: Vec<Value> = ports().zip(authorities).map(|(port, _)| validation(port)).collect();
    let listeners: Vec<Value> = ports().zip(authorities).map(|(port, _)| listener(port)).collect();
    let spec = json!({"gatewayClassName": "sealway", "listeners": listeners,
        "tls": {"frontend": {"default": {}, "perPort": per_port}}});
    let mut documents = vec![
        json!({"kind": "GatewayClass", "metadata": {"name": "sealway"}, "spec": {"controllerName": "sealway.dev/gateway-controller"}}),
        json!({"kind": "Gateway", "metadata": metadata("edge"), "spec": spec}),
        json!({"kind": "Secret", "metadata": metadata("server"), "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": server.pem(), "tls.key": pair.serialize_pem()}}),
    ];
    documents.extend(ports().zip(authorities).map(|(port, authority)| {
        json!({"kind": "ConfigMap", "metadata": metadata(&format!("ca-{port}")), "data": {"ca.crt": authority.pem()}})
    }));
    let mut resources = Resources::default();
    for document in documents {
        let kind = Kind::from(document["kind"].as_str().expect("kind"));
        resources.insert(Resource::read(&kind, document).expect("a kind that is read").expect("valid"));
    }
    resources
}

fn observed(now: &str, lists: &[&Arc<RevocationList>]) -> Observed {
    Observed {
        revocation_lists: lists.iter().copied().cloned().collect(),
        ..Observed::assumed(now.parse().expect("time"))
    }
}

/// Listeners by port.
fn listeners(compiled: &Compiled) -> BTreeMap<u16, &Arc<TlsListener>> {
    let snapshot = compiled.snapshots.values().next().expect("a Gateway");
    let of = |(key, plan): (&PortKey, &'_ Arc<PortPlan>)| match &**plan {
        PortPlan::Tls(plan) if key.transport == Transport::Tcp => (key.port, plan.listeners.first().cloned()),
        _ => (key.port, None),
    };
    let found: Vec<(u16, Option<Arc<TlsListener>>)> = snapshot.ports.iter().map(of).collect();
    assert!(
        found.iter().all(|(_, listener)| listener.is_some()),
        "{:#?}",
        compiled.problems
    );
    let plans = snapshot.ports.iter().filter_map(|(key, plan)| match &**plan {
        PortPlan::Tls(plan) => Some((key.port, plan.listeners.first()?)),
        PortPlan::Http(_) | PortPlan::Tcp(_) | PortPlan::Udp(_) => None,
    });
    plans.collect()
}

fn bundle(compiled: &Compiled, port: u16) -> Arc<TrustBundle> {
    let listeners = listeners(compiled);
    let termination = listeners[&port].termination.as_ref().expect("it ends TLS");
    Arc::clone(
        &termination
            .client_validation
            .as_ref()
            .expect("it asks for clients")
            .authorities,
    )
}

fn has(compiled: &Compiled, port: u16, list: &RevocationList) -> bool {
    bundle(compiled, port).revocation_lists.contains(list.der())
}

#[test]
fn list_reaches_those_who_believe_whoever_signed_it() {
    let (ours, namesake) = (root("CA"), root("CA"));
    let middle = below(&ours, "Middle");
    let stray = root("Middle");
    let resources = resources(&[&ours, &namesake, &middle]);
    let cases = [
        (fetched(&[&ours], 2030), [true, false, false]),
        (fetched(&[&namesake], 2030), [false, true, false]),
        (fetched(&[&middle, &ours], 2030), [true, false, true]),
        (fetched(&[&middle], 2030), [true, false, true]),
        // What stands above it has not signed it: a chain of names alone.
        (fetched(&[&stray, &ours], 2030), [false, false, false]),
    ];
    for (number, (list, reached)) in cases.iter().enumerate() {
        let compiled = Compiler::new(Settings::default()).compile(&resources, &observed("2030-06-01T00:00:00Z", &[list]));
        let found = [443, 444, 445].map(|port| has(&compiled, port, list));
        assert_eq!(found, *reached, "{number}");
        let issued = RevocationList::issued(
            ObjectRef::new(Kind::Issuer, "infra", "ca"),
            list.issuers().to_vec(),
            list.der(),
        );
        let issued = Arc::new(issued.expect("signed"));
        assert_eq!(issued.point(), None);
        let compiled = Compiler::new(Settings::default()).compile(&resources, &observed("2030-06-01T00:00:00Z", &[&issued]));
        assert_eq!([443, 444, 445].map(|port| has(&compiled, port, list)), *reached, "{number}");
    }
}

#[test]
fn list_changes_nothing_for_whom_it_does_not_concern() {
    let (ours, other) = (root("CA"), root("Other"));
    let resources = resources(&[&ours, &other]);
    let mut compiler = Compiler::new(Settings::default());
    let before = compiler.compile(&resources, &observed("2030-06-01T00:00:00Z", &[]));
    let list = fetched(&[&ours], 2030);
    let after = compiler.compile(&resources, &observed("2030-06-01T00:00:00Z", &[&list]));
    assert!(Arc::ptr_eq(listeners(&before)[&444], listeners(&after)[&444]));
    assert_ne!(bundle(&before, 443).content, bundle(&after, 443).content);
    // The list is shared, and a list that is equal is the same.
    let again = Arc::new((*list).clone());
    let same = compiler.compile(&resources, &observed("2030-06-01T00:00:00Z", &[&again]));
    assert!(Arc::ptr_eq(&bundle(&after, 443), &bundle(&same, 443)));
    assert!(Arc::ptr_eq(&bundle(&same, 443).revocation_lists[0], list.der()));
    let fresh = Compiler::new(Settings::default()).compile(&resources, &observed("2030-06-01T00:00:00Z", &[&again]));
    assert_eq!(fresh, same);
    // And gone again.
    let gone = compiler.compile(&resources, &observed("2030-06-01T00:00:00Z", &[]));
    assert_eq!(gone, before);
}

#[test]
fn list_that_ends_is_told_when_it_does_and_counts_all_the_same() {
    let ours = root("CA");
    let resources = resources(&[&ours]);
    let mut compiler = Compiler::new(Settings::default());
    let list = fetched(&[&ours], 2030);
    let end = "2031-01-01T00:00:00Z".parse().expect("time");
    let current = compiler.compile(&resources, &observed("2030-12-31T23:59:59Z", &[&list]));
    assert_eq!(current.wake_at, Some(end));
    assert!(current.problems.is_empty(), "{:#?}", current.problems);
    let ended = compiler.compile(&resources, &observed("2031-01-01T00:00:00Z", &[&list]));
    let [problem] = &ended.problems[..] else {
        panic!("{:#?}", ended.problems)
    };
    assert_eq!(problem.object, Some(ObjectRef::new(Kind::ConfigMap, "infra", "ca-443")));
    let Cause::AuthorityFlawed {
        flaw: AuthorityFlaw::ListExpired { issuer, since, url },
    } = &problem.cause
    else {
        panic!("{problem:#?}")
    };
    assert_eq!((issuer.as_str(), *since, url.as_deref()), ("CN=CA", end, Some(URL)));
    assert!(problem.cause.message().contains(URL));
    assert!(has(&ended, 443, &list));
}

#[test]
fn what_is_to_become_of_those_without_a_list_is_part_of_the_bundle() {
    let ours = root("CA");
    let resources = resources(&[&ours]);
    let compile = |crl_failure| {
        let settings = Settings {
            crl_failure,
            ..Settings::default()
        };
        Compiler::new(settings).compile(&resources, &observed("2030-06-01T00:00:00Z", &[]))
    };
    let (soft, hard) = (compile(CrlFailure::Soft), compile(CrlFailure::Hard));
    assert_ne!(bundle(&soft, 443).content, bundle(&hard, 443).content);
    let shown = |compiled: &Compiled| serde_json::to_value(&*bundle(compiled, 443)).expect("JSON")["crlFailure"].clone();
    assert_eq!((shown(&soft), shown(&hard)), (Value::Null, json!("hard")));
}

#[test]
fn only_a_list_that_its_issuer_has_signed_is_taken_and_in_either_form() {
    let (ours, namesake) = (root("CA"), root("CA"));
    let der = list(&ours, 2030);
    let point = point(&[&ours]);
    let taken = RevocationList::fetched(&point, &der).expect("its own");
    assert_eq!(taken.source(), &ListSource::Url(URL.to_owned()));
    assert_eq!(taken.point(), Some(point.clone()));
    let pem = CertificateRevocationListParams {
        this_update: date_time_ymd(2030, 1, 1),
        next_update: date_time_ymd(2031, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let pem = pem.signed_by(&ours).expect("signed").pem().expect("PEM");
    assert!(RevocationList::fetched(&point, pem.as_bytes()).is_ok());
    let refused = |bytes: &[u8]| RevocationList::fetched(&point, bytes).expect_err("not its own");
    assert_eq!(refused(&list(&namesake, 2030)), ListRefusal::Unsigned);
    let mut changed = der.clone();
    *changed.last_mut().expect("a signature") ^= 1;
    assert_eq!(refused(&changed), ListRefusal::Unsigned);
    let nobody = DistributionPoint {
        issuers: Vec::new(),
        ..point.clone()
    };
    assert_eq!(RevocationList::fetched(&nobody, &der), Err(ListRefusal::Unsigned));
    let garbage = DistributionPoint {
        issuers: vec![CertificateDer::from(vec![0x30, 0])],
        ..point.clone()
    };
    assert_eq!(RevocationList::fetched(&garbage, &der), Err(ListRefusal::Unsigned));
    for length in 0..der.len() {
        assert_eq!(refused(&der[..length]), ListRefusal::Unreadable, "{length}");
    }
    assert_eq!(refused(&[&der[..], b"\0"].concat()), ListRefusal::Unreadable);
    assert_eq!(refused(b"<html>not found</html>"), ListRefusal::Unreadable);
    for (name, why) in [("crl-version-1", ListFault::Version), ("crl-delta", ListFault::Delta)] {
        assert_eq!(refused(sample(name).as_bytes()), ListRefusal::Unusable(why));
    }
}

/// A list of `testdata/pki`.
fn sample(name: &str) -> String {
    let samples: Vec<Value> = serde_saphyr::from_multiple(include_str!("../testdata/pki/lists.yaml")).expect("YAML");
    let sample = samples.iter().find(|sample| sample["metadata"]["name"] == name);
    sample.expect("a sample")["data"]["ca.crl"].as_str().expect("text").to_owned()
}
