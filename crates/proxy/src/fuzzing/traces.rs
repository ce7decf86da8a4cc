//! A client's trace headers: a line for each `traceparent`, an empty line, a line for each `tracestate`.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http::trace::context;

/// What is understood of them is what is written, and reads the same again; nothing else goes on.
pub fn trace_context(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut name = HeaderName::from_static("traceparent");
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            name = HeaderName::from_static("tracestate");
        } else if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(&name, value);
        }
    }
    if let Some(parent) = context::parent(&headers) {
        assert!(parent.trace != [0; 16] && parent.span != [0; 8]);
        let written = context::traceparent(&parent).expect("a header");
        let said = headers.get("traceparent").expect("what was read");
        assert_eq!(written.as_bytes().get(3..52), said.as_bytes().get(3..52));
        let again = HeaderMap::from_iter([(HeaderName::from_static("traceparent"), written)]);
        assert_eq!(context::parent(&again), Some(parent));
    }
    if let Some(state) = context::tracestate(&headers) {
        assert!(state.split(',').count() <= 32 && !state.contains(['\t', '\r', '\n']));
        let value = HeaderValue::from_str(&state).expect("a header");
        let again = HeaderMap::from_iter([(HeaderName::from_static("tracestate"), value)]);
        assert_eq!(context::tracestate(&again), Some(state));
    }
}
