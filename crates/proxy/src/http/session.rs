//! Sessions: which endpoint a client goes back to, and what it is given so that it does (GEP-1619).
//!
//! In: what the rule says, the client's header, the time. Out: the endpoint, and a header of the response. All that is known of a session
//! is in the token that the client keeps, sealed (AES-256-GCM-SIV): nobody without the Gateway's key reads or makes one, and one of another
//! owner or name is none. It has one endpoint for each backend, so that weights go on to choose among backends with every request. A token
//! that is too old, cut, forged, or names no endpoint that is still there begins a new session. A policy's session goes on while it names any
//! endpoint: those of other rules are not known here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use sealway_core::{Backend, HttpRule, Session, SessionCarrier, SessionKey, Target};

/// A request's session, once its backend is known.
pub(super) struct Visit {
    session: Arc<Session>,
    key: SessionKey,
    now: Duration,
    /// What the client showed; `None`: nothing that counts.
    shown: Option<Token>,
    /// Where it is to go, if that is still there.
    pub(super) endpoint: Option<SocketAddr>,
}

/// What a client keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    /// Since the epoch, to the second.
    begun: Duration,
    /// Of the last response.
    used: Duration,
    /// At most one of each backend, the last used first.
    endpoints: Vec<SocketAddr>,
}

impl Visit {
    /// Of a request with these headers that goes to `backend`.
    pub(super) fn new(session: &Arc<Session>, key: &SessionKey, backend: &Backend, headers: &HeaderMap, now: SystemTime) -> Self {
        let session = Arc::clone(session);
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Duration::from_secs(now.as_secs());
        let shown = shown(&session.carrier, headers).take(MOST_SHOWN);
        let shown = shown
            .filter_map(|text| Token::open(text, key, &session))
            .find(|token| token.is_good(&session, now));
        let listed = |address: &&SocketAddr| backend.endpoints.contains(address);
        let endpoint = shown.as_ref().and_then(|token| token.endpoints.iter().find(listed).copied());
        Self {
            session,
            key: key.clone(),
            now,
            shown,
            endpoint,
        }
    }

    /// Tells the client where it was, unless it knows.
    pub(super) fn answer(self, endpoint: SocketAddr, rule: &HttpRule, https: bool, headers: &mut HeaderMap) {
        let is_kept = self.endpoint == Some(endpoint);
        if is_kept && self.session.idle_timeout.is_none() {
            return;
        }
        let mut token = self.shown.unwrap_or(Token {
            begun: self.now,
            used: self.now,
            endpoints: Vec::new(),
        });
        token.used = self.now;
        let gone = self.endpoint;
        // Of a policy's session, other rules may have the rest.
        let is_shared = self.session.owner != rule.route.to_string();
        // What is nobody's any more, what this one takes the place of, and itself.
        token
            .endpoints
            .retain(|other| *other != endpoint && Some(*other) != gone && (is_shared || is_of(rule, other)));
        if token.endpoints.is_empty() && !is_kept {
            token.begun = self.now;
        }
        token.endpoints.insert(0, endpoint);
        token.endpoints.truncate(MOST_ENDPOINTS);
        let Some(text) = token.seal(&self.key, &self.session) else {
            return;
        };
        let lasts = self
            .session
            .absolute_timeout
            .map(|lasts| (token.begun + lasts).saturating_sub(self.now));
        write(&self.session.carrier, &text, lasts, https, headers);
    }
}

/// Whether any backend of the rule has it.
fn is_of(rule: &HttpRule, endpoint: &SocketAddr) -> bool {
    rule.backends.iter().any(|backend| match &backend.backend.target {
        Target::Backend(backend) => backend.endpoints.contains(endpoint),
        Target::Refuse(_) => false,
    })
}

/// A client may have several cookies of one name, from other paths or from the backend itself.
fn shown<'a>(carrier: &'a SessionCarrier, headers: &'a HeaderMap) -> Box<dyn Iterator<Item = &'a str> + 'a> {
    match carrier {
        SessionCarrier::Header(name) => Box::new(headers.get_all(name).iter().filter_map(|value| value.to_str().ok())),
        SessionCarrier::Cookie { name, .. } => {
            let fields = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
            let pairs = fields
                .flat_map(|field| field.split(';'))
                .filter_map(|pair| pair.trim().split_once('='));
            Box::new(
                pairs
                    .filter(move |(other, _)| other == name)
                    .map(|(_, value)| value.trim_matches('"')),
            )
        }
    }
}

