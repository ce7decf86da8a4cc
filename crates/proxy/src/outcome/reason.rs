//! Why a connection ended: for each reason its label, whose doing it was, what to say of it, and the alert that is owed.

use std::borrow::Cow;

use sealway_core::{BackendFault, BackendTlsFault, RejectReason};

use crate::client_hello::HelloError;
use crate::proxy_protocol::HeaderError;
use crate::tls::HandshakeFault;

/// Why a connection ended. Each has a stable label for metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides ended their streams.
    Closed,
    /// Nothing moved for the idle timeout.
    IdleTimeout,
    /// It outlived the drain deadline of its route, or of the process.
    Drained,
    /// A UDP flow that had been silent for the longest made room for another.
    Evicted,
    /// The client's socket failed while bytes were relayed.
    ClientFailed,
    /// The backend's socket failed.
    BackendFailed,
    /// The client went away before its ClientHello was complete.
    ClientGone,
    /// The ClientHello was not complete in time.
    HelloTimeout,
    /// A trusted proxy did not send a header that we take.
    ProxyHeader(HeaderError),
    /// Plain HTTP on a TLS port.
    PlainHttp,
    /// TLS on a plain HTTP port.
    TlsOnHttp,
    /// What the client sent is not HTTP, or more of it than we take.
    HttpInvalid,
    /// The client let a deadline of HTTP pass: for a header, or for taking what waited for it.
    HttpTimeout,
    /// PostgreSQL start-up in plain text.
    PostgresPlainText,
    /// A PostgreSQL CancelRequest in plain text: it carries no name.
    PostgresCancel,
    /// More requests for encryption than any PostgreSQL client sends.
    PostgresRequests,
    /// No ClientHello that we pass on.
    Hello(HelloError),
    /// Refused by lookup.
    Rejected(RejectReason),
    /// The draw fell on a backend that cannot be had.
    Backend(BackendFault),
    /// No endpoint could be reached; this is what the last one did.
    Connect(ConnectFault),
    /// A PostgreSQL backend does not take TLS.
    BackendRefusesTls,
    /// The TLS handshake with the client failed.
    Handshake(HandshakeFault),
    /// The TLS handshake with the backend failed.
    BackendTls(BackendTlsFault),
    /// The listener has as many connections as it may.
    ConnectionLimit,
    /// As many connections as the listener may have are still sending their hellos.
    GreetingLimit,
    /// The source has as many connections as it may.
    SourceLimit,
    /// A defect of ours.
    Panic,
    /// The process ended first.
    Abandoned,
}

/// Why an endpoint could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectFault {
    /// ECONNREFUSED.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way there.
    Unreachable,
    /// We have no descriptor or local port left.
    Exhausted,
    /// Anything else.
    Other,
}

/// Whose doing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client's.
    Client,
    /// Ours: limits, configuration, defects.
    Gateway,
    /// The backend's.
    Backend,
}

impl CloseReason {
    /// Stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::IdleTimeout => "idle_timeout",
            Self::Drained => "drained",
            Self::Evicted => "evicted",
            Self::ClientFailed => "client_failed",
            Self::BackendFailed => "backend_failed",
            Self::ClientGone => "client_gone",
            Self::HelloTimeout => "hello_timeout",
            Self::ProxyHeader(error) => error.label(),
            Self::PlainHttp => "plain_http",
            Self::TlsOnHttp => "tls_on_http",
            Self::HttpInvalid => "http_invalid",
            Self::HttpTimeout => "http_timeout",
            Self::PostgresPlainText => "postgres_plain_text",
            Self::PostgresCancel => "postgres_cancel",
            Self::PostgresRequests => "postgres_requests",
            Self::Hello(error) => error.label(),
            Self::Rejected(reason) => reason.label(),
            Self::Backend(fault) => fault.label(),
            Self::Connect(fault) => fault.outcome(),
            Self::BackendRefusesTls => "backend_refuses_tls",
            Self::Handshake(fault) => fault.label(),
            Self::BackendTls(fault) => backend_tls_outcome(fault),
            Self::ConnectionLimit => "connection_limit",
            Self::GreetingLimit => "greeting_limit",
            Self::SourceLimit => "source_limit",
            Self::Panic => "panic",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whose doing it was; `None` when nothing failed.
    pub fn blame(self) -> Option<Blame> {
        match self {
            Self::Closed | Self::IdleTimeout | Self::Drained => None,
            Self::ClientFailed
            | Self::ClientGone
            | Self::HelloTimeout
            | Self::ProxyHeader(_)
            | Self::PlainHttp
            | Self::TlsOnHttp
            | Self::HttpInvalid
            | Self::HttpTimeout
            | Self::PostgresPlainText
            | Self::PostgresCancel
            | Self::PostgresRequests
            | Self::Hello(_)
            | Self::SourceLimit => Some(Blame::Client),
            Self::Handshake(HandshakeFault::CertificateUnavailable) => Some(Blame::Gateway),
            Self::Handshake(_) => Some(Blame::Client),
            Self::Rejected(reason) => Some(match reason {
                RejectReason::MalformedServerName
                | RejectReason::MissingServerName
                | RejectReason::NoListener
                | RejectReason::NoRoute => Blame::Client,
                RejectReason::ListenerRefuses | RejectReason::NoWeight => Blame::Gateway,
            }),
            Self::ConnectionLimit
            | Self::Evicted
            | Self::GreetingLimit
            | Self::Panic
            | Self::Abandoned
            | Self::Backend(_)
            | Self::Connect(ConnectFault::Exhausted) => Some(Blame::Gateway),
            Self::BackendFailed | Self::Connect(_) | Self::BackendRefusesTls | Self::BackendTls(_) => Some(Blame::Backend),
        }
    }

