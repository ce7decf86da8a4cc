//! What must hold while things change or go wrong: reloads, removed routes, the end of the process, slow senders, descriptors.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sealway_demo::clients::{Client, Session};
use sealway_testkit::faulty::{echo_over_tls, plain_echo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::context::Context;
use super::gateway::{Gateway, Options, Route, route};
use super::process::excerpt;

/// 100 clients send half a hello and stay; a good client must not notice, and they must be gone at the deadline.
pub(crate) async fn slow_senders(context: &Context) -> anyhow::Result<String> {
    let backend = echo_over_tls(&context.certificates.payment).await?;
    let options = Options {
        flags: flags(&["--hello-timeout", "3s"]),
        ..Options::default()
    };
    let gateway = Gateway::start(context, "slow", &[backend.address()], &[route(PAYMENT, 0)], options).await?;
    let client = Client::trusting(&context.certificates.authority)?;
    let alone = exchange(&client, &gateway).await?;

    let hello = captured_hello(&client).await?;
    let started = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..SLOW_SENDERS {
        let mut stream = TcpStream::connect(gateway.address).await?;
        stream.write_all(&hello[..hello.len() / 2]).await?;
        slow.push(stream);
    }
    let beside = exchange(&client, &gateway).await?;
    ensure!(
        beside < Duration::from_millis(500),
        "the good client took {beside:?}, alone {alone:?}"
    );
    for stream in &mut slow {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        ended.ok().context("a slow sender still holds its connection")?.ok();
    }
    let gone = started.elapsed();
    Ok(format!(
        "good client {} ms, alone {} ms; slow ones gone after {:.1} s",
        beside.as_millis(),
        alone.as_millis(),
        gone.as_secs_f64()
    ))
}

/// One connection carries 1 GiB to an echo and back while 100 changes take effect; every byte is compared.
pub(crate) async fn transfer_through_reloads(context: &Context) -> anyhow::Result<String> {
    let backend = plain_echo().await?;
    let gateway = Gateway::start(
        context,
        "transfer",
        &[backend.address()],
        &[route(PAYMENT, 0)],
        Options::default(),
    )
    .await?;
    let client = Client::trusting(&context.certificates.authority)?;
    let hello = captured_hello(&client).await?;
    let mut stream = TcpStream::connect(gateway.address).await?;
    // The echo sends the hello back; after it both ends are bytes to the gateway.
    stream.write_all(&hello).await?;
    let mut echoed = vec![0; hello.len()];
    stream.read_exact(&mut echoed).await?;
    ensure!(echoed == hello, "the hello was changed on its way");

    let started = Instant::now();
    let (mut receiver, mut sender) = stream.into_split();
    let receiving = tokio::spawn(async move {
        let mut buffer = vec![0; BLOCK];
        for number in 0..BLOCKS {
            receiver
                .read_exact(&mut buffer)
                .await
                .with_context(|| format!("after {number} MiB"))?;
            ensure!(buffer == block(number), "MiB {number} arrived changed");
        }
        anyhow::Ok(())
    });
    let mut sent = 0;
    for change in 1..=RELOADS {
        // Waiting for the change comes after its share of bytes is on its way: they move while it takes effect.
        gateway.apply(&[route(PAYMENT, 0), route(&format!("reload-{change}.example.com"), 0)])?;
        let share = BLOCKS * change / RELOADS;
        for number in sent..share {
            sender.write_all(&block(number)).await?;
        }
        sent = share;
        gateway.wait_snapshot(&format!("reload-{change}.example.com"), true).await?;
    }
    receiving.await??;
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!(
        "{BLOCKS} MiB each way intact through {RELOADS} changes in {seconds:.1} s"
    ))
}

/// A removed route refuses newcomers at once and lets its connections go on until the drain deadline; others never notice.
pub(crate) async fn removed_route(context: &Context) -> anyhow::Result<String> {
    let backend = echo_over_tls(&context.certificates.payment).await?;
    let vault = echo_over_tls(&context.certificates.vault).await?;
    let backends = [backend.address(), vault.address()];
    let options = Options {
        flags: flags(&["--drain-timeout", "2s"]),
        ..Options::default()
    };
    let gateway = Gateway::start(context, "removed", &backends, &[route(PAYMENT, 0), route(VAULT, 1)], options).await?;
    let client = Client::trusting(&context.certificates.authority)?;
    let mut removed = client.connect(gateway.address, PAYMENT).await?;
    let mut kept = client.connect(gateway.address, VAULT).await?;
    let without: [Route; 1] = [route(VAULT, 1)];
    gateway.apply(&without)?;
    gateway.wait_snapshot(PAYMENT, false).await?;
    echo(&mut removed)
        .await
        .context("the removed route's connection did not drain")?;
    ensure!(
        client.connect(gateway.address, PAYMENT).await.is_err(),
        "the removed route still takes connections"
    );
    let ended = tokio::time::timeout(Duration::from_secs(10), removed.stream.read_u8()).await;
    ensure!(
        ended.is_ok_and(|read| read.is_err()),
        "the removed route's connection outlived the drain deadline"
    );
    echo(&mut kept).await.context("the other route's connection was touched")?;
    Ok("newcomers refused, its connection drained and then ended, the other one untouched".to_owned())
}