fn write(carrier: &SessionCarrier, text: &str, lasts: Option<Duration>, https: bool, headers: &mut HeaderMap) {
    match carrier {
        SessionCarrier::Header(name) => {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name.clone(), value);
            }
        }
        SessionCarrier::Cookie { name, path, permanent } => {
            // A browser would drop it if it were Secure and came in clear text.
            let secure = if https { "; Secure" } else { "" };
            let age = match lasts.filter(|_| *permanent) {
                // What is less than a second is not nothing, which would delete it.
                Some(lasts) => format!("; Max-Age={}", lasts.as_secs().max(1)),
                None => String::new(),
            };
            let cookie = format!("{name}={text}; Path={path}{age}; HttpOnly{secure}; SameSite=Strict");
            if let Ok(value) = HeaderValue::from_str(&cookie) {
                headers.append(SET_COOKIE, value);
            }
        }
    }
}

impl Token {
    fn is_good(&self, session: &Session, now: Duration) -> bool {
        // Clocks of proxies differ a little: what begins later has just begun.
        let is_within = |since: Duration, limit: Option<Duration>| limit.is_none_or(|limit| now.saturating_sub(since) < limit);
        is_within(self.begun, session.absolute_timeout) && is_within(self.used, session.idle_timeout)
    }

    /// A nonce, then the sealed bytes with their tag, in base64.
    fn seal(&self, key: &SessionKey, session: &Session) -> Option<String> {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.expose()).ok()?;
        let mut sealed = self.bytes();
        let nonce = key.seal_in_place_append_tag(Aad::from(bound_to(session)), &mut sealed).ok()?;
        let mut bytes = nonce.as_ref().to_vec();
        bytes.append(&mut sealed);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn open(text: &str, key: &SessionKey, session: &Session) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, key.expose()).ok()?;
        let opened = key.open_in_place(nonce, Aad::from(bound_to(session)), sealed).ok()?;
        Self::read(opened)
    }

    /// A version, the two times, and the endpoints: 4 or 6, the address, the port. Numbers are big-endian.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.begun.as_secs().to_be_bytes());
        bytes.extend(self.used.as_secs().to_be_bytes());
        for endpoint in &self.endpoints {
            match endpoint.ip() {
                IpAddr::V4(address) => {
                    bytes.push(4);
                    bytes.extend(address.octets());
                }
                IpAddr::V6(address) => {
                    bytes.push(6);
                    bytes.extend(address.octets());
                }
            }
            bytes.extend(endpoint.port().to_be_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION], rest) = bytes.split_first_chunk()? else {
            return None;
        };
        let (begun, rest) = rest.split_first_chunk()?;
        let (used, mut rest) = rest.split_first_chunk()?;
        let mut endpoints = Vec::new();
        while let Some((family, after)) = rest.split_first() {
            let (address, after) = match family {
                4 => after
                    .split_first_chunk()
                    .map(|(address, after)| (IpAddr::V4(Ipv4Addr::from(*address)), after))?,
                6 => after
                    .split_first_chunk::<16>()
                    .map(|(address, after)| (IpAddr::V6(Ipv6Addr::from(*address)), after))?,
                _ => return None,
            };
            let (port, after) = after.split_first_chunk()?;
            endpoints.push(SocketAddr::new(address, u16::from_be_bytes(*port)));
            rest = after;
        }
        Some(Self {
            begun: Duration::from_secs(u64::from_be_bytes(*begun)),
            used: Duration::from_secs(u64::from_be_bytes(*used)),
            endpoints,
        })
    }
}

/// Neither an owner nor a name has a line break, so no two are the same.
fn bound_to(session: &Session) -> String {
    let name = match &session.carrier {
        SessionCarrier::Cookie { name, .. } => name.as_str(),
        SessionCarrier::Header(name) => name.as_str(),
    };
    format!("{}\n{name}", session.owner)
}

const VERSION: u8 = 1;
const NONCE: usize = 12;
/// As many as a rule can have backends.
const MOST_ENDPOINTS: usize = 16;
/// Bytes of base64: more than the most endpoints take.
const LONGEST: usize = 512;
/// Values that a request may show: each costs a look.
const MOST_SHOWN: usize = 4;

#[cfg(test)]
mod tests;
