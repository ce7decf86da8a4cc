//! Why a Certificate cannot be asked for: cert-manager's words where it has some, the field to blame, and what mends it.

/// Why a Certificate cannot be asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// Nothing that it could be for.
    #[error(
        "at least one of commonName (from the commonName field or from a literalSubject), dnsNames, emailSANs, ipAddresses, otherNames, or uriSANs must be set"
    )]
    NoName,
    /// The literal subject cannot be read.
    #[error("{0}")]
    LiteralSubject(String),
    /// It has an attribute that is no known name and no object identifier; this is its value.
    #[error("Literal subject contains unrecognized key with value [{0}]")]
    AttributeKind(String),
    /// It has escapes that make something else than UTF-8.
    #[error("asn1: string not valid UTF-8")]
    SubjectText,
    /// It is longer than any certificate.
    #[error("the subject is too long")]
    TooLarge,
    /// No IP address.
    #[error("ParseAddr({0:?}): unable to parse IP")]
    IpAddress(String),
    /// No object identifier.
    #[error("{0:?} is no object identifier")]
    OtherNameKind(String),
    /// An other name of no length.
    #[error("UniversalValue should have exactly one field set")]
    OtherNameEmpty,
    /// A name, address or constraint that is not ASCII.
    #[error("x509: {0:?} cannot be encoded as an IA5String")]
    NotAscii(String),
    /// No URI that a certificate could have.
    #[error("x509: cannot parse URI {0:?}")]
    Uri(String),
    /// Usages that nobody knows.
    #[error("failed to build key usages: unknown key usages: [{}]", .0.join(" "))]
    Usages(Vec<String>),
    /// No key algorithm.
    #[error("unsupported private key algorithm specified: {0}")]
    KeyAlgorithm(String),
    /// RSA: below 2048 or above 8192.
    #[error("invalid RSA key size specified: {0}. It must be between 2048 and 8192")]
    RsaSize(i32),
    /// ECDSA: no curve.
    #[error("unsupported ecdsa key size specified: {0}")]
    EcdsaSize(i32),
    /// No key encoding.
    #[error("error encoding private key: unknown key encoding: {0}")]
    KeyEncoding(String),
    /// No signature algorithm.
    #[error("unsupported signature algorithm: {0}")]
    SignatureAlgorithm(String),
    /// One for another kind of key.
    #[error("x509: requested SignatureAlgorithm does not match private key type")]
    SignatureMismatch,
    /// No duration.
    #[error("time: invalid duration {0:?}")]
    Duration(String),
    /// No CIDR.
    #[error("invalid CIDR address: {0}")]
    IpRange(String),
    /// No domain or mailbox; the first says of which type of name.
    #[error("x509: failed to parse {0} constraint {1:?}")]
    Constraint(&'static str, String),
}

impl RequestFault {
    /// The field to blame.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::NoName => "spec",
            Self::LiteralSubject(_) | Self::AttributeKind(_) | Self::SubjectText => "spec.literalSubject",
            Self::TooLarge => "spec.subject",
            Self::IpAddress(_) => "spec.ipAddresses",
            Self::OtherNameKind(_) | Self::OtherNameEmpty => "spec.otherNames",
            Self::NotAscii(_) => "spec",
            Self::Uri(_) => "spec.uris",
            Self::Usages(_) => "spec.usages",
            Self::KeyAlgorithm(_) => "spec.privateKey.algorithm",
            Self::RsaSize(_) | Self::EcdsaSize(_) => "spec.privateKey.size",
            Self::KeyEncoding(_) => "spec.privateKey.encoding",
            Self::SignatureAlgorithm(_) | Self::SignatureMismatch => "spec.signatureAlgorithm",
            Self::Duration(_) => "spec.duration",
            Self::IpRange(_) | Self::Constraint(..) => "spec.nameConstraints",
        }
    }

    /// What mends it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoName => "say what the certificate is for, for example in dnsNames",
            Self::LiteralSubject(_) => {
                "write it as \"CN=name,O=organization\"; a backslash goes before , + \" \\ < > ; in values"
            }
            Self::AttributeKind(_) => {
                "known are C, O, OU, CN, SERIALNUMBER, L, ST, STREET, DC, UID in capitals, and dotted object identifiers"
            }
            Self::SubjectText => "escapes such as \\C3\\A9 must come to UTF-8 together",
            Self::TooLarge => "shorten it",
            Self::IpAddress(_) => "write 192.0.2.1 or 2001:db8::1, without port, prefix length or zone",
            Self::OtherNameKind(_) => "write numbers with dots between, as 1.3.6.1.4.1.311.20.2.3",
            Self::OtherNameEmpty => "give utf8Value, or remove the entry",
            Self::NotAscii(_) => "write the name in its ASCII form, as xn--bcher-kva.example",
            Self::Uri(_) => "write it with scheme and host, as spiffe://example.org/service",
            Self::Usages(_) => "cert-manager's names have spaces, as in \"digital signature\" and \"server auth\"",
            Self::KeyAlgorithm(_) => "RSA, ECDSA or Ed25519",
            Self::RsaSize(_) => "2048, 3072, 4096 or 8192",
            Self::EcdsaSize(_) => "256, 384 or 521",
            Self::KeyEncoding(_) => "PKCS1 or PKCS8",
            Self::SignatureAlgorithm(_) => "leave it out: the key says which is used",
            Self::SignatureMismatch => "leave it out, or choose one for the algorithm of the key",
            Self::Duration(_) => "write it as Go does, as 2160h or 1h30m; there are no days",
            Self::IpRange(_) => "write 192.0.2.0/24 or 2001:db8::/32",
            Self::Constraint(..) => "write a domain without a final dot, or for email a mailbox",
        }
    }
}