    /// What happened, in a sentence for the operator; `None` when nothing failed, just as [`Self::blame`].
    pub fn explain(self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Closed | Self::IdleTimeout | Self::Drained => return None,
            Self::ProxyHeader(error) => return Some(format!("{error}; {}", error.hint()).into()),
            Self::Hello(error) => return Some(format!("{error}; {}", error.hint()).into()),
            Self::ClientFailed => "the client's connection failed",
            Self::BackendFailed => "the backend's connection failed",
            Self::ClientGone => "the client went away before its ClientHello was complete",
            Self::HelloTimeout => "the ClientHello was not complete in time",
            Self::PlainHttp => "the client speaks plain HTTP on a TLS port; use https:// there",
            Self::TlsOnHttp => "the client speaks TLS on a plain HTTP port; use http:// there",
            Self::HttpInvalid => "what the client sent is not HTTP, or more of it than is taken",
            Self::HttpTimeout => "the client took too long over a header, or over taking what waited for it",
            Self::PostgresPlainText => "the client begins PostgreSQL without TLS; let it use sslmode=verify-full",
            Self::PostgresCancel => "a PostgreSQL CancelRequest in plain text names no server",
            Self::PostgresRequests => "the client asks for encryption more often than any PostgreSQL client does",
            Self::Rejected(RejectReason::ListenerRefuses) => {
                "the listener that claims this server name is not served; see its conditions"
            }
            Self::Rejected(RejectReason::MalformedServerName) => "the server name is not a host name",
            Self::Rejected(RejectReason::MissingServerName) => "the client sent no server name, and every claim needs one",
            Self::Rejected(RejectReason::NoListener) => "no listener claims this server name",
            Self::Rejected(RejectReason::NoRoute) => "the listener has no route for this server name",
            Self::Rejected(RejectReason::NoWeight) => "the route has no backend with a weight above 0",
            Self::Backend(BackendFault::InvalidKind) => "the route names a backend of a kind that cannot be one",
            Self::Backend(BackendFault::NotFound) => "the route names a Service that does not exist",
            Self::Backend(BackendFault::NoSuchPort) => "the route names a port that its Service does not have",
            Self::Backend(BackendFault::NotPermitted) => {
                "the backend is in another namespace, and no ReferenceGrant there permits it"
            }
            Self::Backend(BackendFault::NoEndpoints) => "the Service has no endpoint that is ready",
            Self::Backend(BackendFault::NameUnresolved) => "the backend's DNS name has no address yet",
            Self::Backend(BackendFault::UnsupportedProtocol) => "the Service asks for an appProtocol that is not spoken",
            Self::Backend(BackendFault::NotServed) => "the XBackend asks for what is not served; see its conditions",
            Self::Backend(BackendFault::TlsPolicyInvalid) => {
                "the backend's BackendTLSPolicy cannot be honoured; see its conditions"
            }
            Self::Connect(ConnectFault::Refused) => "the endpoint refused the connection",
            Self::Connect(ConnectFault::TimedOut) => "the endpoint did not answer in time",
            Self::Connect(ConnectFault::Unreachable) => "there is no way to the endpoint",
            Self::Connect(ConnectFault::Exhausted) => "no descriptor or local port is left to connect with",
            Self::Connect(ConnectFault::Other) => "the endpoint could not be connected to",
            Self::BackendRefusesTls => "the PostgreSQL backend does not take TLS; switch ssl on there",
            Self::Handshake(fault) => fault.explain(),
            Self::BackendTls(fault) => explain_backend_tls(fault),
            Self::ConnectionLimit => "the listener has as many connections as it may",
            Self::Evicted => "the flow was silent for the longest and made room for another: there are as many as may be",
            Self::GreetingLimit => "as many connections as the listener may have are still sending their hellos",
            Self::SourceLimit => "the source has as many connections as it may",
            Self::Panic => "a defect of the gateway ended the connection; please report it",
            Self::Abandoned => "the gateway's process ended first",
        }))
    }

    /// The fatal TLS alert that says it (RFC 8446 section 6), where one is owed.
    pub fn alert(self) -> Option<u8> {
        match self {
            Self::Hello(error) => Some(error.alert()),
            Self::Rejected(reason) => Some(reason.alert()),
            Self::Backend(_)
            | Self::Connect(_)
            | Self::BackendRefusesTls
            | Self::BackendTls(_)
            | Self::BackendFailed
            | Self::Handshake(HandshakeFault::CertificateUnavailable)
            | Self::ConnectionLimit => Some(INTERNAL_ERROR),
            // Seen before the handshake.
            Self::Handshake(HandshakeFault::NoSharedVersion) => Some(PROTOCOL_VERSION),
            // The handshake itself has said what there was to say.
            Self::Handshake(_) => None,
            // Who does not speak TLS, or said nothing, is not answered in TLS.
            Self::Closed
            | Self::IdleTimeout
            | Self::Drained
            | Self::Evicted
            | Self::ClientFailed
            | Self::ClientGone
            | Self::HelloTimeout
            | Self::ProxyHeader(_)
            | Self::PlainHttp
            | Self::TlsOnHttp
            | Self::HttpInvalid
            | Self::HttpTimeout
            | Self::PostgresPlainText
            | Self::PostgresCancel
            | Self::PostgresRequests
            | Self::GreetingLimit
            | Self::SourceLimit
            | Self::Panic
            | Self::Abandoned => None,
        }
    }

    /// Whether the name that the client asked for, or did not, led nowhere.
    pub(crate) fn is_sni_miss(self) -> bool {
        match self {
            Self::Rejected(reason) => SNI_MISSES.contains(&reason),
            _ => false,
        }
    }
}

