//! Lists from a small server on the loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    SerialNumber, date_time_ymd,
};
use sealway_core::ListRefusal;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("signed")
}

/// From the first day of a year on, for a thousand years.
fn list(authority: &Authority, year: i32) -> Vec<u8> {
    list_until(authority, year, year + 1000)
}

fn list_until(authority: &Authority, from: i32, to: i32) -> Vec<u8> {
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(from, 1, 1),
        next_update: date_time_ymd(to, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(authority).expect("signed").der().to_vec()
}

/// What is served by path; what is not there is 404, and an empty answer is never given.
type Pages = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct Server {
    address: SocketAddr,
    pages: Pages,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let pages = Pages::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let router = Router::new().fallback(page).with_state(Arc::clone(&pages));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { address, pages, task }
    }

    fn serve(&self, path: &str, content: Vec<u8>) {
        self.pages.lock().expect("pages").insert(path.to_owned(), content);
    }

    fn point(&self, path: &str, authority: &Authority) -> Arc<DistributionPoint> {
        Arc::new(DistributionPoint {
            url: format!("http://{}{path}", self.address),
            issuers: vec![authority.der().clone()],
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(State(pages): State<Pages>, uri: Uri) -> Response {
    let content = pages.lock().expect("pages").get(uri.path()).cloned();
    match content {
        _ if uri.path() == "/moved" => (StatusCode::FOUND, [(header::LOCATION, "/ca.crl")]).into_response(),
        Some(content) if content.is_empty() => std::future::pending().await,
        Some(content) => content.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A fetcher and both its ends.
struct Fetcher {
    wanted: watch::Sender<Vec<Arc<DistributionPoint>>>,
    found: watch::Receiver<Lists>,
    task: JoinHandle<()>,
}

impl Fetcher {
    fn start(directory: Option<PathBuf>) -> Self {
        let (wanted, asked) = watch::channel(Vec::new());
        let (found, lists) = watch::channel(Lists::new());
        Self {
            wanted,
            found: lists,
            task: tokio::spawn(fetch(asked, directory, found)),
        }
    }

    async fn until(&mut self, lists: usize) -> Lists {
        let found = self.found.wait_for(|found| found.len() == lists);
        let found = timeout(Duration::from_secs(20), found)
            .await
            .expect("in time")
            .expect("running");
        found.clone()
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn list_that_is_wanted_comes_and_a_restart_has_it_without_the_server() {
    let authority = authority();
    let server = Server::start().await;
    server.serve("/ca.crl", list(&authority, 2024));
    let directory = tempfile::tempdir().expect("directory");
    let lists = directory.path().join("state/revocation-lists");
    let mut fetcher = Fetcher::start(Some(lists.clone()));
    let point = server.point("/ca.crl", &authority);
    fetcher.wanted.send_replace(vec![Arc::clone(&point)]);
    let found = fetcher.until(1).await;
    assert_eq!(
        (&**found[0].der(), found[0].point()),
        (&*list_of(&server, "/ca.crl"), Some((*point).clone()))
    );
    let file = lists.join(format!("{}.pem", point.content()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !file.exists() {
        assert!(Instant::now() < deadline, "the list is not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((fetcher, server));
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&lists)), (0o600, 0o700));
    let mut restarted = Fetcher::start(Some(lists.clone()));
    assert_eq!(restarted.until(1).await, found);
    drop(restarted);
    // What somebody has changed is as good as not there; what is good beside it is read.
    std::fs::write(lists.join("broken.pem"), "http://crl.test/\nno list").expect("written");
    let text = std::fs::read_to_string(&file).expect("text");
    std::fs::write(lists.join("foreign.pem"), text.replacen("http://127", "http://128", 1)).expect("written");
    std::fs::write(lists.join("signed-by-another.pem"), with_issuer(&text, &self::authority())).expect("written");
    let mut restarted = Fetcher::start(Some(lists));
    let found = restarted.until(2).await;
    assert!(found.iter().any(|list| list.point().as_ref() == Some(&*point)));
}

fn list_of(server: &Server, path: &str) -> Vec<u8> {
    server.pages.lock().expect("pages")[path].clone()
}

fn with_issuer(text: &str, authority: &Authority) -> String {
    let (list, _) = text.split_once("-----BEGIN CERTIFICATE").expect("an issuer");
    format!("{list}{}", authority.pem())
}

#[tokio::test]
async fn nothing_but_the_issuers_own_list_is_taken() {
    let (authority, namesake) = (authority(), authority());
    let server = Server::start().await;
    server.serve("/ca.crl", list(&authority, 2024));
    server.serve("/namesake", list(&namesake, 2024));
    server.serve("/text", b"<html>".to_vec());
    server.serve("/large", vec![0x30; MOST_BYTES + 1]);
    let get = |path: &str| download::list(server.point(path, &authority));
    assert!(get("/ca.crl").await.is_ok());
    assert!(matches!(get("/namesake").await, Err(Failure::Refused(ListRefusal::Unsigned))));
    assert!(matches!(get("/text").await, Err(Failure::Refused(ListRefusal::Unreadable))));
    assert!(matches!(get("/large").await, Err(Failure::TooLarge)));
    assert!(matches!(get("/moved").await, Err(Failure::Status(StatusCode::FOUND))));
    assert!(matches!(get("/none").await, Err(Failure::Status(StatusCode::NOT_FOUND))));
    let at = |url: &str| {
        download::list(Arc::new(DistributionPoint {
            url: url.to_owned(),
            issuers: vec![authority.der().clone()],
        }))
    };
    let named = format!("http://name:password@{}/ca.crl", server.address);
    assert!(at(&named).await.is_ok());
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bound")
        .local_addr()
        .expect("address");
    assert!(matches!(at(&format!("http://{free}/")).await, Err(Failure::Connect(_))));
    for nowhere in ["http://", "http:///ca.crl", "ca.crl"] {
        assert!(matches!(at(nowhere).await, Err(Failure::Url)), "{nowhere}");
    }
}

#[tokio::test]
async fn server_that_is_silent_is_given_up() {
    let authority = authority();
    let server = Server::start().await;
    server.serve("/silent", Vec::new());
    let got = tokio::spawn(download::list(server.point("/silent", &authority)));
    // Connected by then; from here on only the clock moves.
    task::yield_now().await;
    tokio::time::pause();
    assert!(matches!(
        got.await.expect("ended"),
        Err(Failure::Timeout | Failure::Connect(_))
    ));
}

fn known(points: &Points, name: &ContentHash) -> (Option<Timestamp>, Duration, u32) {
    let known = &points.0[name];
    let wait = known.due.expect("due") - Instant::now();
    (known.list.as_ref().map(|list| list.this_update()), wait, known.failures)
}

fn taken(point: &DistributionPoint, bytes: &[u8]) -> Result<RevocationList, Failure> {
    RevocationList::fetched(point, bytes).map_err(Failure::Refused)
}

#[tokio::test(start_paused = true)]
async fn failure_takes_nothing_away_and_is_tried_again_later_and_later() {
    let authority = authority();
    let point = Arc::new(DistributionPoint {
        url: "http://crl.test/".to_owned(),
        issuers: vec![authority.der().clone()],
    });
    let time: Timestamp = "2030-01-01T00:00:00Z".parse().expect("time");
    let (name, mut points) = (point.content(), Points::default());
    points.want(&point);
    points.want(&point);
    assert_eq!(points.due(Instant::now(), 9).len(), 1);
    assert!(points.due(Instant::now(), 9).is_empty() && points.next().is_none());
    let settle = |points: &mut Points, result| points.settle(&name, result, time, Instant::now());
    assert!(settle(&mut points, taken(&point, &list(&authority, 2024))).is_some());
    assert_eq!(
        known(&points, &name),
        (Some("2024-01-01T00:00:00Z".parse().expect("time")), LATEST_REFRESH, 0)
    );
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert!(settle(&mut points, Err(Failure::Timeout)).is_none());
        waits.push(known(&points, &name).1.as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!(points.lists().count(), 1);
    // An older list, or the same, is no news; a newer one is, and the failures are over.
    for old in [2023, 2024] {
        assert!(settle(&mut points, taken(&point, &list(&authority, old))).is_none());
    }
    assert!(settle(&mut points, taken(&point, &list(&authority, 2025))).is_some());
    assert_eq!(
        known(&points, &name),
        (Some("2025-01-01T00:00:00Z".parse().expect("time")), LATEST_REFRESH, 0)
    );
}

#[test]
fn list_is_fetched_again_before_it_ends_and_hourly() {
    let authority = authority();
    let point = DistributionPoint {
        url: "http://crl.test/".to_owned(),
        issuers: vec![authority.der().clone()],
    };
    let list = taken(&point, &list_until(&authority, 2029, 2030)).expect("taken");
    let at = |time: &str| refresh(&list, time.parse().expect("time")).as_secs();
    assert_eq!(at("2029-06-01T00:00:00Z"), 3600);
    assert_eq!(at("2029-12-31T23:40:00Z"), 900);
    assert_eq!(at("2029-12-31T23:59:59Z"), 60);
    assert_eq!(at("2030-01-01T00:00:00Z"), 60);
}

#[tokio::test(start_paused = true)]
async fn there_is_room_for_so_many_and_what_never_gave_anything_makes_room() {
    let authority = authority();
    let point = |number: usize| {
        Arc::new(DistributionPoint {
            url: format!("http://crl.test/{number}"),
            issuers: vec![authority.der().clone()],
        })
    };
    let mut points = Points::default();
    (0..=MOST_POINTS).for_each(|number| points.want(&point(number)));
    assert_eq!(points.0.len(), MOST_POINTS);
    let last = point(MOST_POINTS);
    assert!(!points.0.contains_key(&last.content()));
    points.settle(&point(3).content(), Err(Failure::Timeout), Timestamp::now(), Instant::now());
    points.want(&last);
    assert_eq!(points.0.len(), MOST_POINTS);
    assert!(points.0.contains_key(&last.content()) && !points.0.contains_key(&point(3).content()));
}

#[tokio::test(start_paused = true)]
async fn sources_are_told_together_and_their_end_is_no_news() {
    let authority = authority();
    let issued = RevocationList::issued(
        sealway_api::ObjectRef::new(sealway_api::Kind::Issuer, "infra", "ca"),
        vec![authority.der().clone()],
        &list(&authority, 2024),
    );
    let (own, issued_lists) = watch::channel(Lists::new());
    let mut sources = ListSources {
        issued: issued_lists,
        fetched: watch::channel(Lists::new()).1,
    };
    assert!(sources.known().is_empty());
    own.send_replace(vec![Arc::new(issued.expect("signed"))]);
    sources.changed().await;
    assert_eq!(sources.known().len(), 1);
    drop(own);
    assert!(timeout(Duration::from_secs(1), sources.changed()).await.is_err());
}
