//! Requests that two readers may take for different ones, sent through the gateway to a backend that records what arrives.
//!
//! Input: the corpus (`conformance/suites/smuggling.yaml`). A case is one request, then at once a victim on the same client connection,
//! then a bystander on a new one. The rule for all: what reaches the backend is unambiguous ([`strict`]), holds the case at most once and
//! nothing that the case tried to hide, and victim and bystander get their own answers or, the victim only, none.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sealway_demo::clients::Client;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::front::{Front, NAME, Protocol, Service, http_route};
use crate::e2e::context::{Context, SUITES};

mod corpus;
mod http1;
mod http2;
mod recorder;
mod strict;

use corpus::{Case, Message, Must};
use http1::Response;
use http2::Answer;
use recorder::{Recorder, Seen};

/// Every case through each listener to an HTTP/1.1 backend.
pub(crate) async fn corpus(context: &Context) -> anyhow::Result<String> {
    let recorder = Recorder::start().await?;
    let service = Service {
        name: "recorder",
        protocol: Protocol::Http1,
        address: recorder.address,
    };
    let front = Front::start(context, "smuggling", &[service], &[http_route(&[("/", "recorder")])]).await?;
    let client = Client::trusting(&context.certificates.authority)?;
    let listeners = [(front.https, Some(client)), (front.http, None)];
    let cases = corpus::read(&context.root.join(SUITES).join("smuggling.yaml"))?;
    let (mut failed, mut refused, mut reached) = (Vec::new(), 0, 0);
    for (address, tls) in listeners {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let through = Through { address, tls };
        for case in cases.iter().filter(|case| through.tls.is_some() || !case.tls) {
            match through.judge(case, &recorder).await? {
                Ok(Outcome::Reached) => reached += 1,
                Ok(Outcome::Refused) => refused += 1,
                Err(reason) => failed.push(format!("{} ({scheme}): {reason}", case.name)),
            }
        }
    }
    ensure!(
        failed.is_empty(),
        "{} of {} cases, twice each:\n  {}",
        failed.len(),
        cases.len(),
        failed.join("\n  ")
    );
    Ok(format!(
        "{} cases, with TLS and without: {refused} refused, {reached} normalised",
        cases.len()
    ))
}

/// What became of a case that did no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It reached the backend, as one request, or as the beginning of one.
    Reached,
    /// It did not.
    Refused,
}

/// Where cases are sent.
struct Through {
    address: SocketAddr,
    /// Nothing for plain text, where HTTP/2 is prior knowledge.
    tls: Option<Client>,
}

impl Through {
    /// Sends a case, the victim and the bystander. The inner error is the case's verdict, the outer one ends the scenario.
    async fn judge(&self, case: &Case, recorder: &Recorder) -> anyhow::Result<Result<Outcome, String>> {
        let silence = if case.demands(Must::Answer) { PATIENT } else { SILENCE };
        let answers = match &case.message {
            Message::Http1(bytes) => {
                let victim = http1_request(&case.victim(), "Connection: close\r\n");
                let sent = [bytes.as_slice(), victim.as_bytes()].concat();
                Answers::Http1(http1::responses(&self.http1(&sent, silence).await?))
            }
            Message::Http2(stream) => {
                let exchange = async {
                    let victim = case.victim();
                    anyhow::Ok(match &self.tls {
                        Some(client) => http2::exchange(self.encrypted(client, "h2").await?, stream, &victim, silence).await,
                        None => http2::exchange(TcpStream::connect(self.address).await?, stream, &victim, silence).await,
                    })
                };
                let (own, victim) = tokio::time::timeout(CASE, exchange).await.context(ENDLESS)??;
                Answers::Http2(own, victim)
            }
        };
        // Behind the case on the gateway's connections to the backend.
        let bystander = http1_request(&case.bystander(), "Connection: close\r\n");
        let bystander = http1::responses(&self.http1(bystander.as_bytes(), PATIENT).await?);
        Ok(verdict(case, &answers, &bystander, &recorder.take()))
    }

    async fn http1(&self, bytes: &[u8], silence: Duration) -> anyhow::Result<Vec<u8>> {
        let exchange = async {
            anyhow::Ok(match &self.tls {
                Some(client) => http1::exchange(self.encrypted(client, "http/1.1").await?, bytes, silence).await,
                None => http1::exchange(TcpStream::connect(self.address).await?, bytes, silence).await,
            })
        };
        tokio::time::timeout(CASE, exchange).await.context(ENDLESS)?
    }

    async fn encrypted(&self, client: &Client, protocol: &str) -> anyhow::Result<TlsStream<TcpStream>> {
        let session = client.clone().offering(&[protocol]).connect(self.address, NAME).await?;
        Ok(session.stream)
    }
}

fn http1_request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {NAME}\r\n{fields}\r\n")
}

/// What the client got for case and victim.
enum Answers {
    /// The responses on the connection in their order.
    Http1(Result<Vec<Response>, String>),
    /// Stream by stream.
    Http2(Answer, Answer),
}

