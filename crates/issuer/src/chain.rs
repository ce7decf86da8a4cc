//! Chains of certificates: read from PEM, put in order, and split into what goes into `tls.crt` and what into `ca.crt`.
//!
//! Input: PEM, or DER in any order. Output: PEM in order. Invariant: the outcome is that of cert-manager's `ParseSingleCertificateChain`.

use rustls_pki_types::pem::SectionKind;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::pem;
use crate::x509::is_issued_by;

/// cert-manager's cap for a chain in PEM.
const LARGEST_CHAIN: usize = 95_000;
/// cert-manager's cap for a bundle in PEM.
const LARGEST_BUNDLE: usize = 330_000;
/// cert-manager's cap for certificates in a chain.
const MOST_CERTIFICATES: usize = 1000;

/// `tls.crt` and `ca.crt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainBundle {
    /// From the leaf to the highest certificate that is not self-signed: PEM.
    pub chain_pem: String,
    /// The highest certificate: PEM. `None` when there is only a leaf whose issuer is not at hand.
    pub ca_pem: Option<String>,
}

/// Why there is no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// There is not one certificate.
    #[error("error decoding certificate PEM block: no valid certificates found")]
    Empty,
    /// More than cert-manager reads.
    #[error("provided PEM data was larger than the maximum {0}B")]
    TooLarge(usize),
    /// A PEM block that is cut short, or not base64.
    #[error("error decoding certificate PEM block: the PEM is broken")]
    Pem,
    /// A block that is no certificate.
    #[error("error parsing X.509 certificate: a block is no DER of a certificate")]
    Malformed,
    /// More certificates than cert-manager looks at.
    #[error("certificate chain is too long, must be less than 1000 certificates")]
    TooMany,
    /// They do not make one chain.
    #[error("certificate chain is malformed or broken")]
    Broken,
}

struct Link<'a> {
    der: &'a [u8],
    parsed: X509Certificate<'a>,
}

impl Link<'_> {
    fn is_below(&self, parent: &Self) -> bool {
        self.parsed.issuer().as_raw() == parent.parsed.subject().as_raw() && is_issued_by(self.der, &parent.parsed)
    }

    fn is_self_signed(&self) -> bool {
        is_issued_by(self.der, &self.parsed)
    }

    fn pem(&self) -> String {
        pem::write("CERTIFICATE", self.der)
    }
}

/// Makes one chain of certificates (DER) that come in any order, perhaps more than once.
pub fn bundle(mut certificates: Vec<Vec<u8>>) -> Result<ChainBundle, ChainFault> {
    certificates.sort();
    certificates.dedup();
    if certificates.len() > MOST_CERTIFICATES {
        return Err(ChainFault::TooMany);
    }
    let mut links = Vec::with_capacity(certificates.len());
    for der in &certificates {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| ChainFault::Malformed)?;
        links.push(Link { der, parsed });
    }
    let chain = one_chain(&links)?;
    let (root, below) = chain.split_last().ok_or(ChainFault::Empty)?;
    let mut chain_pem: String = below
        .iter()
        .filter(|link| !link.is_self_signed())
        .map(|link| link.pem())
        .collect();
    if below.is_empty() {
        return Ok(ChainBundle {
            chain_pem: root.pem(),
            ca_pem: root.is_self_signed().then(|| root.pem()),
        });
    }
    if !root.is_self_signed() {
        chain_pem.push_str(&root.pem());
    }
    Ok(ChainBundle {
        chain_pem,
        ca_pem: Some(root.pem()),
    })
}

/// Joins chains end to end until one is left: leaf first.
fn one_chain<'a, 'b>(links: &'b [Link<'a>]) -> Result<Vec<&'b Link<'a>>, ChainFault> {
    let mut chains: Vec<Vec<&Link<'_>>> = links.iter().map(|link| vec![link]).collect();
    let mut last = chains.pop().ok_or(ChainFault::Empty)?;
    while !chains.is_empty() {
        let is_below = |lower: &[&Link<'_>], upper: &[&Link<'_>]| match (lower.last(), upper.first()) {
            (Some(root), Some(leaf)) => root.is_below(leaf),
            _ => false,
        };
        let other = chains
            .iter_mut()
            .find(|other| is_below(other, &last) || is_below(&last, other))
            .ok_or(ChainFault::Broken)?;
        if is_below(other, &last) {
            other.append(&mut last);
        } else {
            last.append(other);
            *other = last;
        }
        last = chains.pop().ok_or(ChainFault::Empty)?;
    }
    Ok(last)
}

/// What the selfSigned issuer makes of its certificate (DER): both are the certificate.
#[must_use]
pub fn self_signed(certificate: &[u8]) -> ChainBundle {
    let text = pem::write("CERTIFICATE", certificate);
    ChainBundle {
        chain_pem: text.clone(),
        ca_pem: Some(text),
    }
}

/// The certificates (DER) of a chain, as it stands in a CA's Secret.
pub fn read_chain(pem: &[u8]) -> Result<Vec<Vec<u8>>, ChainFault> {
    read(pem, LARGEST_CHAIN)
}

/// A CA's chain: that of its Secret's `tls.crt`, and the first certificate of its `ca.crt`, when it has one. To be handed to
/// [`bundle`] together with what the CA has signed; the first signs.
pub fn read_authority(tls_crt: &[u8], ca_crt: Option<&[u8]>) -> Result<Vec<Vec<u8>>, ChainFault> {
    let mut chain = read_chain(tls_crt)?;
    if let Some(above) = ca_crt.filter(|text| !text.is_empty()) {
        chain.extend(read(above, LARGEST_BUNDLE)?.into_iter().take(1));
    }
    Ok(chain)
}

fn read(text: &[u8], largest: usize) -> Result<Vec<Vec<u8>>, ChainFault> {
    if text.len() > largest {
        return Err(ChainFault::TooLarge(largest));
    }
    let mut certificates = Vec::new();
    for block in pem::blocks(text) {
        let (kind, der) = block.map_err(|_| ChainFault::Pem)?;
        let is_certificate =
            kind == SectionKind::Certificate && X509Certificate::from_der(&der).is_ok_and(|(rest, _)| rest.is_empty());
        if !is_certificate {
            return Err(ChainFault::Malformed);
        }
        certificates.push(der);
    }
    if certificates.is_empty() {
        Err(ChainFault::Empty)
    } else {
        Ok(certificates)
    }
}

#[cfg(test)]
mod tests;
