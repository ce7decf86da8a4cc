//! `curl` over every protocol that the two listeners speak, to a backend of each protocol.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use super::front::{Backend, Front, NAME, both_routes};
use crate::e2e::context::Context;
use crate::e2e::process::{Output, command, run};

/// How curl comes to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// HTTP/1.1 over TLS.
    Tls1,
    /// HTTP/2 over TLS, by ALPN.
    Tls2,
    /// HTTP/1.1 in plain text.
    Plain1,
    /// HTTP/2 in plain text, with prior knowledge.
    Plain2,
}

impl Way {
    const ALL: [Self; 4] = [Self::Tls1, Self::Tls2, Self::Plain1, Self::Plain2];

    fn flag(self) -> &'static str {
        match self {
            Self::Tls1 | Self::Plain1 => "--http1.1",
            Self::Tls2 => "--http2",
            Self::Plain2 => "--http2-prior-knowledge",
        }
    }

    fn is_http1(self) -> bool {
        matches!(self, Self::Tls1 | Self::Plain1)
    }

    /// As `%{http_version}` has it.
    fn version(self) -> &'static str {
        if self.is_http1() { "1.1" } else { "2" }
    }
}

/// Every check on every way to every backend.
pub(crate) async fn every_way(context: &Context) -> anyhow::Result<String> {
    let backend = Backend::start(context, "curl-suite").await?;
    let front = Front::start(context, "curl-suite", &backend.services(), &[both_routes()]).await?;
    let directory = context.directory("curl-suite")?;
    let upload = directory.join("upload");
    fs::write(&upload, pattern(UPLOAD))?;
    let mut failed = Vec::new();
    for way in Way::ALL {
        for prefix in ["", "/h2c"] {
            let port = if matches!(way, Way::Tls1 | Way::Tls2) {
                front.https
            } else {
                front.http
            }
            .port();
            let scheme = if matches!(way, Way::Tls1 | Way::Tls2) {
                "https"
            } else {
                "http"
            };
            let curl = Curl {
                way,
                base: format!("{scheme}://{NAME}:{port}{prefix}"),
                trust: context.trust(),
                upload: upload.clone(),
                directory: directory.clone(),
            };
            for (what, outcome) in curl.checks().await {
                if let Err(error) = outcome {
                    failed.push(format!(
                        "{way:?} {} {what}: {error:#}",
                        if prefix.is_empty() { "to http1" } else { "to h2c" }
                    ));
                }
            }
        }
    }
    ensure!(
        failed.is_empty(),
        "{} failed:\n{}\nlog of the gateway:\n{}",
        failed.len(),
        failed.join("\n"),
        front.log()
    );
    Ok("HTTP/1.1 and HTTP/2, with TLS and without, to HTTP/1.1 and h2c: 11 checks each".to_owned())
}

/// One way to one backend.
struct Curl {
    way: Way,
    base: String,
    trust: String,
    upload: PathBuf,
    directory: PathBuf,
}

