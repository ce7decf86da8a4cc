//! A Gateway with two proxies, backends beside the cluster, and work that is done to it under load.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use sealway_demo::backends::{Backend, ClientCertificates, server_config};
use sealway_demo::certificates::{Authority, Request};
use sealway_demo::clients::Client;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::installed::{Cluster, condition, until};
use super::load::{Figures, Load, PASSTHROUGH_HOST, Target};
use crate::lab::NODE_IPS;

/// See the module.
pub(super) struct Site<'a> {
    pub(super) cluster: &'a Cluster,
    target: Target,
    _backends: [Backend; 2],
}

/// A pod of the Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) is_ready: bool,
}

impl<'a> Site<'a> {
    /// Makes it, and waits until it serves.
    pub(super) async fn prepare(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let authority = Authority::generate("load", SystemTime::now())?;
        let identity = authority.issue(&Request::server("load", &[PASSTHROUGH_HOST], SystemTime::now()))?;
        let acceptor = TlsAcceptor::from(server_config(&identity, ClientCertificates::Ignored, &[])?);
        let node = NODE_IPS[0].parse()?;
        let backends = [
            Backend::start(SocketAddr::new(node, HTTP_BACKEND), answer).await?,
            Backend::start(SocketAddr::new(node, TLS_BACKEND), move |stream| {
                let acceptor = acceptor.clone();
                async move { answer(acceptor.accept(stream).await?).await }
            })
            .await?,
        ];
        cluster.apply(include_str!("../../testdata/cluster/load.yaml")).await?;
        let gateway = cluster.programmed(NAMESPACE, GATEWAY).await?;
        let target = Target {
            gateway,
            client: Client::trusting(&authority)?,
        };
        let site = Self {
            cluster,
            target,
            _backends: backends,
        };
        site.until_settled().await?;
        // Proxies that are ready are one thing, rules of kube-proxy that lead to them another.
        until("requests of every kind are answered", SETTLED, async || {
            Ok(site.target.answers().await.is_ok())
        })
        .await?;
        Ok(site)
    }

    /// Does `work` while requests go on, before and after it too; gives its evidence.
    pub(super) async fn under_load(
        &self,
        work: impl Future<Output = anyhow::Result<String>>,
    ) -> anyhow::Result<(String, Figures)> {
        let load = Load::start(&self.target);
        load.go_on(AROUND).await;
        let evidence = work.await;
        load.go_on(AROUND).await;
        let figures = load.finish().await;
        let evidence = evidence.with_context(|| figures.to_string())?;
        Ok((evidence, figures))
    }

    /// The same for work that no request may notice.
    pub(super) async fn unnoticed(&self, work: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
        let (evidence, figures) = self.under_load(work).await?;
        ensure!(figures.failed_outside(&[]) == 0, "{evidence}; {figures}");
        Ok(format!("{evidence}; {figures}"))
    }

    /// Changes a route and waits until the change is served; gives the time from the write.
    pub(super) async fn change(&self, value: &str) -> anyhow::Result<Duration> {
        let path = "/spec/rules/0/filters/0/responseHeaderModifier/set/0/value";
        let patch = format!(r#"[{{"op": "replace", "path": "{path}", "value": "{value}"}}]"#);
        let patch = ["patch", "httproute", "changing", "-n", NAMESPACE, "--type=json", "-p", &patch];
        self.cluster.kubectl(patch).await?;
        let (written, wanted) = (Instant::now(), format!("x-change: {value}\r\n"));
        until(&format!("change {value} is served"), CHANGE, async || {
            Ok(self.target.ask_http("changing.example.com").await?.head.contains(&wanted))
        })
        .await?;
        Ok(written.elapsed())
    }

    /// Waits until there are as many proxies as there should be, and all of them are ready: none that is ending is left.
    pub(super) async fn until_settled(&self) -> anyhow::Result<()> {
        until("both proxies are ready, and no other is there", SETTLED, async || {
            let pods = self.pods().await?;
            Ok(pods.len() == REPLICAS && pods.iter().all(|pod| pod.is_ready))
        })
        .await
    }

    /// The Gateway's pods.
    pub(super) async fn pods(&self) -> anyhow::Result<Vec<Pod>> {
        let label = format!("gateway.networking.k8s.io/gateway-name={GATEWAY}");
        let pods = self.cluster.get(["pods", "-n", NAMESPACE, "-l", &label]).await?;
        let pods = pods["items"].as_array().context("no pods")?.iter().map(|pod| Pod {
            name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            uid: pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            is_ready: condition(&pod["status"]["conditions"], "Ready") == Some("True"),
        });
        Ok(pods.collect())
    }
}

/// Answers every request on a connection.
pub(super) async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut read = Vec::new();
    loop {
        while !read.ends_with(b"\r\n\r\n") {
            if read.len() > HEAD_MAX || stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
        read.clear();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await?;
        stream.flush().await?;
    }
}

/// Of `testdata/cluster/load.yaml`.
pub(super) const NAMESPACE: &str = "load";
pub(super) const GATEWAY: &str = "load";
const HTTP_BACKEND: u16 = 18080;
const TLS_BACKEND: u16 = 18443;
/// As proxies come unasked.
const REPLICAS: usize = 2;
/// Requests before the work and after it: three seconds of all kinds.
const AROUND: usize = 600;
/// Longest that a change may take to be served.
const CHANGE: Duration = Duration::from_secs(30);
/// Longest that proxies may take to come, and to end.
const SETTLED: Duration = Duration::from_secs(120);
const HEAD_MAX: usize = 8 * 1024;
