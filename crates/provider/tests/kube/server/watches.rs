//! What a watch says, one event after the other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::State;
use super::answers::shown;

pub(super) struct Watcher {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) changed: watch::Receiver<u64>,
    pub(super) collection: String,
    pub(super) namespace: String,
    pub(super) from: u64,
    pub(super) only_metadata: bool,
    pub(super) cut: bool,
    pub(super) pending: VecDeque<Value>,
    pub(super) ended: bool,
}

impl Watcher {
    pub(super) async fn next(&mut self) -> Option<Result<Frame<Bytes>, std::io::Error>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(event) = self.pending.pop_front() {
                let line = format!("{event}\n");
                if self.cut && event["type"] != "BOOKMARK" {
                    self.ended = true;
                    return Some(Ok(Frame::data(Bytes::copy_from_slice(&line.as_bytes()[..line.len() / 2]))));
                }
                self.ended = event["type"] == "ERROR";
                return Some(Ok(Frame::data(Bytes::from(line))));
            }
            self.look();
            if self.pending.is_empty() && self.changed.changed().await.is_err() {
                return None;
            }
        }
    }

    fn look(&mut self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.from < state.compacted {
            let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"});
            self.pending.push_back(json!({"type": "ERROR", "object": gone}));
            return;
        }
        for (version, place, kind, object) in &state.history {
            if *version > self.from
                && place.collection == self.collection
                && (self.namespace.is_empty() || place.namespace == self.namespace)
            {
                self.pending
                    .push_back(json!({"type": kind, "object": shown(object, self.only_metadata)}));
            }
        }
        if self.from < state.version {
            self.from = state.version;
            let metadata = json!({"resourceVersion": self.from.to_string()});
            let bookmark = json!({"kind": "K", "apiVersion": "v1", "metadata": metadata});
            self.pending.push_back(json!({"type": "BOOKMARK", "object": bookmark}));
        }
    }
}
