//! Values of our annotations.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;

use crate::problem::Cause;
use crate::snapshot::{ClientCertificateHeaders, ProxyProtocol};

/// Service: which PROXY protocol header its endpoints expect.
pub(super) const PROXY_PROTOCOL: &str = "sealway.dev/proxy-protocol";
/// Gateway: who is trusted to send a PROXY protocol header.
pub(super) const ACCEPT_PROXY_PROTOCOL: &str = "sealway.dev/accept-proxy-protocol";
/// TLSRoute: how long a connection to an endpoint may take.
pub(super) const CONNECT_TIMEOUT: &str = "sealway.dev/connect-timeout";
/// TLSRoute: how long a connection may be silent.
pub(super) const IDLE_TIMEOUT: &str = "sealway.dev/idle-timeout";

/// Gateway: which headers tell backends about verified client certificates.
pub(super) const CLIENT_CERTIFICATE_HEADERS: &str = "sealway.dev/client-certificate-headers";

/// Long enough for one lost SYN and its repetition after 1 s and 3 s.
pub(super) const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An hour: databases and consoles are silent for long, and TCP keepalive finds dead peers sooner.
pub(super) const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// A minute: a UDP client says no goodbye, and its flow holds a socket for as long. RFC 4787 section 4.3 asks two minutes of an address
/// translator that knows nothing of what it carries; here a longer time can be asked for.
pub(super) const DEFAULT_FLOW_TIMEOUT: Duration = Duration::from_secs(60);

type Annotations = BTreeMap<String, String>;

/// A duration as the Gateway API writes it (GEP-2257: `1h30m`, `500ms`); absent gives `None`.
pub(super) fn duration(annotations: &Annotations, key: &str) -> Result<Option<Duration>, Cause> {
    parsed(annotations, key, "a duration such as `30s` or `1m30s`", parse_duration)
}

/// Version of the PROXY protocol.
pub(super) fn proxy_protocol(annotations: &Annotations) -> Result<Option<ProxyProtocol>, Cause> {
    parsed(annotations, PROXY_PROTOCOL, "`v1` or `v2`", |text| match text {
        "v1" => Some(ProxyProtocol::V1),
        "v2" => Some(ProxyProtocol::V2),
        _ => None,
    })
}

/// CIDRs by commas; a bare address is a network of one.
pub(super) fn trusted_proxies(annotations: &Annotations) -> Result<Option<Vec<IpNet>>, Cause> {
    parsed(annotations, ACCEPT_PROXY_PROTOCOL, "a list of CIDRs by commas", |text| {
        text.split(',')
            .map(|part| {
                let part = part.trim();
                part.parse()
                    .ok()
                    .or_else(|| part.parse::<std::net::IpAddr>().ok().map(IpNet::from))
            })
            .collect()
    })
}

/// `xfcc`, `rfc9440`, both by comma, or `none`.
pub(super) fn client_certificate_headers(annotations: &Annotations) -> Result<Option<ClientCertificateHeaders>, Cause> {
    let expected = "`xfcc`, `rfc9440`, both by comma, or `none`";
    parsed(annotations, CLIENT_CERTIFICATE_HEADERS, expected, |text| {
        let mut headers = ClientCertificateHeaders {
            xfcc: false,
            rfc9440: false,
        };
        if text == "none" {
            return Some(headers);
        }
        for part in text.split(',') {
            match part.trim() {
                "xfcc" => headers.xfcc = true,
                "rfc9440" => headers.rfc9440 = true,
                _ => return None,
            }
        }
        Some(headers)
    })
}

fn parsed<T>(
    annotations: &Annotations,
    key: &str,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Cause> {
    let Some(value) = annotations.get(key) else { return Ok(None) };
    match parse(value.trim()) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(Cause::AnnotationInvalid {
            key: key.to_owned(),
            value: value.clone(),
            expected,
        }),
    }
}

/// GEP-2257: one to four components of one to five digits and a unit `h`, `m`, `s` or `ms`, in any order; repeated units add up.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0_u64;
    let mut components = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=5).contains(&digits) || components == 4 {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let milliseconds = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total += number.parse::<u64>().ok()? * milliseconds;
        components += 1;
        rest = tail;
    }
    (components > 0).then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_gep_2257() {
        assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration("10s500ms"), Some(Duration::from_millis(10_500)));
        assert_eq!(parse_duration("0s"), Some(Duration::ZERO));
        assert_eq!(parse_duration("1h2h20m10m"), Some(Duration::from_secs(3 * 3600 + 1800)));
        assert_eq!(parse_duration("30m1h"), Some(Duration::from_secs(5400)));
        for wrong in ["", "0", "10", "1.5h", "1s1s1s1s1s", "100000s", "-1s", "1d", "1 s", "h"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn trusted_proxies_take_networks_and_single_addresses() {
        let annotations = |text: &str| Annotations::from([(ACCEPT_PROXY_PROTOCOL.to_owned(), text.to_owned())]);
        let networks = trusted_proxies(&annotations("10.0.0.0/8, 192.0.2.1,fd00::/8"))
            .expect("valid")
            .expect("present");
        assert_eq!(networks.len(), 3);
        assert!(matches!(
            trusted_proxies(&annotations("10.0.0.0/8,")),
            Err(Cause::AnnotationInvalid { .. })
        ));
    }
}
