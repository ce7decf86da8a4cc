use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use sealway_api::{Kind, ObjectKey, ObjectRef};
use sealway_core::{BackendProtocol, Filters, HttpBackend, RuleKind, UpstreamTls, WeightedBackend};

use super::*;

fn key() -> SessionKey {
    SessionKey::new([7; 32])
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_900_000_000 + seconds)
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 8080))
}

fn backend(endpoints: &[u8]) -> Arc<Backend> {
    Arc::new(Backend {
        service: ObjectKey::new("shop", "web"),
        port: 80,
        endpoints: endpoints.iter().copied().map(address).collect(),
        proxy_protocol: None,
        protocol: BackendProtocol::Unstated,
        tls: UpstreamTls::Plain,
        retry_budget: None,
    })
}

fn cookie(permanent: bool) -> Session {
    Session {
        owner: "HTTPRoute shop/web".to_owned(),
        carrier: SessionCarrier::Cookie {
            name: "stay".to_owned(),
            path: "/".to_owned(),
            permanent,
        },
        absolute_timeout: None,
        idle_timeout: None,
    }
}

fn rule(session: Session, backends: &[Arc<Backend>]) -> HttpRule {
    let session = Arc::new(session);
    HttpRule {
        route: ObjectRef::new(Kind::HttpRoute, "shop", "web"),
        position: 0,
        name: None,
        kind: RuleKind::Http,
        filters: Filters::default(),
        backends: backends
            .iter()
            .map(|backend| HttpBackend {
                backend: WeightedBackend {
                    name: "shop/web:80".to_owned(),
                    weight: 1,
                    target: Target::Backend(Arc::clone(backend)),
                },
                filters: Filters::default(),
                session: Some(Arc::clone(&session)),
                fault: None,
            })
            .collect(),
        fault: None,
        request_timeout: None,
        backend_timeout: None,
        connect_timeout: Duration::from_secs(5),
        retry: None,
    }
}

/// A browser: keeps what it is told, and shows it again.
#[derive(Default)]
struct Browser {
    headers: HeaderMap,
    told: Option<String>,
}

impl Browser {
    /// One request to a backend of the rule, which goes where its session is, or else to `drawn`. Returns where it went.
    fn visit(&mut self, rule: &HttpRule, position: usize, drawn: u8, now: SystemTime) -> SocketAddr {
        let chosen = &rule.backends[position];
        let Target::Backend(backend) = &chosen.backend.target else {
            panic!("no backend")
        };
        let session = chosen.session.as_ref().expect("session");
        let visit = Visit::new(session, &key(), backend, &self.headers, now);
        let endpoint = visit.endpoint.unwrap_or(address(drawn));
        let mut response = HeaderMap::new();
        visit.answer(endpoint, rule, true, &mut response);
        self.told = response.get(SET_COOKIE).map(|value| value.to_str().expect("text").to_owned());
        if let Some(told) = &self.told {
            let pair = told.split(';').next().expect("pair");
            self.headers
                .insert(COOKIE, HeaderValue::from_str(&format!("a=b; {pair}; c=d")).expect("value"));
        }
        if let Some(value) = response.get("x-session") {
            self.headers.insert("x-session", value.clone());
        }
        endpoint
    }
}

#[test]
fn a_client_stays_where_it_was_and_is_told_so_once() {
    let rule = rule(cookie(false), &[backend(&[1, 2, 3])]);
    let mut browser = Browser::default();
    assert_eq!(browser.visit(&rule, 0, 2, at(0)), address(2));
    let told = browser.told.clone().expect("told");
    assert!(
        told.starts_with("stay=") && told.ends_with("; Path=/; HttpOnly; Secure; SameSite=Strict"),
        "{told}"
    );
    for seconds in 1..10 {
        assert_eq!(browser.visit(&rule, 0, 1, at(seconds)), address(2));
        assert_eq!(browser.told, None);
    }
}

#[test]
fn an_endpoint_that_is_gone_begins_a_new_session() {
    let mut browser = Browser::default();
    browser.visit(&rule(cookie(false), &[backend(&[1, 2])]), 0, 2, at(0));
    let fewer = rule(cookie(false), &[backend(&[1, 3])]);
    assert_eq!(browser.visit(&fewer, 0, 3, at(1)), address(3));
    assert!(browser.told.is_some());
    // And it is not forgotten again when the first one comes back.
    let all = rule(cookie(false), &[backend(&[1, 2, 3])]);
    assert_eq!(browser.visit(&all, 0, 1, at(2)), address(3));
}

#[test]
fn each_backend_of_a_rule_keeps_its_own_endpoint() {
    let rule = rule(cookie(false), &[backend(&[1, 2]), backend(&[11, 12])]);
    let mut browser = Browser::default();
    browser.visit(&rule, 0, 2, at(0));
    browser.visit(&rule, 1, 12, at(1));
    for seconds in 2..6 {
        assert_eq!(browser.visit(&rule, 0, 1, at(seconds)), address(2));
        assert_eq!(browser.visit(&rule, 1, 11, at(seconds)), address(12));
        assert_eq!(browser.told, None);
    }
}

#[test]
fn a_session_ends_by_its_age() {
    let session = Session {
        absolute_timeout: Some(Duration::from_secs(300)),
        ..cookie(true)
    };
    let rule = rule(session, &[backend(&[1, 2]), backend(&[11])]);
    let mut browser = Browser::default();
    browser.visit(&rule, 0, 2, at(0));
    assert!(browser.told.as_ref().expect("told").contains("; Max-Age=300;"));
    browser.visit(&rule, 1, 11, at(100));
    // What is added does not prolong it.
    assert!(browser.told.as_ref().expect("told").contains("; Max-Age=200;"));
    assert_eq!(browser.visit(&rule, 0, 1, at(299)), address(2));
    assert_eq!(browser.visit(&rule, 0, 1, at(300)), address(1));
    assert!(browser.told.as_ref().expect("told").contains("; Max-Age=300;"));
}