impl ConnectFault {
    /// What an error of connect(2) means.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            ErrorKind::AddrNotAvailable => Self::Exhausted,
            _ if crate::listeners::is_exhaustion(error) => Self::Exhausted,
            _ => Self::Other,
        }
    }

    /// Label of `sealway_backend_connect_failures_total`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Exhausted => "exhausted",
            Self::Other => "other",
        }
    }

    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Refused => "connect_refused",
            Self::TimedOut => "connect_timed_out",
            Self::Unreachable => "connect_unreachable",
            Self::Exhausted => "connect_exhausted",
            Self::Other => "connect_failed",
        }
    }
}

impl Blame {
    /// Stable label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Backend => "backend",
        }
    }
}

fn backend_tls_outcome(fault: BackendTlsFault) -> &'static str {
    match fault {
        BackendTlsFault::UnknownAuthority => "backend_tls_unknown_authority",
        BackendTlsFault::NameMismatch => "backend_tls_name_mismatch",
        BackendTlsFault::Expired => "backend_tls_certificate_expired",
        BackendTlsFault::NotYetValid => "backend_tls_certificate_not_yet_valid",
        BackendTlsFault::Revoked => "backend_tls_certificate_revoked",
        BackendTlsFault::RevocationUnknown => "backend_tls_certificate_revocation_unknown",
        BackendTlsFault::BadCertificate => "backend_tls_bad_certificate",
        BackendTlsFault::NotTls => "backend_tls_not_tls",
        BackendTlsFault::ClientCertificateRefused => "backend_tls_client_certificate_refused",
        BackendTlsFault::HandshakeRefused => "backend_tls_handshake_refused",
        BackendTlsFault::Broken => "backend_tls_broken",
    }
}

fn explain_backend_tls(fault: BackendTlsFault) -> &'static str {
    match fault {
        BackendTlsFault::UnknownAuthority => "the backend's certificate is of no authority that its BackendTLSPolicy names",
        BackendTlsFault::NameMismatch => "the backend's certificate has none of the names that its BackendTLSPolicy asks for",
        BackendTlsFault::Expired => "the backend's certificate has expired",
        BackendTlsFault::NotYetValid => "the backend's certificate is not valid yet",
        BackendTlsFault::Revoked => "the backend's certificate has been revoked",
        BackendTlsFault::RevocationUnknown => {
            "no current revocation list of the issuer of the backend's certificate is known (--crl-failure hard); at an http:// URL it has been asked for"
        }
        BackendTlsFault::BadCertificate => "the backend's certificate is not fit for a server, or cannot be read",
        BackendTlsFault::NotTls => "the backend does not speak TLS, which its BackendTLSPolicy asks for",
        BackendTlsFault::ClientCertificateRefused => {
            "the backend refuses the gateway's certificate, or wants one and got none (spec.tls.backend.clientCertificateRef)"
        }
        BackendTlsFault::HandshakeRefused => "the backend and the gateway have no way to speak TLS in common",
        BackendTlsFault::Broken => "the backend ended the TLS handshake, or was silent until the deadline",
    }
}

const PROTOCOL_VERSION: u8 = 70;
const INTERNAL_ERROR: u8 = 80;

/// The refusals that count as a server name that led nowhere.
pub(crate) const SNI_MISSES: [RejectReason; 4] = [
    RejectReason::NoListener,
    RejectReason::NoRoute,
    RejectReason::MissingServerName,
    RejectReason::MalformedServerName,
];

#[cfg(test)]
mod tests;
