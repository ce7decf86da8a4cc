//! Session persistence (GEP-1619), as a rule or a policy asks for it.

use std::time::Duration;

use sealway_api::{CookieConfig, CookieLifetime, SessionPersistence, SessionType};

use super::super::values::parse_duration;
use super::{Context, values};
use crate::pki;
use crate::problem::Cause;
use crate::snapshot::{ContentHash, Session, SessionCarrier, is_cookie_name, is_cookie_path};

impl Context<'_, '_> {
    /// A rule that asks for what cannot be honoured is invalid: who relies on a session is better refused than sent anywhere.
    pub(super) fn session(&mut self, at: &str, number: usize, written: Option<&SessionPersistence>) -> Option<Session> {
        let owner = self.route.object.to_string();
        let name = format!("{owner}/{number}");
        let mut fail = |field: &str, cause| self.fail(format_args!("{at}.sessionPersistence.{field}"), cause);
        session(&owner, &name, written?, &mut fail)
    }
}

/// The sessions of `owner`, as they are written: `fail` hears of each field that cannot be honoured. A cookie without a name gets one that
/// is made of `unnamed`, which is nobody else's.
pub(in crate::compile) fn session(
    owner: &str,
    unnamed: &str,
    written: &SessionPersistence,
    fail: &mut dyn FnMut(&str, Cause),
) -> Option<Session> {
    let absolute_timeout = lasting("absoluteTimeout", written.absolute_timeout.as_deref(), fail);
    let idle_timeout = lasting("idleTimeout", written.idle_timeout.as_deref(), fail);
    let carrier = match written.kind.as_ref().unwrap_or(&SessionType::Cookie) {
        SessionType::Cookie => cookie(unnamed, written, fail),
        SessionType::Header => {
            let name = written.header.as_ref().map(|header| &header.name);
            let name = name.or(written.session_name.as_ref()).map_or("", String::as_str);
            let name = values::editable_header(name).map_err(|cause| fail("header.name", cause));
            SessionCarrier::Header(name.ok()?)
        }
        SessionType::Other(other) => {
            fail("type", values::unsupported(other, "`Cookie` or `Header`"));
            return None;
        }
    };
    Some(Session {
        owner: owner.to_owned(),
        carrier,
        absolute_timeout,
        idle_timeout,
    })
}

fn cookie(unnamed: &str, written: &SessionPersistence, fail: &mut dyn FnMut(&str, Cause)) -> SessionCarrier {
    let nothing = CookieConfig::default();
    let cookie = written.cookie.as_ref().unwrap_or(&nothing);
    let name = cookie.name.as_ref().or(written.session_name.as_ref());
    let name = name.cloned().unwrap_or_else(|| made_up(unnamed));
    if !is_cookie_name(&name) {
        fail("cookie.name", values::unsupported(&name, "the name of a cookie"));
    }
    let path = cookie.path.as_deref().unwrap_or("/");
    if !is_cookie_path(path) {
        let cause = values::unsupported(path, "a path that begins with `/`, without `;`");
        fail("cookie.path", cause);
    }
    let permanent = match &cookie.lifetime_type {
        None | Some(CookieLifetime::Session) => false,
        Some(CookieLifetime::Permanent) => {
            if written.absolute_timeout.is_none() {
                let cause = values::unsupported("Permanent", "`Session`, as long as there is no absoluteTimeout");
                fail("cookie.lifetimeType", cause);
            }
            true
        }
        Some(CookieLifetime::Other(other)) => {
            let cause = values::unsupported(other, "`Session` or `Permanent`");
            fail("cookie.lifetimeType", cause);
            false
        }
    };
    SessionCarrier::Cookie {
        name,
        path: path.to_owned(),
        permanent,
    }
}

/// A session that ends at once is none.
fn lasting(field: &str, written: Option<&str>, fail: &mut dyn FnMut(&str, Cause)) -> Option<Duration> {
    let written = written?;
    let duration = parse_duration(written);
    match duration {
        None => fail(field, values::unsupported(written, values::A_DURATION)),
        Some(Duration::ZERO) => fail(field, values::unsupported(written, "a duration above zero")),
        Some(_) => {}
    }
    duration
}

/// The name of a cookie that has none: it says nothing of the route.
fn made_up(unnamed: &str) -> String {
    let ContentHash(hash) = pki::hash([unnamed.as_bytes()].into_iter());
    let half = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    format!("sealway-{half:016x}")
}
