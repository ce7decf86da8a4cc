//! `nghttp` and `h2load` of nghttp2.

use anyhow::{Context as _, ensure};

use super::front::{Backend, Front, both_routes};
use crate::e2e::context::Context;
use crate::e2e::process::{command, run};

/// One client with several requests on one connection, one of them a large file.
pub(crate) async fn nghttp(context: &Context) -> anyhow::Result<String> {
    let backend = Backend::start(context, "nghttp").await?;
    let front = Front::start(context, "nghttp", &backend.services(), &[both_routes()]).await?;
    let urls = ["/hello", "/file", "/h2c/file", "/h2c/pieces", "/nothing", "/h2c/nothing"].map(|path| front.url(path));
    let mut program = command("nghttp", ["--null-out", "--stat", "--no-dep"]);
    program.args(&urls);
    let text = run(program, "").await?.success()?;
    // One line a request at the end: times, code, size, path.
    let codes: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|line| line.split_whitespace().rev().nth(2))
        .collect();
    ensure!(
        codes.len() == urls.len(),
        "{} answers for {} requests:\n{text}",
        codes.len(),
        urls.len()
    );
    ensure!(
        codes.iter().all(|code| ["200", "204"].contains(code)),
        "codes {codes:?}:\n{text}"
    );

    // An answer that comes before the body has: the stream is then reset without an error.
    let upload = context.directory("nghttp")?.join("upload");
    std::fs::write(&upload, vec![0; UPLOAD])?;
    for path in ["/refuse", "/h2c/refuse"] {
        let mut program = command("nghttp", ["--verbose", "--null-out", "--data"]);
        program.arg(&upload).arg(front.url(path));
        let said = run(program, "").await?.saying(":status: 403").context(path)?;
        ensure!(!said.text.contains("INTERNAL_ERROR"), "{path}: an error behind the answer");
    }
    Ok(format!(
        "{} requests on one connection; two uploads refused early",
        urls.len()
    ))
}

/// 2,000 requests of 20 clients, ten at a time on each connection; each once over HTTP/1.1 too.
pub(crate) async fn h2load(context: &Context) -> anyhow::Result<String> {
    let backend = Backend::start(context, "h2load").await?;
    let front = Front::start(context, "h2load", &backend.services(), &[both_routes()]).await?;
    let mut said = Vec::new();
    for (path, flags) in [("/hello", &["-m10"][..]), ("/h2c/hello", &["-m10"]), ("/hello", &["--h1"])] {
        let mut program = command("h2load", ["-n2000", "-c20"]);
        program.args(flags).arg(front.url(path));
        let text = run(program, "")
            .await?
            .saying("2000 succeeded, 0 failed, 0 errored, 0 timeout")?
            .saying("status codes: 2000 2xx")?
            .success()?;
        let rate = text.lines().find_map(|line| line.strip_prefix("finished in "));
        said.push(format!("{path} {}: {}", flags.join(" "), rate.unwrap_or_default()));
    }
    Ok(said.join("; "))
}

const UPLOAD: usize = 8 << 20;
