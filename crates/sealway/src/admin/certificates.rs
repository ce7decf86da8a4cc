//! Certificates and revocation lists on the admin address.
//!
//! Input: manifests, the issuer's outlook, what is served, each the newest. Output: documents, lists. Invariant: no byte of a key.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use sealway_api::{ObjectKey, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{Sources, apart};
use crate::certificates::{Scene, Seen, inspect, inventory};
use crate::document::Document;
use crate::revocation_lists;

/// `/api/v1/certificates…` and `/crl/…`.
pub(super) fn router() -> Router<Sources> {
    Router::new()
        .route("/api/v1/certificates", get(list))
        .route("/api/v1/certificates/{*which}", get(one))
        .route("/crl/{*path}", get(revocation_list))
}

async fn list(State(sources): State<Sources>) -> Response {
    apart(move || {
        let inventory = sources.with_scene(inventory);
        Json(Document::new("Certificates", inventory)).into_response()
    })
    .await
}

async fn one(State(sources): State<Sources>, Path(which): Path<String>) -> Response {
    apart(move || match sources.with_scene(|scene| inspect(scene, &which)) {
        Ok(inspection) => Json(Document::new("Certificate", inspection)).into_response(),
        Err(not_found) => (StatusCode::NOT_FOUND, format!("{not_found}\n")).into_response(),
    })
    .await
}

impl Sources {
    fn with_scene<T>(&self, use_it: impl FnOnce(&Scene<'_>) -> T) -> T {
        let view = Arc::clone(&self.view.borrow());
        let outlook = Arc::clone(&self.outlook.borrow());
        let resources = Arc::clone(&self.loads.borrow().resources);
        let seen = seen(view.statuses.value());
        use_it(&Scene {
            now: Timestamp::now(),
            resources: &resources,
            issued: &outlook.issued,
            statuses: &outlook.statuses,
            findings: &outlook.findings,
            seen: &seen,
            overlay: &outlook.overlay,
            snapshots: &view.snapshots,
        })
    }
}

/// The conditions `Served` of all Certificates.
fn seen(statuses: &Value) -> BTreeMap<ObjectKey, Seen> {
    let certificates = statuses["certificates"].as_object().into_iter().flatten();
    let served = certificates.filter_map(|(name, status)| {
        let (namespace, name) = name.split_once('/')?;
        let mut conditions = status["conditions"].as_array()?.iter();
        let served = conditions.find(|condition| condition["type"] == "Served")?;
        let seen = Seen {
            holds: served["status"] == "True",
            message: served["message"].as_str().unwrap_or_default().to_owned(),
        };
        Some((ObjectKey::new(namespace, name), seen))
    });
    served.collect()
}

#[derive(Debug, Deserialize)]
struct WhichList {
    /// Of this CA; else of the one that signs now.
    authority: Option<String>,
    format: Option<ListFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ListFormat {
    /// One list.
    Der,
    /// Those of all CAs of the issuer.
    Pem,
}

async fn revocation_list(
    State(sources): State<Sources>,
    Path(path): Path<String>,
    Query(which): Query<WhichList>,
    headers: HeaderMap,
) -> Response {
    let outlook = Arc::clone(&sources.outlook.borrow());
    if which.format == Some(ListFormat::Pem) {
        let together = revocation_lists::issuer(&path).and_then(|issuer| revocation_lists::together(&outlook.issued, &issuer));
        return match together {
            Ok(text) => ([(header::CONTENT_TYPE, "application/x-pem-file")], text).into_response(),
            Err(missing) => (StatusCode::NOT_FOUND, format!("{missing}\n")).into_response(),
        };
    }
    let found = revocation_lists::issuer(&path).and_then(|issuer| {
        let lead = sealway_issuer::Settings::default().publication_lead;
        revocation_lists::find(&outlook.issued, &issuer, which.authority.as_deref(), Timestamp::now(), lead)
    });
    match found {
        Err(missing) => (StatusCode::NOT_FOUND, format!("{missing}\n")).into_response(),
        Ok(list) => {
            let tag = format!("\"{}-{}\"", list.authority, list.number);
            if headers
                .get(header::IF_NONE_MATCH)
                .is_some_and(|known| known.as_bytes() == tag.as_bytes())
            {
                return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
            }
            let mut answer = (
                [(header::CONTENT_TYPE, "application/pkix-crl".to_owned()), (header::ETAG, tag)],
                list.der.to_vec(),
            )
                .into_response();
            // RFC 9110 section 5.6.7.
            let from = list.from.map(|from| from.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            if let Some(from) = from.and_then(|from| from.try_into().ok()) {
                answer.headers_mut().insert(header::LAST_MODIFIED, from);
            }
            answer
        }
    }
}
