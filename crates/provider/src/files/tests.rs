use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sealway_api::{Kind, ObjectRef};
use sealway_core::Severity;

use super::{Loaded, Loader, OpenError, parse_text};

fn load(path: &Path) -> Loaded {
    Loader::open(&[path.to_owned()]).unwrap().1
}

#[test]
fn article_is_read_whole_with_no_object_refused() {
    let loaded = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/article"));
    let objects: Vec<String> = loaded
        .resources
        .iter()
        .map(|resource| resource.reference().to_string())
        .collect();
    assert_eq!(
        objects,
        [
            "BackendTLSPolicy payment/payment-backend-tls",
            "Certificate order/order-client-cert",
            "Certificate payment/payment-tls-cert",
            "Deployment order/order-service",
            "Deployment payment/payment-service",
            "GatewayClass envoy-gateway",
            "Gateway gateway-system/tls-gateway",
            "HTTPRoute payment/payment-api",
            "Issuer payment/internal-ca",
            "TLSRoute database/database-tls",
            "TLSRoute payment/payment-tls",
            "TLSRoute vault/vault-tls",
        ]
    );
    // Versions that the standard channel no longer serves, and nothing else.
    let problems: Vec<String> = loaded.problems.iter().map(|problem| problem.to_string()).collect();
    assert_eq!(problems.len(), 4, "{problems:#?}");
    for problem in &loaded.problems {
        assert_eq!(
            (problem.cause.severity(), problem.cause.code()),
            (Severity::Warning, "superseded-version")
        );
        let location = problem.location.as_ref().unwrap();
        assert!(
            loaded
                .sources
                .excerpt(location)
                .unwrap()
                .line
                .starts_with("apiVersion: gateway.networking.k8s.io/v1alpha")
        );
        assert!(problem.cause.hint().unwrap().contains("gateway.networking.k8s.io/v1"));
    }
    let gateway = ObjectRef::new(Kind::Gateway, "gateway-system", "tls-gateway");
    let port = loaded.sources.locate(&gateway, "spec.listeners[1].port").unwrap();
    assert_eq!(loaded.sources.excerpt(&port).unwrap().line.trim(), "port: 8443");
    assert!(port.to_string().ends_with("testdata/article/gateway.yaml:33:13"), "{port}");
}

#[test]
fn path_that_cannot_be_opened_is_an_error() {
    let missing = PathBuf::from("/nowhere/at/all.yaml");
    let error = Loader::open(std::slice::from_ref(&missing)).err();
    assert!(matches!(error, Some(OpenError::Unreadable { path, .. }) if path == missing));
}

#[test]
fn directory_is_read_in_order_and_each_file_once() {
    let directory = tempfile::tempdir().unwrap();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {clusterIP: None}\n";
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b/x.yaml", &service.replace("NAME", "b"));
    write("a.yml", &service.replace("NAME", "a"));
    write(".hidden/c.yaml", "broken: [");
    write(".swap.yaml", "broken: [");
    write("notes.md", "broken: [");
    let (mut loader, loaded) = Loader::open(&[
        directory.path().to_owned(),
        directory.path().join("a.yml"),
        directory.path().to_owned(),
    ])
    .unwrap();
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.sources.files().count(), 2);
    assert_eq!(loaded.resources.services.len(), 2);
    assert_eq!(loader.reload().resources, loaded.resources);
}

#[test]
fn bytes_that_are_no_text_are_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), b"a: \xff\xfe").unwrap();
    let loaded = load(directory.path());
    assert_eq!(loaded.problems.len(), 1);
    assert_eq!(loaded.problems[0].cause.code(), "path-unreadable");
}

#[test]
fn kinds_that_are_not_served_change_nothing() {
    let text = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g}\nspec: {servers: {}}\n---\n\
                apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {a: 1, a: 2}\n";
    let file = parse_text("a.yaml", text);
    assert_eq!((file.problems().count(), file.resources().count()), (0, 0));
}

#[test]
fn documents_that_are_no_objects_are_named() {
    for text in [
        "a: 1",
        "[1, 2]",
        "text",
        "kind: Service\nmetadata: {name: a}",
        "apiVersion: v1\nkind: Service\nspec: {}",
    ] {
        let file = parse_text("a.yaml", text);
        let codes: Vec<_> = file.problems().map(|problem| problem.cause.code()).collect();
        assert_eq!(codes, ["not-an-object"], "{text}");
    }
}

