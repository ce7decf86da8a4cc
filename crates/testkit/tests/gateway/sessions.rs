//! Sessions: a client goes back to its endpoint, and to another once that one is gone.

use sealway_testkit::LOOPBACK;
use sealway_testkit::backends::{Backend, Http};
use sealway_testkit::gateway::{Setup, TestGateway};

use crate::manifests::GATEWAY;
use crate::requests::answer;

const PORT: u16 = 8080;

fn manifests(session: &str, backends: &str) -> String {
    let tls = "    - name: tls\n      port: 8443\n      protocol: TLS\n      tls:\n        mode: Passthrough\n";
    let http = "    - name: http\n      port: 8080\n      protocol: HTTP\n";
    assert!(GATEWAY.contains(tls));
    GATEWAY.replacen(tls, http, 1)
        + &format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: web, namespace: default}}\nspec:\n  \
             parentRefs: [{{name: gateway}}]\n  rules:\n    - backendRefs: {backends}\n      sessionPersistence: {session}\n"
        )
}

const ONE: &str = "[{name: web, port: 80}]";
const COOKIE: &str = "{type: Cookie, cookie: {name: stay}}";

async fn backend(name: &'static str) -> Backend {
    Http { name }.start(LOOPBACK).await.expect("backend")
}

/// Which backend answered, and the value of a header of the response.
async fn ask(gateway: &TestGateway, header: &str, wanted: &str) -> (String, Option<String>) {
    let answer = answer(gateway, PORT, header).await;
    let name = answer.split("\"backend\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let name = name.unwrap_or_else(|| panic!("no backend in {answer}")).to_owned();
    let (head, _) = answer.split_once("\r\n\r\n").expect("head");
    let value = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case(wanted).then(|| value.to_owned())
    });
    (name, value)
}

/// The line by which a browser shows a cookie again.
fn shown(set_cookie: &str) -> String {
    format!("cookie: theme=dark; {}\r\n", set_cookie.split(';').next().unwrap_or_default())
}

#[tokio::test]
async fn a_cookie_brings_the_client_back_until_its_endpoint_is_gone() {
    let backends = [backend("one").await, backend("two").await, backend("three").await];
    let setup = backends.iter().fold(Setup::default(), |setup, backend| {
        setup.endpoint("default/web", 80, backend.address())
    });
    let gateway = setup.start(&manifests(COOKIE, ONE)).await;
    let (first, cookie) = ask(&gateway, "", "set-cookie").await;
    let cookie = cookie.expect("a cookie");
    assert!(
        cookie.starts_with("stay=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    for _ in 0..50 {
        assert_eq!(ask(&gateway, &shown(&cookie), "set-cookie").await, (first.clone(), None));
    }
    // Without it, others have their turn.
    let mut others = 0;
    for _ in 0..50 {
        others += usize::from(ask(&gateway, "", "set-cookie").await.0 != first);
    }
    assert!(others > 0);

    let position = ["one", "two", "three"]
        .iter()
        .position(|name| **name == first)
        .expect("one of them");
    let mut backends: Vec<_> = backends.into_iter().collect();
    drop(backends.remove(position));
    let (second, moved) = ask(&gateway, &shown(&cookie), "set-cookie").await;
    assert_ne!(second, first);
    let moved = moved.expect("a new session");
    for _ in 0..20 {
        assert_eq!(ask(&gateway, &shown(&moved), "set-cookie").await, (second.clone(), None));
    }
    // Nobody makes one up.
    let (_, other) = ask(&gateway, "cookie: stay=MTI3LjAuMC4xOjgw\r\n", "set-cookie").await;
    assert!(other.is_some());
}

#[tokio::test]
async fn a_header_brings_the_client_back() {
    let backends = [backend("one").await, backend("two").await];
    let setup = backends.iter().fold(Setup::default(), |setup, backend| {
        setup.endpoint("default/web", 80, backend.address())
    });
    let gateway = setup
        .start(&manifests("{type: Header, header: {name: X-Session}}", ONE))
        .await;
    let (first, token) = ask(&gateway, "", "x-session").await;
    let header = format!("X-Session: {}\r\n", token.expect("a token"));
    for _ in 0..20 {
        assert_eq!(ask(&gateway, &header, "x-session").await, (first.clone(), None));
    }
}

#[tokio::test]
async fn weights_choose_among_backends_and_each_keeps_its_endpoint() {
    let old = [backend("old-1").await, backend("old-2").await];
    let new = [backend("new-1").await, backend("new-2").await];
    let mut setup = Setup::default();
    for (service, backends) in [("default/old", &old), ("default/new", &new)] {
        setup = backends
            .iter()
            .fold(setup, |setup, backend| setup.endpoint(service, 80, backend.address()));
    }
    let split = "[{name: old, port: 80, weight: 7}, {name: new, port: 80, weight: 3}]";
    let gateway = setup.start(&manifests(COOKIE, split)).await;
    let (mut header, mut seen, mut of_new) = (String::new(), std::collections::BTreeSet::new(), 0);
    for _ in 0..300 {
        let (name, cookie) = ask(&gateway, &header, "set-cookie").await;
        of_new += usize::from(name.starts_with("new"));
        seen.insert(name);
        if let Some(cookie) = cookie {
            header = shown(&cookie);
        }
    }
    // One endpoint of each. The bounds are five standard deviations away.
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!((50..=130).contains(&of_new), "{of_new} of 300");
}

/// Sessions of the Service.
const POLICY: &str = "---
apiVersion: gateway.networking.x-k8s.io/v1alpha1
kind: XBackendTrafficPolicy
metadata: {name: web, namespace: default}
spec:
  targetRefs: [{group: \"\", kind: Service, name: web}]
  sessionPersistence: {type: Cookie, cookie: {name: of-policy}}
";

#[tokio::test]
async fn a_policy_has_the_sessions_of_rules_without_their_own() {
    let backends = [backend("one").await, backend("two").await];
    let setup = backends.iter().fold(Setup::default(), |setup, backend| {
        setup.endpoint("default/web", 80, backend.address())
    });
    let own = manifests(COOKIE, ONE);
    let none = own.replace(&format!("      sessionPersistence: {COOKIE}\n"), "");
    assert_ne!(own, none);
    let mut gateway = setup.start(&(none + POLICY)).await;
    let (first, cookie) = ask(&gateway, "", "set-cookie").await;
    let cookie = cookie.expect("a cookie");
    assert!(cookie.starts_with("of-policy="), "{cookie}");
    for _ in 0..20 {
        assert_eq!(ask(&gateway, &shown(&cookie), "set-cookie").await, (first.clone(), None));
    }

    gateway.apply(&(own + POLICY)).await;
    let (_, cookie) = ask(&gateway, &shown(&cookie), "set-cookie").await;
    assert!(cookie.expect("a session of the rule").starts_with("stay="));
}
