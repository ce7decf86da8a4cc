//! Every reason is documented, and says the same everywhere.

use std::collections::BTreeSet;

use super::*;

fn every_reason() -> Vec<HttpReason> {
    use HttpReason::*;
    let faults = [
        BackendFault::InvalidKind,
        BackendFault::NotFound,
        BackendFault::NoSuchPort,
        BackendFault::NotPermitted,
        BackendFault::NoEndpoints,
        BackendFault::NameUnresolved,
        BackendFault::UnsupportedProtocol,
        BackendFault::NotServed,
        BackendFault::TlsPolicyInvalid,
    ];
    let connects = [
        ConnectFault::Refused,
        ConnectFault::TimedOut,
        ConnectFault::Unreachable,
        ConnectFault::Exhausted,
        ConnectFault::Other,
    ];
    let handshakes = [
        BackendTlsFault::UnknownAuthority,
        BackendTlsFault::NameMismatch,
        BackendTlsFault::Expired,
        BackendTlsFault::NotYetValid,
        BackendTlsFault::Revoked,
        BackendTlsFault::RevocationUnknown,
        BackendTlsFault::BadCertificate,
        BackendTlsFault::NotTls,
        BackendTlsFault::ClientCertificateRefused,
        BackendTlsFault::HandshakeRefused,
        BackendTlsFault::Broken,
    ];
    let rejections = [
        HttpRejectReason::NoListener,
        HttpRejectReason::Misdirected,
        HttpRejectReason::ListenerRefuses,
        HttpRejectReason::NoRoute,
    ];
    let plain = [
        MissingHost,
        InvalidHost,
        HostMismatch,
        InvalidPath,
        InvalidLength,
        InvalidBody,
        TransferCoding,
        Method,
        ListenerChanged,
        Filter,
        NoWeight,
        BackendClosed,
        BackendInvalid,
        RetryBudget,
        RequestTimeout,
        BackendTimeout,
        BodyTimeout,
        ClientGone,
        Drained,
        AuthDenied,
        AuthFailed,
        BodyTooLarge,
    ];
    plain
        .into_iter()
        .chain(rejections.map(Rejected))
        .chain(faults.map(Backend))
        .chain(connects.map(Connect))
        .chain(handshakes.map(BackendTls))
        .collect()
}

#[test]
fn documentation_has_every_reason_with_its_status() {
    let text = include_str!("../../../../../docs/request.md");
    let (_, text) = text.split_once("## Reasons").unwrap();
    let mut documented = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').skip(1);
        let (labels, status) = (cells.next().unwrap(), cells.next().unwrap());
        for label in labels.split([',', '`', ' ']).filter(|label| !label.is_empty()) {
            documented.insert(label);
            let reason = every_reason().into_iter().find(|reason| reason.label() == label);
            let reason = reason.unwrap_or_else(|| panic!("{label} is no reason"));
            assert!(status.contains(reason.status().as_str()), "{label}: {status}");
        }
    }
    let labels: BTreeSet<_> = every_reason().into_iter().map(HttpReason::label).collect();
    assert_eq!(documented, labels);
}

#[test]
fn every_reason_explains_itself_without_internals_for_the_client() {
    for reason in every_reason() {
        assert!(!reason.explain().is_empty(), "{reason:?}");
        let response = response(reason, false);
        assert_eq!(response.status(), reason.status());
        let length = response.headers().get(CONTENT_LENGTH).unwrap();
        assert_eq!(length.to_str().unwrap(), reason.label().len().to_string());
        // A wrong connection is HTTP's affair, whatever is spoken in it.
        let misdirected = reason.status() == StatusCode::MISDIRECTED_REQUEST;
        let status = if misdirected { reason.status() } else { StatusCode::OK };
        assert_eq!(super::response(reason, true).status(), status);
    }
}

#[test]
fn grpc_is_told_by_its_content_type() {
    for (kind, is) in [
        ("application/grpc", true),
        ("Application/gRPC+proto", true),
        ("application/grpc;x", true),
        ("application/grpc-web", false),
        ("application/json", false),
        ("app", false),
    ] {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
        assert_eq!(is_grpc(&headers), is, "{kind}");
    }
}
