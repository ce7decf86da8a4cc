//! Session persistence of a rule (GEP-1619).

use std::time::Duration;

use sealway_api::{CookieConfig, CookieLifetime, SessionPersistence, SessionType};

use super::{Context, values};
use crate::pki;
use crate::snapshot::{ContentHash, Session, SessionCarrier, is_cookie_name, is_cookie_path};

impl Context<'_, '_> {
    /// A rule that asks for what cannot be honoured is invalid: who relies on a session is better refused than sent anywhere.
    pub(super) fn session(&mut self, at: &str, number: usize, written: Option<&SessionPersistence>) -> Option<Session> {
        let written = written?;
        let at = format!("{at}.sessionPersistence");
        let absolute_timeout = self.lasting(&format!("{at}.absoluteTimeout"), written.absolute_timeout.as_deref());
        let idle_timeout = self.lasting(&format!("{at}.idleTimeout"), written.idle_timeout.as_deref());
        let owner = self.route.object.to_string();
        let carrier = match written.kind.as_ref().unwrap_or(&SessionType::Cookie) {
            SessionType::Cookie => self.cookie(&at, &made_up(&owner, number), written),
            SessionType::Header => {
                let name = written.header.as_ref().map(|header| &header.name);
                let name = name.or(written.session_name.as_ref()).map_or("", String::as_str);
                let name = self.check(format_args!("{at}.header.name"), values::editable_header(name))?;
                SessionCarrier::Header(name)
            }
            SessionType::Other(other) => {
                self.fail(format_args!("{at}.type"), values::unsupported(other, "`Cookie` or `Header`"));
                return None;
            }
        };
        Some(Session {
            owner,
            carrier,
            absolute_timeout,
            idle_timeout,
        })
    }

    fn cookie(&mut self, at: &str, made_up: &str, written: &SessionPersistence) -> SessionCarrier {
        let nothing = CookieConfig::default();
        let cookie = written.cookie.as_ref().unwrap_or(&nothing);
        let name = cookie.name.as_ref().or(written.session_name.as_ref());
        let name = name.map_or(made_up, String::as_str);
        if !is_cookie_name(name) {
            let cause = values::unsupported(name, "the name of a cookie");
            self.fail(format_args!("{at}.cookie.name"), cause);
        }
        let path = cookie.path.as_deref().unwrap_or("/");
        if !is_cookie_path(path) {
            let cause = values::unsupported(path, "a path that begins with `/`, without `;`");
            self.fail(format_args!("{at}.cookie.path"), cause);
        }
        let permanent = match &cookie.lifetime_type {
            None | Some(CookieLifetime::Session) => false,
            Some(CookieLifetime::Permanent) => {
                if written.absolute_timeout.is_none() {
                    let cause = values::unsupported("Permanent", "`Session`, as long as there is no absoluteTimeout");
                    self.fail(format_args!("{at}.cookie.lifetimeType"), cause);
                }
                true
            }
            Some(CookieLifetime::Other(other)) => {
                let cause = values::unsupported(other, "`Session` or `Permanent`");
                self.fail(format_args!("{at}.cookie.lifetimeType"), cause);
                false
            }
        };
        SessionCarrier::Cookie {
            name: name.to_owned(),
            path: path.to_owned(),
            permanent,
        }
    }

    /// A session that ends at once is none.
    fn lasting(&mut self, at: &str, written: Option<&str>) -> Option<Duration> {
        let duration = self.duration(at, written)?;
        if duration.is_zero() {
            self.fail(at, values::unsupported(written.unwrap_or_default(), "a duration above zero"));
        }
        Some(duration)
    }
}

/// The name of a cookie that has none: no other rule's, and it says nothing of the route.
fn made_up(owner: &str, number: usize) -> String {
    let ContentHash(hash) = pki::hash([format!("{owner}/{number}").as_bytes()].into_iter());
    let half = hash.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    format!("sealway-{half:016x}")
}
