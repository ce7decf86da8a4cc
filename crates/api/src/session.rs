//! Session persistence (GEP-1619; apis/v1/shared_types.go of v1.7, and the names that fields had before).

use serde::Deserialize;

use crate::open_enum::open_enum;

/// How a client keeps the endpoint that it was sent to first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionPersistence {
    /// Cookie unless stated.
    #[serde(rename = "type")]
    pub kind: Option<SessionType>,
    /// From the first request to the end of the session, as GEP-2257 writes durations; absent: no limit.
    pub absolute_timeout: Option<String>,
    /// From one request to the next (before v1.7); absent: no limit.
    pub idle_timeout: Option<String>,
    /// For Cookie.
    #[serde(alias = "cookieConfig")]
    pub cookie: Option<CookieConfig>,
    /// For Header.
    pub header: Option<SessionHeader>,
    /// Name of the cookie or the header (before v1.7).
    pub session_name: Option<String>,
}

open_enum! {
    /// What tells of the session.
    SessionType {
        /// A cookie.
        Cookie = "Cookie",
        /// A header, which the client has to send again itself.
        Header = "Header",
    }
}

/// The cookie of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CookieConfig {
    /// Absent: one that is made up.
    pub name: Option<String>,
    /// `/` unless stated.
    pub path: Option<String>,
    /// Session unless stated.
    pub lifetime_type: Option<CookieLifetime>,
}

open_enum! {
    /// How long a client keeps a cookie.
    CookieLifetime {
        /// For the absolute timeout.
        Permanent = "Permanent",
        /// Until the client is closed.
        Session = "Session",
    }
}

/// The header of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionHeader {
    /// Its name.
    pub name: String,
}