fn verdict(case: &Case, answers: &Answers, bystander: &Result<Vec<Response>, String>, seen: &Seen) -> Result<Outcome, String> {
    let (own, victim, bystander_target) = (case.target(), case.victim(), case.bystander());
    if let Some(reason) = seen.ambiguous.first() {
        return Err(format!("ambiguous at the backend: {reason}"));
    }
    let mut reached = 0;
    for request in &seen.requests {
        let target = request.target.split('?').next().unwrap_or_default();
        let is_own = target == own;
        let is_other = request.method == "GET" && (target == victim || target == bystander_target);
        reached += usize::from(is_own);
        // What an earlier case left behind on a busy machine is late, not wrong.
        let is_late = case.is_of_another(target);
        if !is_own && !is_other && !is_late {
            return Err(format!("the backend saw `{} {}`", request.method, request.target));
        }
        let host = request.field("host").unwrap_or_default();
        if host.split(':').next() != Some(NAME) {
            return Err(format!("the backend saw Host `{host}`"));
        }
    }
    if reached > 1 {
        return Err(format!("the backend saw it {reached} times"));
    }
    let bodies: Vec<&str> = match answers {
        Answers::Http1(Err(reason)) => return Err(reason.clone()),
        Answers::Http1(Ok(responses)) => http1_bodies(responses)?,
        Answers::Http2(first, second) => http2_bodies(first, second, &victim)?,
    };
    if let Some(foreign) = bodies.iter().find(|body| **body != victim && !body.starts_with(&own)) {
        return Err(format!("the client got the answer to `{foreign}`"));
    }
    match bystander.as_deref() {
        Ok([response]) if response.status == 200 && response.body == bystander_target => {}
        other => return Err(format!("the bystander got {other:?}")),
    }
    demands(
        case,
        reached,
        bodies.contains(&victim.as_str()),
        bodies.iter().any(|body| body.starts_with(&own)),
    )
}

/// Bodies of what the backend has answered. At most case and victim are answered, by it or by the gateway.
fn http1_bodies(responses: &[Response]) -> Result<Vec<&str>, String> {
    if responses.len() > 2 {
        return Err(format!("{} responses: {responses:?}", responses.len()));
    }
    let answered = responses.iter().filter(|response| response.status == 200);
    Ok(answered.map(|response| response.body.as_str()).collect())
}

fn http2_bodies<'a>(own: &'a Answer, other: &'a Answer, victim: &str) -> Result<Vec<&'a str>, String> {
    if other.is_ok && other.body != victim {
        return Err(format!("the victim got {other:?}"));
    }
    if own.is_ok && own.body.contains(victim) {
        return Err(format!("the case got the victim's answer: {own:?}"));
    }
    Ok([own, other]
        .into_iter()
        .filter(|answer| answer.is_ok)
        .map(|answer| answer.body.as_str())
        .collect())
}

fn demands(case: &Case, reached: usize, victim_answered: bool, own_answered: bool) -> Result<Outcome, String> {
    if case.demands(Must::Refuse) && reached > 0 {
        return Err("it has to be refused, and reached the backend".to_owned());
    }
    if case.demands(Must::Close) && victim_answered {
        return Err("the connection has to be closed, and went on".to_owned());
    }
    if case.demands(Must::Answer) && !(own_answered && victim_answered) {
        return Err(format!(
            "a good request: answered {own_answered}, the one behind it {victim_answered}"
        ));
    }
    Ok(if reached > 0 { Outcome::Reached } else { Outcome::Refused })
}

/// Nothing for so long means that nothing will come: the gateway waits for more of the request.
const SILENCE: Duration = Duration::from_millis(400);
/// The same where an answer has to come, on a machine that is busy.
const PATIENT: Duration = Duration::from_secs(5);
/// Longest that one exchange may take.
const CASE: Duration = Duration::from_secs(10);
const ENDLESS: &str = "a case without end";

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Behind a relay that understands nothing, what is hidden gets through: the judge has to say so.
    #[tokio::test]
    async fn a_relay_that_understands_nothing_fails() -> anyhow::Result<()> {
        let recorder = Recorder::start().await?;
        let listener = TcpListener::bind(sealway_testkit::LOOPBACK).await?;
        let through = Through {
            address: listener.local_addr()?,
            tls: None,
        };
        let backend = recorder.address;
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(backend).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
                    std::io::Result::Ok(())
                });
            }
        });
        let cases = corpus::read(&crate::root().join(SUITES).join("smuggling.yaml"))?;
        let (mut caught, mut harmless) = (0, Vec::new());
        for case in cases.iter().filter(|case| matches!(case.message, Message::Http1(_))) {
            let outcome = through.judge(case, &recorder).await?;
            let is_good = case.demands(Must::Answer);
            match outcome {
                Err(reason) => {
                    assert!(!is_good || reason.contains("ambiguous"), "{}: {reason}", case.name);
                    caught += 1;
                }
                Ok(_) if !is_good => harmless.push(case.name.as_str()),
                Ok(_) => {}
            }
        }
        assert!(caught > harmless.len() * 5, "caught {caught}, not {harmless:?}");
        Ok(())
    }
}
