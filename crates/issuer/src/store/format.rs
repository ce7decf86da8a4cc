//! The bytes of the files, and what they say. Pure.
//!
//! One JSON object a file, beginning with its format's version. Keys (Secrets' data, a CA's key) are appended as text that is already
//! JSON, because they live in types that cannot be serialised.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealway_api::{Kind, ObjectKey, ObjectRef, Secret, SecretBytes, Timestamp};
use serde::{Deserialize, Serialize};

use super::fault::Unreadable;
use super::place::Place;
use crate::issued::{Attempt, Authority, Change, Issuance, IssuedSecret};
use crate::request::Request;
use crate::secret;

/// The format that is written, and the only one that is read.
pub(super) const VERSION: u64 = 1;

/// The file of a Secret.
pub(super) fn secret(kept: &IssuedSecret) -> SecretBytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Head<'kept> {
        version: u64,
        certificate: String,
        revision: u64,
        issued_at: Timestamp,
        request: &'kept Request,
    }
    let head = Head {
        version: VERSION,
        certificate: kept.certificate.to_string(),
        revision: kept.revision,
        issued_at: kept.issued_at,
        request: &kept.request,
    };
    append(&head, "secret", Some(secret::json(&kept.secret).expose()))
}

/// The file of a Certificate's memory.
pub(super) fn attempt(key: &ObjectKey, attempt: &Attempt) -> SecretBytes {
    #[derive(Serialize)]
    struct Head<'kept> {
        version: u64,
        certificate: String,
        attempt: &'kept Attempt,
    }
    let head = Head {
        version: VERSION,
        certificate: key.to_string(),
        attempt,
    };
    append(&head, "", None)
}

/// The file of a CA.
pub(super) fn authority(kept: &Authority) -> SecretBytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Head<'kept> {
        version: u64,
        chain: &'kept str,
        secret: String,
        issuers: Vec<WrittenRef>,
        published: Timestamp,
        issuances: &'kept [Issuance],
        revocation_list: Option<String>,
        list_number: u64,
    }
    let head = Head {
        version: VERSION,
        chain: &kept.chain,
        secret: kept.secret.to_string(),
        issuers: kept.issuers.iter().map(WrittenRef::from).collect(),
        published: kept.published,
        issuances: &kept.issuances,
        revocation_list: kept.revocation_list.as_ref().map(|list| STANDARD.encode(list)),
        list_number: kept.list_number,
    };
    let key = kept.key.as_ref().map(|key| format!("\"{}\"", STANDARD.encode(key.expose())));
    append(&head, "key", key.as_ref().map(String::as_bytes))
}

/// What a file says that is about `place`.
pub(super) fn read(place: &Place, bytes: &[u8]) -> Result<Change, Unreadable> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    let Head { version } = parse(bytes)?;
    if version != VERSION {
        return Err(Unreadable::Newer { version });
    }
    match place {
        Place::Secret(key) => read_secret(key, bytes),
        Place::Attempt(key) => read_attempt(key, bytes),
        Place::Authority(id) => Ok(Change::Authority(id.clone(), Arc::new(read_authority(bytes)?))),
    }
}

fn read_secret(key: &ObjectKey, bytes: &[u8]) -> Result<Change, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Written {
        certificate: WrittenKey,
        revision: u64,
        issued_at: Timestamp,
        request: Request,
        secret: Secret,
    }
    let written: Written = parse(bytes)?;
    is_at(key, &written.secret.metadata.key())?;
    let kept = IssuedSecret {
        certificate: written.certificate.0,
        revision: written.revision,
        issued_at: written.issued_at,
        request: written.request,
        secret: Arc::new(written.secret),
    };
    Ok(Change::Secret(key.clone(), Arc::new(kept)))
}

fn read_attempt(key: &ObjectKey, bytes: &[u8]) -> Result<Change, Unreadable> {
    #[derive(Deserialize)]
    struct Written {
        certificate: WrittenKey,
        attempt: Attempt,
    }
    let written: Written = parse(bytes)?;
    is_at(key, &written.certificate.0)?;
    Ok(Change::Attempt(key.clone(), Arc::new(written.attempt)))
}

fn read_authority(bytes: &[u8]) -> Result<Authority, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Written {
        chain: String,
        secret: WrittenKey,
        issuers: Vec<WrittenRef>,
        published: Timestamp,
        issuances: Vec<Issuance>,
        #[serde(default)]
        revocation_list: Option<WrittenBytes>,
        list_number: u64,
        #[serde(default)]
        key: Option<WrittenBytes>,
    }
    let written: Written = parse(bytes)?;
    Ok(Authority {
        chain: written.chain,
        key: written.key.map(|key| key.0),
        secret: written.secret.0,
        issuers: written.issuers.into_iter().map(ObjectRef::from).collect(),
        published: written.published,
        issuances: written.issuances,
        revocation_list: written.revocation_list.map(|list| list.0.expose().to_vec()),
        list_number: written.list_number,
    })
}

fn is_at(expected: &ObjectKey, found: &ObjectKey) -> Result<(), Unreadable> {
    if expected == found {
        Ok(())
    } else {
        Err(Unreadable::Misplaced {
            object: found.to_string(),
        })
    }
}

/// Where parsing failed, never what stood there.
fn parse<'bytes, T: Deserialize<'bytes>>(bytes: &'bytes [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(bytes).map_err(|error| Unreadable::Malformed {
        line: error.line(),
        column: error.column(),
    })
}

/// `head` with one more field, whose value is JSON already.
fn append(head: &impl Serialize, name: &str, value: Option<&[u8]>) -> SecretBytes {
    // These are structs of text and numbers: there is nothing in them that JSON cannot say.
    let mut bytes = serde_json::to_vec(head).unwrap_or_default();
    if let Some(value) = value {
        bytes.pop();
        bytes.extend_from_slice(b",\"");
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b"\":");
        bytes.extend_from_slice(value);
        bytes.push(b'}');
    }
    bytes.push(b'\n');
    SecretBytes::new(bytes)
}

/// `namespace/name`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct WrittenKey(ObjectKey);

impl TryFrom<String> for WrittenKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (namespace, name) = text.split_once('/').ok_or("not `namespace/name`")?;
        Ok(Self(ObjectKey::new(namespace, name)))
    }
}

/// Base64.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct WrittenBytes(SecretBytes);

impl TryFrom<String> for WrittenBytes {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD
            .decode(text)
            .map(|bytes| Self(SecretBytes::new(bytes)))
            .map_err(|_| "not base64")
    }
}

#[derive(Serialize, Deserialize)]
struct WrittenRef {
    kind: Kind,
    #[serde(default)]
    namespace: String,
    name: String,
}

impl From<&ObjectRef> for WrittenRef {
    fn from(reference: &ObjectRef) -> Self {
        Self {
            kind: reference.kind.clone(),
            namespace: reference.key.namespace.clone(),
            name: reference.key.name.clone(),
        }
    }
}

impl From<WrittenRef> for ObjectRef {
    fn from(written: WrittenRef) -> Self {
        Self::new(written.kind, written.namespace, written.name)
    }
}
