//! A WebSocket client through the HTTPS listener, which upgrades from HTTP/1.1.

use super::front::{Backend, Front, both_routes};
use crate::e2e::context::Context;
use crate::e2e::process::{command, run};

/// 1,000 messages there and back, then ping and the closing handshake; once more with compression, which the gateway must not touch.
pub(crate) async fn messages(context: &Context) -> anyhow::Result<String> {
    let backend = Backend::start(context, "websocket").await?;
    let front = Front::start(context, "websocket", &backend.services(), &[both_routes()]).await?;
    let url = format!("wss://{}:{}/websocket", super::front::NAME, front.https.port());
    let client = context.go_programs().await?.join("websocket");
    let mut said = Vec::new();
    for compressed in ["--compressed=false", "--compressed=true"] {
        let program = command(
            &client,
            ["--url", &url, "--ca", &context.trust(), "--messages", "1000", compressed],
        );
        said.push(run(program, "").await?.success()?.trim().to_owned());
    }
    Ok(said.join("; "))
}