/// SIGTERM: no newcomers, old connections go on; the second one ends them.
pub(crate) async fn termination(context: &Context) -> anyhow::Result<String> {
    let backend = echo_over_tls(&context.certificates.payment).await?;
    let client = Client::trusting(&context.certificates.authority)?;
    let routes = [route(PAYMENT, 0)];
    let start = async |name| Gateway::start(context, name, &[backend.address()], &routes, Options::default()).await;

    let mut gateway = start("term-once").await?;
    let mut session = client.connect(gateway.address, PAYMENT).await?;
    gateway.signal("TERM").await?;
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(gateway.address).await.is_ok() {
        ensure!(Instant::now() < end, "it still accepts after SIGTERM");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    echo(&mut session).await.context("the open connection did not go on")?;
    session.stream.shutdown().await?;
    drop(session);
    let status = gateway.ended(Duration::from_secs(10)).await?;
    ensure!(status.success(), "it ended with {status} after its last connection");

    let mut gateway = start("term-twice").await?;
    let mut session = client.connect(gateway.address, PAYMENT).await?;
    gateway.signal("TERM").await?;
    echo(&mut session).await?;
    gateway.signal("TERM").await?;
    gateway.ended(Duration::from_secs(5)).await?;
    Ok("drained to status 0; a second signal ended it with a connection open".to_owned())
}

/// More connections than descriptors: the rest wait, and are served when descriptors come free.
pub(crate) async fn descriptor_limit(context: &Context) -> anyhow::Result<String> {
    let backend = echo_over_tls(&context.certificates.payment).await?;
    let options = Options {
        descriptors: Some(DESCRIPTORS),
        ..Options::default()
    };
    let gateway = Gateway::start(context, "descriptors", &[backend.address()], &[route(PAYMENT, 0)], options).await?;
    let client = Client::trusting(&context.certificates.authority)?;
    let mut idle = Vec::new();
    for _ in 0..DESCRIPTORS {
        idle.push(TcpStream::connect(gateway.address).await?);
    }
    let end = Instant::now() + Duration::from_secs(10);
    while !gateway.log().contains("descriptor") {
        ensure!(
            Instant::now() < end,
            "it does not say that descriptors are short:\n{}",
            excerpt(&gateway.log())
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let waiting = tokio::spawn({
        let (client, address) = (client.clone(), gateway.address);
        async move { client.connect(address, PAYMENT).await }
    });
    drop(idle);
    let mut session = waiting.await?.context("the waiting client was not served")?;
    echo(&mut session).await?;
    exchange(&client, &gateway).await?;
    Ok(format!(
        "said so at {DESCRIPTORS} descriptors, served again when they came free"
    ))
}

/// A whole exchange, and how long it took.
pub(crate) async fn exchange(client: &Client, gateway: &Gateway) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut session = client.connect(gateway.address, PAYMENT).await?;
    echo(&mut session).await?;
    Ok(started.elapsed())
}

/// A line to the echo and back.
async fn echo(session: &mut Session) -> anyhow::Result<()> {
    let line = b"are you there?";
    let round = async {
        session.stream.write_all(line).await?;
        session.stream.flush().await?;
        let mut answer = vec![0; line.len()];
        session.stream.read_exact(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), round)
        .await
        .context("no echo in 10 s")??;
    if answer != line {
        bail!("another answer came back");
    }
    Ok(())
}

/// A real client's hello for `PAYMENT`, taken from a socket.
async fn captured_hello(client: &Client) -> anyhow::Result<Vec<u8>> {
    let listener = tokio::net::TcpListener::bind(sealway_testkit::LOOPBACK).await?;
    let address = listener.local_addr()?;
    let client = client.clone();
    let connecting = tokio::spawn(async move { client.connect(address, PAYMENT).await });
    let (mut stream, _) = listener.accept().await?;
    let mut hello = vec![0; RECORD_HEADER];
    stream.read_exact(&mut hello).await?;
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(RECORD_HEADER + length, 0);
    stream.read_exact(&mut hello[RECORD_HEADER..]).await?;
    connecting.abort();
    Ok(hello)
}

/// 1 MiB that differs from every other one in every word.
fn block(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut bytes = Vec::with_capacity(BLOCK);
    while bytes.len() < BLOCK {
        // xorshift64: no need for more than bytes that do not repeat.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

fn flags(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

pub(crate) const PAYMENT: &str = "payment.internal.example.com";
const VAULT: &str = "vault.internal.example.com";
const SLOW_SENDERS: usize = 100;
const RELOADS: usize = 100;
const BLOCKS: usize = 1024;
const BLOCK: usize = 1024 * 1024;
const DESCRIPTORS: usize = 200;
const RECORD_HEADER: usize = 5;