impl Curl {
    async fn checks(&self) -> [(&'static str, anyhow::Result<()>); 11] {
        [
            ("reuse", self.reuse().await),
            ("upload", self.upload().await),
            ("chunked", self.chunked().await),
            ("range", self.range().await),
            ("HEAD", self.head().await),
            ("304", self.not_modified().await),
            ("204", self.no_content().await),
            ("Expect", self.expect().await),
            ("early answer", self.early_answer().await),
            ("refused expectation", self.refused_expectation().await),
            ("trailers", self.trailers().await),
        ]
    }

    /// Two requests on one connection, in the protocol that was asked for.
    async fn reuse(&self) -> anyhow::Result<()> {
        let first = format!("{}/first", self.base);
        let mut flags = vec!["-w", "[%{http_version} %{response_code} %{num_connects}]\n"];
        let mut connects = 1;
        // curl 7.88 cannot use a connection with prior knowledge twice.
        if self.way != Way::Plain2 {
            flags.push(&first);
            connects = 0;
        }
        let said = self.request("/hello?a=b&c", &flags).await?;
        said.saying(&format!("/hello?a=b&c\n[{} 200 {connects}]", self.way.version()))?
            .success()?;
        Ok(())
    }

    /// Some MiB arrive whole.
    async fn upload(&self) -> anyhow::Result<()> {
        let sum = run(command("sha256sum", [&self.upload]), "").await?.success()?;
        let sum = sum.split_whitespace().next().context("no sum")?;
        let upload = self.upload.display().to_string();
        let said = self.request("/digest", &["-T", &upload, "-H", "Expect:"]).await?;
        said.saying(&format!("{UPLOAD} {sum}"))?.success()?;
        Ok(())
    }

    /// A body of unknown length to the backend and one back.
    async fn chunked(&self) -> anyhow::Result<()> {
        let upload = self.upload.display().to_string();
        let back = self.directory.join("back");
        let mut flags = vec!["-T", &upload, "-H", "Expect:", "-o"];
        let back_name = back.display().to_string();
        flags.push(&back_name);
        if self.way.is_http1() {
            flags.extend(["-H", "Transfer-Encoding: chunked"]);
        }
        self.request("/echo", &flags).await?.success()?;
        ensure!(fs::read(&back)? == fs::read(&self.upload)?, "another body came back");
        let pieces = self.request("/pieces", &["-N", "-i"]).await?.saying("piece 9")?.success()?;
        ensure!(
            !pieces.to_ascii_lowercase().contains("content-length"),
            "a length for a stream:\n{pieces}"
        );
        Ok(())
    }

    async fn range(&self) -> anyhow::Result<()> {
        let one = self.request("/file", &["-r", "800-815", "-i"]).await?;
        let one = one.saying(" 206")?.success()?;
        ensure!(
            one.contains("bytes 800-815/4194304") && one.ends_with("\r\n\r\n0000100\n0000101\n"),
            "another range: {one}"
        );
        let two = self.request("/file", &["-r", "0-7,-8", "-i"]).await?;
        two.saying("multipart/byteranges")?
            .saying("bytes 0-7/4194304")?
            .saying("\r\n\r\n0524287\n\r\n")?
            .success()?;
        let none = self.request("/file", &["-r", "9999999-", "-i"]).await?;
        none.saying(" 416")?.saying("bytes */4194304")?;
        Ok(())
    }

    async fn head(&self) -> anyhow::Result<()> {
        let said = self
            .request("/file", &["-I", "-w", "[%{response_code} %{size_download}]"])
            .await?;
        let text = said.saying("[200 0]")?.success()?.to_ascii_lowercase();
        ensure!(text.contains("content-length: 4194304"), "no length: {text}");
        Ok(())
    }

    async fn not_modified(&self) -> anyhow::Result<()> {
        for condition in [
            "If-None-Match: \"file-1\"",
            "If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT",
        ] {
            let said = self
                .request("/file", &["-i", "-H", condition, "-w", "[%{response_code} %{size_download}]"])
                .await?;
            said.saying("[304 0]")?.saying("\"file-1\"")?.success()?;
        }
        Ok(())
    }

    async fn no_content(&self) -> anyhow::Result<()> {
        let said = self
            .request("/nothing", &["-i", "-w", "[%{response_code} %{size_download}]"])
            .await?;
        let text = said.saying("[204 0]")?.success()?.to_ascii_lowercase();
        ensure!(
            !text.contains("transfer-encoding") && !text.contains("content-length"),
            "framing of no body: {text}"
        );
        Ok(())
    }

    /// `100 Continue` comes and the body follows. (HTTP/2's flow control has taken its place.)
    async fn expect(&self) -> anyhow::Result<()> {
        if !self.way.is_http1() {
            return Ok(());
        }
        let upload = self.upload.display().to_string();
        let flags = ["-v", "-T", &upload, "-H", "Expect: 100-continue", "--expect100-timeout", "20"];
        let said = self.request("/digest", &flags).await?;
        said.saying("HTTP/1.1 100 Continue")?
            .saying(&format!(" {UPLOAD} "))?
            .success()?;
        Ok(())
    }

    /// The backend refuses before it has read the body, and the client learns it. (Over HTTP/2, curl 7.88 takes the RST_STREAM behind
    /// the answer for a failure, so that is left to nghttp.)
    async fn early_answer(&self) -> anyhow::Result<()> {
        if !self.way.is_http1() {
            return Ok(());
        }
        let upload = self.upload.display().to_string();
        let flags = ["-T", &upload, "-H", "Expect:", "-w", "[%{response_code}]"];
        self.request("/refuse", &flags).await?.saying("[403]")?;
        Ok(())
    }

    /// The same for a client that asks first: the gateway does not say `100 Continue` for a backend that does not. (Of HTTP/2 backends
    /// nothing is heard before their response.)
    async fn refused_expectation(&self) -> anyhow::Result<()> {
        if !self.way.is_http1() || self.base.ends_with("/h2c") {
            return Ok(());
        }
        let upload = self.upload.display().to_string();
        let flags = ["-T", &upload, "-H", "Expect: 100-continue", "--expect100-timeout", "20"];
        let flags = [&flags[..], &["-w", "[%{response_code} %{size_upload}]"]].concat();
        self.request("/refuse", &flags).await?.saying("[403 0]")?;
        Ok(())
    }

    async fn trailers(&self) -> anyhow::Result<()> {
        let mut flags = vec!["-D", "-", "-d", "twelve bytes", "-H", "TE: trailers"];
        if self.way.is_http1() {
            flags.extend(["-H", "Connection: TE"]);
        }
        let text = self.request("/trailers", &flags).await?.success()?.to_ascii_lowercase();
        ensure!(
            text.contains("trailer: x-length") && text.contains("x-length: 12") && text.contains("twelve bytes"),
            "no trailer: {text}"
        );
        Ok(())
    }

    /// Standard output and error of one call.
    async fn request(&self, path: &str, flags: &[&str]) -> anyhow::Result<Output> {
        let mut curl = command("curl", ["-sS", "-m", "30", "--cacert", &self.trust, self.way.flag()]);
        curl.args(flags).arg(format!("{}{path}", self.base));
        run(curl, "").await
    }
}

/// Bytes in which every word differs.
fn pattern(length: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect()
}

const UPLOAD: usize = 8 << 20;
