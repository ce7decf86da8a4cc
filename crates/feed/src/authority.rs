//! The authority of the feed's certificates, which controllers share by a Secret and proxies believe.
//!
//! Job: say what the Secret has to hold at a time, whom proxies are to believe, and a certificate for a controller. Pure: texts and the
//! time in, texts out. Invariant: an authority signs only when proxies have been told of it for [`SPREAD`], and is believed as long as
//! something that it signed may be in use.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealway_api::Timestamp;
use sealway_core::SessionKey;
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::tls::SERVER_NAME;

/// In the Secret.
const SESSIONS: &str = "sessions.key";
/// Bytes of its text: base64 of 256 bits, and no less.
const LEAST_SESSIONS: usize = 43;
/// Seconds that an authority is good for.
const AUTHORITY_LASTS: i64 = 365 * DAY;
/// When so much is left of it, the next one is made.
const SUCCESSION: i64 = 120 * DAY;
/// From the making of an authority to its first signature: ConfigMaps reach every pod by then, and so do controllers that were away.
const SPREAD: i64 = DAY;
/// Seconds that a controller's certificate is good for.
const LEAF_LASTS: i64 = DAY;
/// Clocks differ.
const BACKDATE: i64 = 3600;
const DAY: i64 = 24 * 3600;

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum AuthorityFault {
    /// The Secret does not hold what it must.
    #[error("{0} is missing or cannot be read: delete the Secret, and another is made (proxies follow within minutes)")]
    Unreadable(&'static str),
    /// A key or certificate cannot be made.
    #[error("the feed's certificate cannot be made: {0}")]
    Unmade(#[from] rcgen::Error),
    /// The system has none.
    #[error("the system gives no random bytes: look at the node")]
    NoRandomness,
}

/// A certificate with its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    certificate: String,
    key: Zeroizing<String>,
}

/// What the Secret holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    current: Pair,
    next: Option<Pair>,
    previous: Option<String>,
    /// What session keys are derived from. It outlives authorities, for clients keep what it has sealed.
    sessions: Option<Zeroizing<String>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authority(…)")
    }
}

/// A controller's certificate.
pub struct Leaf {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// When another is due.
    pub renew_at: Timestamp,
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(now: Timestamp) -> Result<Self, AuthorityFault> {
        Ok(Self {
            current: authority(now)?,
            next: None,
            previous: None,
            sessions: Some(sessions()?),
        })
    }

    /// From a Secret's data.
    ///
    /// # Errors
    /// When it lacks something.
    pub fn read(data: &BTreeMap<String, Zeroizing<String>>) -> Result<Self, AuthorityFault> {
        let pair = |certificate: &'static str, key: &'static str| {
            let pair = Pair {
                certificate: data.get(certificate)?.to_string(),
                key: data.get(key)?.clone(),
            };
            times(&pair.certificate)?;
            KeyPair::from_pem(&pair.key).ok()?;
            Some(pair)
        };
        Ok(Self {
            current: pair("tls.crt", "tls.key").ok_or(AuthorityFault::Unreadable("tls.crt or tls.key"))?,
            next: pair("next.crt", "next.key"),
            previous: data.get("previous.crt").map(|text| text.to_string()),
            sessions: data.get(SESSIONS).filter(|text| text.len() >= LEAST_SESSIONS).cloned(),
        })
    }

    /// For the Secret.
    #[must_use]
    pub fn data(&self) -> BTreeMap<&'static str, Zeroizing<String>> {
        let mut data = BTreeMap::from([
            ("tls.crt", Zeroizing::new(self.current.certificate.clone())),
            ("tls.key", self.current.key.clone()),
            ("ca.crt", Zeroizing::new(self.bundle())),
        ]);
        if let Some(next) = &self.next {
            data.insert("next.crt", Zeroizing::new(next.certificate.clone()));
            data.insert("next.key", next.key.clone());
        }
        if let Some(previous) = &self.previous {
            data.insert("previous.crt", Zeroizing::new(previous.clone()));
        }
        if let Some(sessions) = &self.sessions {
            data.insert(SESSIONS, sessions.clone());
        }
        data
    }

    /// What the session keys of all Gateways are derived from; `None` until [`Self::step`] has made it.
    #[must_use]
    pub fn session_key(&self) -> Option<SessionKey> {
        self.sessions.as_ref().map(|secret| SessionKey::of_secret(secret.as_bytes()))
    }

    /// Whom proxies are to believe, as PEM.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.as_ref().map(|next| &next.certificate);
        let all = [Some(&self.current.certificate), next, self.previous.as_ref()];
        all.into_iter().flatten().map(String::as_str).collect()
    }

    /// What has to take its place by now; `None`: it may stay.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn step(&self, now: Timestamp) -> Result<Option<Self>, AuthorityFault> {
        let now_seconds = now.as_second();
        if self.sessions.is_none() {
            // Of a version that had none, or damaged.
            return Ok(Some(Self {
                sessions: Some(sessions()?),
                ..self.clone()
            }));
        }
        let (_, ends) = times(&self.current.certificate).ok_or(AuthorityFault::Unreadable("tls.crt"))?;
        if ends <= now_seconds {
            // Nobody has looked after it for a year: nothing that it signed is believed any more.
            return Ok(Some(Self {
                sessions: self.sessions.clone(),
                ..Self::new(now)?
            }));
        }
        if let Some(next) = &self.next {
            let (made, _) = times(&next.certificate).ok_or(AuthorityFault::Unreadable("next.crt"))?;
            return Ok((made + BACKDATE + SPREAD <= now_seconds).then(|| Self {
                current: next.clone(),
                next: None,
                previous: Some(self.current.certificate.clone()),
                sessions: self.sessions.clone(),
            }));
        }
        if ends - now_seconds <= SUCCESSION {
            return Ok(Some(Self {
                next: Some(authority(now)?),
                ..self.clone()
            }));
        }
        let is_over = |previous: &String| times(previous).is_none_or(|(_, ends)| ends <= now_seconds);
        Ok(self.previous.as_ref().is_some_and(is_over).then(|| Self {
            previous: None,
            ..self.clone()
        }))
    }

    /// A certificate for [`SERVER_NAME`].
    ///
    /// # Errors
    /// When the authority cannot sign.
    pub fn leaf(&self, now: Timestamp) -> Result<Leaf, AuthorityFault> {
        let issuer = Issuer::from_ca_cert_pem(&self.current.certificate, KeyPair::from_pem(&self.current.key)?)?;
        let mut parameters = CertificateParams::new([SERVER_NAME.to_owned()])?;
        parameters.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.use_authority_key_identifier_extension = true;
        span(&mut parameters, now, LEAF_LASTS);
        let key = KeyPair::generate()?;
        let leaf = parameters.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::from_pem_slice(Zeroizing::new(key.serialize_pem()).as_bytes());
        Ok(Leaf {
            chain: vec![leaf.der().clone()],
            key: key.map_err(|_| AuthorityFault::Unreadable("the key"))?,
            renew_at: Timestamp::from_second(now.as_second() + LEAF_LASTS / 3).unwrap_or(now),
        })
    }
}

