//! A controller's end towards the controller that writes statuses: which proxies are connected here, and how each is.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::backoff;
use crate::client::{ClientSettings, LinkFault};
use crate::frame::Frame;
use crate::link::{Connection, at, pings};
use crate::message::{self, Down, PROTOCOL, Up};
use crate::server::{Proxies, ProxyState};

/// A token is shown again after that time, so that three reviews may fail before the last one is too old.
const TOKEN_SHOWN: Duration = Duration::from_secs(180);

/// Tells the controller at the settings' address of `proxies` ([`crate::Server::own_proxies`]) as long as it is not dropped. The token is
/// that of this controller's pod.
pub async fn relay(settings: ClientSettings, mut proxies: watch::Receiver<Proxies>) {
    let mut failures = 0;
    let mut number = 0_usize;
    loop {
        let outcome = match settings.connect(number).await {
            Ok((stream, _)) => run(&settings, stream, &mut proxies, &mut failures).await,
            Err(fault) => Err(fault),
        };
        let Err(fault) = outcome else { return };
        let pause = backoff::pause(failures, backoff::draw());
        failures = failures.saturating_add(1);
        number = number.wrapping_add(1);
        warn!(%fault, ?pause, "the controller that writes statuses does not hear of our proxies");
        sleep(pause).await;
    }
}

/// Until the connection ends. `Ok`: there will be nothing more to tell.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Send + 'static>(
    settings: &ClientSettings,
    stream: S,
    proxies: &mut watch::Receiver<Proxies>,
    failures: &mut u32,
) -> Result<(), LinkFault> {
    let mut connection = Connection::new(stream, u32::MAX);
    let hello = Up::Hello {
        protocol: PROTOCOL,
        token: settings.token()?,
        version: settings.version.clone(),
        content: None,
    };
    connection.say(&hello).await?;
    let mut token_shown = Instant::now();
    let mut told: Option<Proxies> = None;
    let mut is_welcome = false;
    proxies.mark_changed();
    let mut pings = pings();
    loop {
        let silent_at = connection.silent_at();
        tokio::select! {
            payload = connection.next() => {
                let payload = payload?;
                let Frame::Message(bytes) = Frame::parse(&payload)? else { continue };
                match message::decode(bytes, Down::Unknown)? {
                    Down::Welcome { version, .. } => {
                        info!(version, "connected to the controller that writes statuses");
                        *failures = 0;
                        is_welcome = true;
                    }
                    Down::Rejected { reason } => return Err(LinkFault::Rejected(reason)),
                    _ => {}
                }
            }
            () = at(silent_at) => return Err(LinkFault::Silent),
            _ = pings.tick() => {
                connection.put(&message::encode(&Up::Ping)).await?;
                if token_shown.elapsed() >= TOKEN_SHOWN {
                    token_shown = Instant::now();
                    let token = settings.token()?;
                    connection.put(&message::encode(&Up::Token { token })).await?;
                }
                connection.flush().await?;
            }
            changed = proxies.changed(), if is_welcome => {
                if changed.is_err() {
                    connection.say(&Up::Leave).await?;
                    connection.close().await;
                    return Ok(());
                }
                let now = proxies.borrow_and_update().clone();
                let last = told.take();
                for message in changes(last.as_ref(), &now) {
                    connection.put(&message::encode(&message)).await?;
                }
                if last.is_none() {
                    connection.put(&message::encode(&Up::AllProxies)).await?;
                }
                connection.flush().await?;
                told = Some(now);
            }
        }
    }
}

/// What has to be told to who knows `last`.
fn changes(last: Option<&Proxies>, now: &Proxies) -> Vec<Up> {
    let known =
        |proxies: Option<&Proxies>, gateway, pod: &str| -> Option<ProxyState> { proxies?.get(gateway)?.get(pod).cloned() };
    let mut messages = Vec::new();
    for (gateway, pods) in now {
        for (pod, state) in pods {
            if known(last, gateway, pod).as_ref() != Some(state) {
                messages.push(Up::Proxy {
                    gateway: gateway.clone(),
                    pod: pod.clone(),
                    state: Some(Box::new(state.clone())),
                });
            }
        }
    }
    for (gateway, pods) in last.into_iter().flatten() {
        for pod in pods.keys() {
            if known(Some(now), gateway, pod).is_none() {
                messages.push(Up::Proxy {
                    gateway: gateway.clone(),
                    pod: pod.clone(),
                    state: None,
                });
            }
        }
    }
    messages
}
