//! Load that does not stop: requests on new connections and on kept ones, in HTTP and through passthrough, each kind at a steady rate.
//!
//! Input: the address of a Gateway. Output: [`Figures`]: how many were asked, and every request that was not answered with 200 in time.
//! A client that is told to close, or finds its connection closed before it asks, takes a new one, as any HTTP client does; a request
//! that was sent and fails counts. Invariant: at most `DEADLINE` times the rate are under way.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sealway_demo::clients::Client;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    protocol: Protocol,
    is_kept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Passthrough,
}

/// Where requests go, and who answers for TLS.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) gateway: IpAddr,
    /// Trusts the backend behind passthrough.
    pub(super) client: Client,
}

/// What became of one request.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    way: Way,
    asked: Instant,
    took: Duration,
    /// Why it has failed.
    fault: Option<String>,
}

/// Load that goes on until it is told to finish.
#[derive(Debug)]
pub(super) struct Load {
    outcomes: Outcomes,
    end: watch::Sender<bool>,
    streams: JoinSet<()>,
}

type Outcomes = Arc<Mutex<Vec<Outcome>>>;

impl Load {
    /// Starts all kinds.
    pub(super) fn start(target: &Target) -> Self {
        let outcomes = Outcomes::default();
        let (end, ended) = watch::channel(false);
        let mut streams = JoinSet::new();
        for protocol in [Protocol::Http, Protocol::Passthrough] {
            let stream = |is_kept| Stream {
                target: target.clone(),
                way: Way { protocol, is_kept },
                outcomes: Arc::clone(&outcomes),
                ended: ended.clone(),
            };
            streams.spawn(stream(false).ask_anew());
            for index in 0..KEPT {
                streams.spawn(stream(true).ask_on(PERIOD * index));
            }
        }
        Self { outcomes, end, streams }
    }

    /// Goes on until so many more requests have been answered, or not.
    pub(super) async fn go_on(&self, requests: usize) {
        let count = || self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).len();
        let aim = count() + requests;
        while count() < aim {
            sleep(PERIOD).await;
        }
    }

    /// Waits for what is under way, and sums up.
    pub(super) async fn finish(mut self) -> Figures {
        self.end.send_replace(true);
        while self.streams.join_next().await.is_some() {}
        Figures {
            outcomes: std::mem::take(&mut *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// One kind's requests, or those on one kept connection.
struct Stream {
    target: Target,
    way: Way,
    outcomes: Outcomes,
    ended: watch::Receiver<bool>,
}

impl Stream {
    /// Each request on a connection of its own, whether or not earlier ones are answered.
    async fn ask_anew(mut self) {
        let mut ticks = ticks(PERIOD, Duration::ZERO);
        let mut asking = JoinSet::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = self.ended.changed() => break,
            }
            while asking.try_join_next().is_some() {}
            let (target, way, outcomes) = (self.target.clone(), self.way, Arc::clone(&self.outcomes));
            asking.spawn(async move {
                let ask = async { target.connect(way.protocol).await?.ask(way.protocol.host()).await.map(drop) };
                record(way, &outcomes, ask).await;
            });
        }
        while asking.join_next().await.is_some() {}
    }

    /// One request after the other on a connection that is kept.
    async fn ask_on(mut self, offset: Duration) {
        let mut ticks = ticks(PERIOD * KEPT, offset);
        let mut held: Option<Connection> = None;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = self.ended.changed() => return,
            }
            if let Some(connection) = &mut held {
                // Nobody can tell a client inside passthrough that the gateway is about to end: it gets the drain timeout, and no more.
                let is_old = self.way.protocol == Protocol::Passthrough && connection.opened.elapsed() > PASSTHROUGH_KEPT;
                if is_old || connection.is_closed().await {
                    held = None;
                }
            }
            let ask = async {
                let mut connection = match held.take() {
                    Some(connection) => connection,
                    None => self.target.connect(self.way.protocol).await?,
                };
                if !connection.ask(self.way.protocol.host()).await?.closes {
                    held = Some(connection);
                }
                Ok(())
            };
            record(self.way, &self.outcomes, ask).await;
        }
    }
}

fn ticks(period: Duration, offset: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + offset, period);
    // A late machine must not make a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn record(way: Way, outcomes: &Outcomes, ask: impl Future<Output = anyhow::Result<()>>) {
    let asked = Instant::now();
    let fault = match timeout(DEADLINE, ask).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some("no answer in time".to_owned()),
    };
    let outcome = Outcome {
        way,
        asked,
        took: asked.elapsed(),
        fault,
    };
    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
}

/// An open connection.
pub(super) struct Connection {
    stream: Box<dyn Duplex>,
    opened: Instant,
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<Stream: AsyncRead + AsyncWrite + Unpin + Send> Duplex for Stream {}

/// An answer with a status that was asked for.
pub(super) struct Answer {
    pub(super) head: String,
    closes: bool,
}

impl Target {
    /// Asks the plain listener once.
    pub(super) async fn ask_http(&self, host: &str) -> anyhow::Result<Answer> {
        timeout(DEADLINE, async { self.connect(Protocol::Http).await?.ask(host).await }).await?
    }

    /// Asks once in each protocol.
    pub(super) async fn answers(&self) -> anyhow::Result<()> {
        for protocol in [Protocol::Http, Protocol::Passthrough] {
            timeout(DEADLINE, async { self.connect(protocol).await?.ask(protocol.host()).await }).await??;
        }
        Ok(())
    }