/// 256 bits, as text.
fn sessions() -> Result<Zeroizing<String>, AuthorityFault> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| AuthorityFault::NoRandomness)?;
    Ok(Zeroizing::new(STANDARD.encode(*bytes)))
}

fn authority(now: Timestamp) -> Result<Pair, AuthorityFault> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "Sealway feed");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    span(&mut parameters, now, AUTHORITY_LASTS);
    let key = KeyPair::generate()?;
    Ok(Pair {
        certificate: parameters.self_signed(&key)?.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

fn span(parameters: &mut CertificateParams, now: Timestamp, lasts: i64) {
    let day = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds.unsigned_abs());
    parameters.not_before = day(now.as_second() - BACKDATE);
    parameters.not_after = day(now.as_second() + lasts);
}

/// From when and until when the first certificate is good, in seconds.
fn times(pem: &str) -> Option<(i64, i64)> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("time")
    }

    fn believes(bundle: &str, leaf: &Leaf, now: Timestamp) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("authority");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("verifier");
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_second().unsigned_abs()));
        let name = ServerName::try_from(SERVER_NAME).expect("name");
        verifier.verify_server_cert(&leaf.chain[0], &[], &name, &[], time).is_ok()
    }

    fn stored(authority: &Authority) -> Authority {
        let data = authority.data().into_iter().map(|(name, text)| (name.to_owned(), text));
        Authority::read(&data.collect()).expect("reads")
    }

    #[test]
    fn whoever_believes_yesterdays_bundle_believes_todays_certificate_through_a_whole_succession() {
        let mut authority = Authority::new(at(0)).expect("made");
        let (mut bundle, mut changes) = (authority.bundle(), 0);
        for hour in (0..2 * 365 * 24).step_by(12) {
            let now = at(hour * 3600);
            let leaf = authority.leaf(now).expect("signed");
            assert!(believes(&bundle, &leaf, now), "hour {hour}");
            // A proxy learns of it half a day later.
            bundle = authority.bundle();
            if let Some(next) = authority.step(now).expect("step") {
                authority = stored(&next);
                changes += 1;
            }
        }
        assert!(changes >= 4, "{changes} changes in two years");
    }

    #[test]
    fn what_the_secret_holds_is_what_is_read() {
        let authority = Authority::new(at(0)).expect("made");
        assert!(stored(&authority) == authority);
        assert_eq!(authority.step(at(0)).expect("step"), None);
        assert!(!format!("{authority:?}").contains("PRIVATE"));
    }

    #[test]
    fn one_that_has_ended_is_replaced() {
        let authority = Authority::new(at(0)).expect("made");
        let late = at(AUTHORITY_LASTS + 1);
        let next = authority.step(late).expect("step").expect("another");
        assert!(believes(&next.bundle(), &next.leaf(late).expect("leaf"), late));
    }

    #[test]
    fn session_keys_outlive_authorities_and_are_made_for_secrets_of_before() {
        let authority = Authority::new(at(0)).expect("made");
        let key = authority.session_key().expect("key");
        assert_ne!(Authority::new(at(0)).expect("made").session_key(), Some(key.clone()));
        let late = at(AUTHORITY_LASTS + 1);
        let next = authority.step(late).expect("step").expect("another");
        assert_eq!(stored(&next).session_key(), Some(key));
        let old = Authority {
            sessions: None,
            ..authority.clone()
        };
        let mended = stored(&old).step(at(0)).expect("step").expect("another");
        assert!(mended.session_key().is_some() && mended.bundle() == authority.bundle());
        assert_eq!(mended.step(at(0)).expect("step"), None);
    }

    #[test]
    fn a_damaged_secret_is_said_to_be_one() {
        let authority = Authority::new(at(0)).expect("made");
        let mut data: BTreeMap<String, Zeroizing<String>> = authority
            .data()
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text))
            .collect();
        data.insert("tls.key".to_owned(), Zeroizing::new("x".to_owned()));
        assert!(matches!(Authority::read(&data), Err(AuthorityFault::Unreadable(_))));
    }
}