#[test]
fn a_session_that_is_used_does_not_idle() {
    let session = Session {
        idle_timeout: Some(Duration::from_secs(10)),
        ..cookie(false)
    };
    let rule = rule(session, &[backend(&[1, 2])]);
    let mut browser = Browser::default();
    browser.visit(&rule, 0, 2, at(0));
    for seconds in (9..90).step_by(9) {
        assert_eq!(browser.visit(&rule, 0, 1, at(seconds)), address(2));
        let told = browser.told.as_ref().expect("told");
        assert!(!told.contains("Max-Age"), "{told}");
    }
    assert_eq!(browser.visit(&rule, 0, 1, at(91)), address(1));
}

#[test]
fn a_header_goes_both_ways() {
    let session = Session {
        carrier: SessionCarrier::Header(http::HeaderName::from_static("x-session")),
        ..cookie(false)
    };
    let rule = rule(session, &[backend(&[1, 2])]);
    let mut browser = Browser::default();
    browser.visit(&rule, 0, 2, at(0));
    assert!(browser.told.is_none() && browser.headers.contains_key("x-session"));
    assert_eq!(browser.visit(&rule, 0, 1, at(1)), address(2));
}

#[test]
fn of_several_cookies_the_one_that_is_ours_counts() {
    let session = Arc::new(cookie(false));
    let token = Token {
        begun: Duration::from_secs(1_900_000_000),
        used: Duration::from_secs(1_900_000_000),
        endpoints: vec![address(2)],
    };
    let text = token.seal(&key(), &session).expect("sealed");
    let mut headers = HeaderMap::new();
    headers.append(COOKIE, HeaderValue::from_static("stay=of-the-backend; STAY=x"));
    headers.append(COOKIE, HeaderValue::from_str(&format!("b=1;stay=\"{text}\"")).expect("value"));
    let visit = Visit::new(&session, &key(), &backend(&[1, 2]), &headers, at(0));
    assert_eq!(visit.endpoint, Some(address(2)));
}

#[test]
fn nothing_of_another_owner_name_or_key_counts_and_nothing_says_where() {
    let session = cookie(false);
    let token = Token {
        begun: Duration::from_secs(1),
        used: Duration::from_secs(2),
        endpoints: vec![address(1), "[2001:db8::1]:443".parse().expect("address")],
    };
    let text = token.seal(&key(), &session).expect("sealed");
    assert_eq!(Token::open(&text, &key(), &session).as_ref(), Some(&token));
    assert_ne!(
        token.seal(&key(), &session),
        Some(text.clone()),
        "two clients of one endpoint look the same"
    );
    let bytes = URL_SAFE_NO_PAD.decode(&text).expect("base64");
    assert!(!bytes.windows(4).any(|window| window == [10, 0, 0, 1]));
    let other = Session {
        owner: "HTTPRoute shop/other".to_owned(),
        ..session.clone()
    };
    assert_eq!(Token::open(&text, &key(), &other), None);
    let other = Session {
        carrier: SessionCarrier::Header(http::HeaderName::from_static("stay2")),
        ..session.clone()
    };
    assert_eq!(Token::open(&text, &key(), &other), None);
    assert_eq!(Token::open(&text, &SessionKey::new([8; 32]), &session), None);
    for end in 0..text.len() {
        assert_eq!(Token::open(&text[..end], &key(), &session), None, "{end}");
    }
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        assert_eq!(
            Token::open(&URL_SAFE_NO_PAD.encode(changed), &key(), &session),
            None,
            "{position}"
        );
    }
    const { assert!(MOST_ENDPOINTS * 19 + 17 + NONCE + 16 <= LONGEST / 4 * 3) };
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a client shows: it gets to an endpoint that its backend has, or to a new one.
    #[test]
    fn what_a_client_makes_up_leads_nowhere(text in "[ -~]{0,600}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let session = Arc::new(cookie(false));
        for value in [text, format!("stay={}", URL_SAFE_NO_PAD.encode(&bytes))] {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(&value).expect("visible"));
            prop_assert_eq!(Visit::new(&session, &key(), &backend(&[1]), &headers, at(0)).endpoint, None);
        }
        if let Some(token) = Token::read(&bytes) {
            prop_assert_eq!(token.bytes(), bytes);
        }
    }
}

/// A policy's sessions are met through many rules: what one knows nothing of is still there for the others.
#[test]
fn a_session_that_rules_share_loses_no_endpoint_to_one_of_them() {
    let session = Session {
        owner: "XBackendTrafficPolicy shop/web".to_owned(),
        ..cookie(false)
    };
    let (one, other) = (
        rule(session.clone(), &[backend(&[1, 2])]),
        rule(session, &[backend(&[11, 12])]),
    );
    let mut browser = Browser::default();
    browser.visit(&one, 0, 2, at(0));
    browser.visit(&other, 0, 12, at(1));
    for seconds in 2..6 {
        assert_eq!(browser.visit(&one, 0, 1, at(seconds)), address(2));
        assert_eq!(browser.visit(&other, 0, 11, at(seconds)), address(12));
        assert_eq!(browser.told, None);
    }
    // However many have come and gone, a token does not grow.
    for number in 20..60 {
        browser.visit(
            &rule(
                Session {
                    owner: "XBackendTrafficPolicy shop/web".to_owned(),
                    ..cookie(false)
                },
                &[backend(&[number])],
            ),
            0,
            number,
            at(7),
        );
    }
    let told = browser.told.expect("told");
    assert!(told.len() < LONGEST, "{told}");
}