    async fn connect(&self, protocol: Protocol) -> anyhow::Result<Connection> {
        let address = SocketAddr::new(self.gateway, protocol.port());
        let stream: Box<dyn Duplex> = match protocol {
            Protocol::Http => return Connection::plain(address).await,
            Protocol::Passthrough => {
                let session = self.client.connect(address, protocol.host()).await.context("connect")?;
                Box::new(session.stream)
            }
        };
        Ok(Connection {
            stream,
            opened: Instant::now(),
        })
    }
}

impl Connection {
    /// One without TLS.
    pub(super) async fn plain(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Box::new(stream),
            opened: Instant::now(),
        })
    }

    /// Whether the other side has closed it while nobody asked.
    async fn is_closed(&mut self) -> bool {
        timeout(Duration::ZERO, self.stream.read_u8()).await.is_ok()
    }

    pub(super) async fn ask(&mut self, host: &str) -> anyhow::Result<Answer> {
        self.exchange(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"), &["200"])
            .await
    }

    /// Sends a request and waits for its whole answer, whose status must be one of those.
    pub(super) async fn exchange(&mut self, request: &str, statuses: &[&str]) -> anyhow::Result<Answer> {
        self.stream.write_all(request.as_bytes()).await.context("request")?;
        self.stream.flush().await.context("request")?;
        let (mut read, mut head_length) = (Vec::new(), None);
        while head_length.is_none() {
            ensure!(read.len() < HEAD_MAX, "the head has no end");
            ensure!(
                self.stream.read_buf(&mut read).await.context("head")? > 0,
                "closed before the answer"
            );
            head_length = read.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
        }
        let head_length = head_length.unwrap_or_default();
        let head = String::from_utf8_lossy(&read[..head_length]).to_ascii_lowercase();
        let status = head.split_whitespace().nth(1).unwrap_or_default();
        ensure!(statuses.contains(&status), "{}", head.lines().next().unwrap_or_default());
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = header("content-length:").context("no content-length")?.parse()?;
        while read.len() < head_length + length {
            ensure!(
                self.stream.read_buf(&mut read).await.context("body")? > 0,
                "closed inside the answer"
            );
        }
        let closes = header("connection:") == Some("close");
        Ok(Answer { head, closes })
    }
}

impl Protocol {
    fn host(self) -> &'static str {
        match self {
            Self::Http => HTTP_HOST,
            Self::Passthrough => PASSTHROUGH_HOST,
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Passthrough => 8443,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Http => "HTTP",
            Protocol::Passthrough => "passthrough",
        };
        write!(formatter, "{protocol} {}", if self.is_kept { "kept" } else { "new" })
    }
}

/// What became of all requests.
#[derive(Debug)]
pub(super) struct Figures {
    outcomes: Vec<Outcome>,
}

impl Figures {
    /// Those that have failed and were asked, or under way, at no moment of `excused`.
    pub(super) fn failed_outside(&self, excused: &[(Instant, Instant)]) -> usize {
        let is_excused = |outcome: &&Outcome| {
            let ended = outcome.asked + outcome.took;
            excused.iter().any(|(from, to)| outcome.asked <= *to && ended >= *from)
        };
        self.outcomes
            .iter()
            .filter(|it| it.fault.is_some() && !is_excused(it))
            .count()
    }
}

impl fmt::Display for Figures {
    /// A part for each kind, then the failures in the order of time.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for protocol in [Protocol::Http, Protocol::Passthrough] {
            for is_kept in [false, true] {
                let way = Way { protocol, is_kept };
                let of_way: Vec<_> = self.outcomes.iter().filter(|outcome| outcome.way == way).collect();
                let failed = of_way.iter().filter(|outcome| outcome.fault.is_some()).count();
                let slowest = of_way.iter().map(|outcome| outcome.took).max().unwrap_or_default();
                write!(
                    formatter,
                    "{separator}{way}: {} asked, {failed} failed, slowest {} ms",
                    of_way.len(),
                    slowest.as_millis()
                )?;
                separator = "; ";
            }
        }
        let start = self.outcomes.iter().map(|outcome| outcome.asked).min();
        let failed = self
            .outcomes
            .iter()
            .filter_map(|outcome| Some((outcome, outcome.fault.as_ref()?)));
        for (outcome, fault) in failed.take(SHOWN) {
            let at = start.map(|start| outcome.asked - start).unwrap_or_default();
            write!(
                formatter,
                "\n  at {:.2} s, {} after {} ms: {fault}",
                at.as_secs_f64(),
                outcome.way,
                outcome.took.as_millis()
            )?;
        }
        Ok(())
    }
}

/// Of the routes of `testdata/cluster/load.yaml`.
const HTTP_HOST: &str = "plain.example.com";
pub(super) const PASSTHROUGH_HOST: &str = "passthrough.example.com";
/// Between two requests of one kind: 50 a second.
const PERIOD: Duration = Duration::from_millis(20);
/// Kept connections of one kind.
const KEPT: u32 = 5;
/// Shorter than the drain timeout of proxies, 30 s.
const PASSTHROUGH_KEPT: Duration = Duration::from_secs(10);
/// Longest that a request may take.
const DEADLINE: Duration = Duration::from_secs(5);
const HEAD_MAX: usize = 8 * 1024;
/// So many failures tell enough.
const SHOWN: usize = 40;
