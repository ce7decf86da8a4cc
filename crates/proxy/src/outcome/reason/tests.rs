//! Every reason is explained, to the operator and in the documentation.

use std::collections::BTreeSet;

use super::*;
use crate::client_hello::HelloPart;

/// A value of each variant; does not compile when one is missing.
macro_rules! every {
    ($type:ident { $($variant:ident $({ $($field:tt: $value:expr),+ })?),+ $(,)? }) => {{
        let _complete = |value: $type| match value { $($type::$variant { .. } => ()),+ };
        [$($type::$variant { $($($field: $value),+)? }),+]
    }};
}

fn every_reason() -> Vec<CloseReason> {
    let plain = every!(CloseReason {
        Closed,
        IdleTimeout,
        Drained,
        Evicted,
        ClientFailed,
        BackendFailed,
        ClientGone,
        HelloTimeout,
        ProxyHeader { 0: HeaderError::Missing },
        PlainHttp,
        TlsOnHttp,
        HttpInvalid,
        HttpTimeout,
        PostgresPlainText,
        PostgresCancel,
        PostgresRequests,
        Hello { 0: HelloError::NotTls },
        Rejected { 0: RejectReason::NoRoute },
        Backend { 0: BackendFault::NotFound },
        Connect { 0: ConnectFault::Refused },
        BackendRefusesTls,
        Handshake { 0: HandshakeFault::Gone },
        BackendTls { 0: BackendTlsFault::Broken },
        ConnectionLimit,
        GreetingLimit,
        SourceLimit,
        Panic,
        Abandoned,
    });
    let headers = every!(HeaderError {
        Missing,
        LineTooLong,
        LineMalformed,
        UnknownVersion { version: 3 },
        UnknownCommand { command: 2 },
        UnknownFamily { family: 0xff },
        TooLong { length: 5000 },
        AddressesTruncated,
        ExtensionMalformed,
        Checksum,
    });
    let hellos = every!(HelloError {
        HttpRequest,
        SslV2Hello,
        PostgresMessage,
        ProxyHeader,
        NotTls,
        UnexpectedRecord { content_type: 23 },
        RecordVersion { major: 2 },
        RecordTooLong { length: 20_000 },
        TooManyEmptyRecords,
        UnexpectedHandshake { kind: 2 },
        TooLong { length: 100_000 },
        Malformed { 0: HelloPart::Random },
        TooManyProtocols,
        TrailingBytes,
        DuplicateExtension { kind: 0 },
        DuplicateHostName,
    });
    let rejections = every!(RejectReason {
        ListenerRefuses,
        MalformedServerName,
        MissingServerName,
        NoListener,
        NoRoute,
        NoWeight,
    });
    let backends = every!(BackendFault {
        InvalidKind,
        NotFound,
        NoSuchPort,
        NotPermitted,
        NoEndpoints,
        NameUnresolved,
        UnsupportedProtocol,
        NotServed,
        TlsPolicyInvalid,
    });
    let connects = every!(ConnectFault {
        Refused,
        TimedOut,
        Unreachable,
        Exhausted,
        Other,
    });
    let handshakes = every!(HandshakeFault {
        CertificateUnavailable,
        CertificateRejected,
        ClientAlert,
        NoSharedVersion,
        NoSharedSuite,
        NoSharedGroup,
        NoSharedSignatureScheme,
        NoSharedProtocol,
        ClientCertificateMissing,
        ClientCertificateUnknownAuthority,
        ClientCertificateExpired,
        ClientCertificateNotYetValid,
        ClientCertificateRevoked,
        ClientCertificateRevocationUnknown,
        ClientCertificateBad,
        Malformed,
        Timeout,
        Gone,
    });
    let backend_handshakes = every!(BackendTlsFault {
        UnknownAuthority,
        NameMismatch,
        Expired,
        NotYetValid,
        Revoked,
        RevocationUnknown,
        BadCertificate,
        NotTls,
        ClientCertificateRefused,
        HandshakeRefused,
        Broken,
    });
    plain
        .into_iter()
        .chain(headers.map(CloseReason::ProxyHeader))
        .chain(hellos.map(CloseReason::Hello))
        .chain(rejections.map(CloseReason::Rejected))
        .chain(backends.map(CloseReason::Backend))
        .chain(connects.map(CloseReason::Connect))
        .chain(handshakes.map(CloseReason::Handshake))
        .chain(backend_handshakes.map(CloseReason::BackendTls))
        .collect()
}

/// What the first column of the documentation's table of outcomes names.
fn documented() -> BTreeSet<&'static str> {
    let text = include_str!("../../../../../docs/connection.md");
    text.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('|').next())
        .flat_map(|cell| cell.split([',', '`', ' ']))
        .filter(|label| !label.is_empty())
        .collect()
}

#[test]
fn documentation_has_every_outcome_and_no_other() {
    let labels: BTreeSet<_> = every_reason().into_iter().map(CloseReason::label).collect();
    let documented = documented();
    let missing: Vec<_> = labels.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&labels).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
}

#[test]
fn every_failure_has_a_side_and_an_explanation() {
    for reason in every_reason() {
        let explanation = reason.explain();
        assert_eq!(reason.blame().is_some(), explanation.is_some(), "{reason:?}");
        assert!(explanation.is_none_or(|text| text.len() > 20), "{reason:?}");
    }
}

#[test]
fn blame_for_a_missed_name_is_the_clients() {
    for reason in every_reason() {
        if reason.is_sni_miss() {
            assert_eq!(reason.blame(), Some(Blame::Client), "{reason:?}");
        }
    }
}
