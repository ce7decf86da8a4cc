//! Asks the authorization server of a rule. Whatever goes wrong is a no.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Response;
use http::request::Parts;
use http::uri::PathAndQuery;
use sealway_core::{ExternalAuth, Target};
use tokio::time::{Instant, timeout_at};

use super::auth::{self, AuthRequest, AuthVerdict, HeaderChanges};
use super::body::{self, BodyFault, RequestBody, ResponseBody, Whole};
use super::forward::proxy_header;
use super::record::Record;
use super::refusal::HttpReason;
use super::respond::{Served, deadline};
use super::rule::RuleState;
use super::upstream::{Passage, Speak};

/// What was said.
pub(super) enum Verdict {
    /// Yes; changes of the request are made, those of the response are here.
    Allowed(HeaderChanges),
    /// No, in these words.
    Denied(Box<Response<ResponseBody>>),
}

/// Asks, and changes the request as the answer says. A body that is asked about is whole afterwards.
pub(super) async fn ask(
    served: &Arc<Served>,
    state: &RuleState,
    auth: &ExternalAuth,
    parts: &mut Parts,
    body: &mut RequestBody,
    record: &mut Record,
) -> Result<Verdict, HttpReason> {
    let backend = match &auth.backend.target {
        Target::Backend(backend) => backend,
        Target::Refuse(fault) => {
            record.log_detail(fault.label());
            return Err(HttpReason::AuthFailed);
        }
    };
    let until = deadline(record.begun, state.rule.request_timeout);
    let asked = match auth.body_limit {
        Some(most) => {
            let whole = whole(std::mem::take(body), most, until).await?;
            let bytes = whole.data.clone();
            *body = RequestBody::Full(whole);
            Some(bytes)
        }
        None => None,
    };
    let connection = &served.connection;
    let host = parts
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let nowhere = PathAndQuery::from_static("/");
    let question = AuthRequest {
        method: &parts.method,
        target: parts.uri.path_and_query().unwrap_or(&nowhere),
        host,
        scheme: if served.https { "https" } else { "http" },
        version: parts.version,
        headers: &parts.headers,
        body: asked,
        client: connection.client,
        local: connection.local,
        server_name: connection
            .handshake
            .as_ref()
            .and_then(|handshake| handshake.server_name.as_deref()),
        principal: served.certificate.principal(),
        time: SystemTime::now(),
    };
    let request = auth::request(auth, &question).map_err(|fault| {
        record.log_detail(&fault.to_string());
        HttpReason::AuthFailed
    })?;
    let channel = state.other_channel(&served.shared, backend, Speak::of_auth(&auth.protocol));
    let passage = Passage {
        backend,
        connect_timeout: state.rule.connect_timeout,
        now: Instant::now(),
        endpoint: None,
        proxy_header: proxy_header(served, backend),
    };
    let exchange = async {
        let sent = channel
            .send(&served.shared, Box::new(request.map(RequestBody::full)), &passage, |_, _| {})
            .await;
        let (response, lease, _) = sent.map_err(|failure| failure.detail)?;
        let (head, incoming) = response.into_parts();
        let whole = body::collect(ResponseBody::backend(incoming, lease, None), auth::LARGEST_ANSWER).await;
        match whole {
            Ok(Some(whole)) => Ok((Response::from_parts(head, whole.data), whole.trailers)),
            Ok(None) => Err("its answer is too large".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    // From here on: what the client took to send its body is not the server's.
    let longest = Instant::now() + LONGEST;
    let (response, trailers) = match timeout_at(until.map_or(longest, |until| until.min(longest)), exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(detail)) => {
            record.log_detail(&detail);
            return Err(HttpReason::AuthFailed);
        }
        Err(_) => {
            record.log_detail("it did not answer in time");
            return Err(HttpReason::AuthFailed);
        }
    };
    match auth::verdict(auth, response, trailers.as_deref()) {
        AuthVerdict::Allow { request, response } => {
            request.apply(&mut parts.headers);
            Ok(Verdict::Allowed(response))
        }
        AuthVerdict::Deny(response) => {
            record.reason = Some(HttpReason::AuthDenied);
            Ok(Verdict::Denied(Box::new(response.map(ResponseBody::full))))
        }
        AuthVerdict::Failed(fault) => {
            record.log_detail(&fault.to_string());
            Err(HttpReason::AuthFailed)
        }
    }
}

/// All of the client's body, which may take as long as one that is only passed on.
async fn whole(body: RequestBody, most: usize, until: Option<Instant>) -> Result<Whole, HttpReason> {
    let fault = body.fault();
    let collected = body::collect(body, most);
    let collected = match until {
        Some(until) => timeout_at(until, collected).await.map_err(|_| HttpReason::RequestTimeout)?,
        None => collected.await,
    };
    let collected = collected.map_err(|_| {
        let fault = fault.and_then(|fault| fault.get());
        fault.map_or(HttpReason::ClientGone, BodyFault::reason)
    })?;
    collected.ok_or(HttpReason::BodyTooLarge)
}

/// For the exchange with the server, whatever the rule allows.
const LONGEST: Duration = Duration::from_secs(10);