#[test]
fn version_that_does_not_exist_is_refused_with_those_that_do() {
    let text = "apiVersion: gateway.networking.k8s.io/v2\nkind: TLSRoute\nmetadata: {name: a}\n";
    let file = parse_text("a.yaml", text);
    let problem = file.problems().next().unwrap();
    assert_eq!(
        (problem.cause.code(), problem.location.as_ref().unwrap().column),
        ("unknown-version", 13)
    );
    assert!(problem.cause.hint().unwrap().contains("gateway.networking.k8s.io/v1"));
    assert_eq!(file.resources().count(), 0);
}

#[test]
fn duplicate_key_refuses_its_object_only() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n  spec:\n    clusterIP: None\n    clusterIP: None\n\
                - apiVersion: v1\n  kind: Service\n  metadata: {name: b}\n  spec: {clusterIP: None}\n";
    let file = parse_text("a.yaml", text);
    let problems: Vec<String> = file.problems().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["a.yaml:9:5: Service default/a: key `clusterIP` stands here a second time; first at a.yaml:8:5"]
    );
    assert_eq!(
        file.resources()
            .map(|resource| resource.reference().to_string())
            .collect::<Vec<_>>(),
        ["Service default/b"]
    );
}

#[test]
fn secret_appears_in_no_message_and_no_debug_output() {
    let hidden = "hunter2hunter2";
    for text in [
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: {hidden}}}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {hidden}}}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {hidden}\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: [{hidden}]\n"),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n\t{hidden}: x\n {hidden}\n"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), &text).unwrap();
        let loaded = load(directory.path());
        let shown: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        assert!(!format!("{loaded:?}{shown:?}").contains(hidden), "{text}{shown:?}");
    }
}

#[test]
fn whatever_the_text_there_is_an_answer() {
    let text = include_str!("../../testdata/article/gateway.yaml");
    for end in (0..text.len()).step_by(5) {
        let file = parse_text("a.yaml", &text[..end]);
        assert!(file.objects.len() <= 2);
        // One letter that means something to YAML, in every place.
        let letter = ["[", "'", "\t", "&", "*", "|", "{", "\n---\n", "!", "%", "#", ":", "\u{0}"][end % 13];
        let file = parse_text("a.yaml", &format!("{}{letter}{}", &text[..end], &text[end..]));
        assert!(file.problems().count() < 200);
    }
}

/// What four times as much takes: four times as long, and not sixteen. The thread's own time, so that a busy machine changes little.
#[test]
fn lists_and_mappings_of_any_length_take_time_in_proportion() {
    let took = |length: usize| {
        let ports = "{port: 1},".repeat(length);
        let keys: String = (0..length * 4).map(|key| format!("  k{}: 1\n", key % (length * 2))).collect();
        let head = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
        let text = format!("{head}spec: {{ports: [{ports}]}}\n---\n{head}spec:\n{keys}");
        let begun = clock_gettime(ClockId::ThreadCPUTime);
        assert!(parse_text("a.yaml", &text).problems().count() > 100);
        let ended = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(ended).expect("a time") - Duration::try_from(begun).expect("a time")
    };
    let ratios = (0..3).map(|_| took(4_000).as_secs_f64() / took(1_000).as_secs_f64());
    let least = ratios.fold(f64::INFINITY, f64::min);
    assert!(least < 6.0, "{least} times as long");
}

#[test]
fn ten_thousand_routes_are_read_from_one_file() {
    let route = |number: usize| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: TLSRoute\nmetadata:\n  name: route-{number}\n  namespace: ns\nspec:\n  \
             parentRefs:\n  - name: gateway\n    sectionName: tls\n  hostnames:\n  - host-{number}.example.com\n  rules:\n  - backendRefs:\n    \
             - name: service-{number}\n      port: 443\n"
        )
    };
    let text: String = (0..10_000).map(route).collect();
    let file = parse_text("a.yaml", &text);
    assert_eq!((file.resources().count(), file.problems().count()), (10_000, 0));
}
