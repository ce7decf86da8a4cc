//! Values of flags that are more than a word, and the flags that `run` and `check` share for them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use sealway_api::ObjectKey;
use sealway_core::{BackendAddress, EndpointOverride, Placement, PortSelector};

/// Where listeners are bound, and where Services really are.
#[derive(Clone, Debug, Args)]
pub(crate) struct AddressFlags {
    /// Address for Gateways that name none, or for one Gateway (NS/GATEWAY=IP); repeatable [default: 127.0.0.1]
    #[arg(long, env = "SEALWAY_BIND", value_name = "[NS/GATEWAY=]IP", value_delimiter = ',', value_parser = bind)]
    pub(crate) bind: Vec<Bind>,
    /// Added to every listener's port: with 10000, listener 443 is served on 10443
    #[arg(long, env = "SEALWAY_PORT_OFFSET", value_name = "N", default_value_t = 0)]
    pub(crate) port_offset: u16,
    /// Where a Service's port (number or name) really is; repeats add endpoints
    #[arg(long, env = "SEALWAY_ENDPOINT", value_name = "NS/SERVICE:PORT=HOST:PORT", value_delimiter = ',', value_parser = endpoint)]
    pub(crate) endpoint: Vec<EndpointOverride>,
}

impl AddressFlags {
    /// Whether only the default applies to Gateways without addresses.
    pub(crate) fn is_default_loopback(&self) -> bool {
        self.bind.is_empty()
    }

    /// The same as the compiler has it.
    pub(crate) fn placement(&self) -> Placement {
        let mut binds = Vec::new();
        let mut gateway_binds: BTreeMap<ObjectKey, Vec<IpAddr>> = BTreeMap::new();
        for bind in &self.bind {
            match bind {
                Bind::Every(address) => binds.push(*address),
                Bind::Gateway(gateway, address) => gateway_binds.entry(gateway.clone()).or_default().push(*address),
            }
        }
        if binds.is_empty() {
            binds.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        Placement::Standalone {
            binds,
            gateway_binds,
            port_offset: self.port_offset,
        }
    }
}

/// `--bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bind {
    /// For every Gateway that names no address.
    Every(IpAddr),
    /// For one Gateway.
    Gateway(ObjectKey, IpAddr),
}

fn bind(text: &str) -> Result<Bind, String> {
    match text.split_once('=') {
        None => Ok(Bind::Every(ip(text)?)),
        Some((gateway, address)) => Ok(Bind::Gateway(key_of(gateway, "GATEWAY")?, ip(address)?)),
    }
}

fn ip(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| format!("`{text}` is not an IP address"))
}

fn key_of(text: &str, what: &str) -> Result<ObjectKey, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(ObjectKey::new(namespace, name))
        }
        _ => Err(format!("`{text}` is not of the form NS/{what}")),
    }
}

fn endpoint(text: &str) -> Result<EndpointOverride, String> {
    let form = || format!("`{text}` is not of the form NS/SERVICE:PORT=HOST:PORT");
    let (of, address) = text.split_once('=').ok_or_else(form)?;
    let (service, port) = of.rsplit_once(':').ok_or_else(form)?;
    if port.is_empty() {
        return Err(form());
    }
    Ok(EndpointOverride {
        service: key_of(service, "SERVICE")?,
        port: match port.parse() {
            Ok(0) => return Err("port 0 is no port".to_owned()),
            Ok(number) => PortSelector::Number(number),
            Err(_) => PortSelector::Name(port.to_owned()),
        },
        address: backend_address(address)?,
    })
}

fn backend_address(text: &str) -> Result<BackendAddress, String> {
    let form = || format!("`{text}` is not of the form HOST:PORT (an IPv6 address stands in brackets)");
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return if socket.port() == 0 {
            Err(form())
        } else {
            Ok(BackendAddress::Socket(socket))
        };
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
    let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(form)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let labels_fit = host.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    });
    if !labels_fit || host.len() > 253 {
        return Err(form());
    }
    Ok(BackendAddress::Name(host.to_ascii_lowercase(), port))
}

/// A NAMESPACE/NAME.
pub(super) fn object_key(text: &str) -> Result<ObjectKey, String> {
    key_of(text, "NAME")
}

/// A duration as `30s`, `500ms` or `1m30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| format!("`{text}` is not a duration such as 30s, 500ms or 1m30s"))?;
    parsed.try_into().map_err(|_| format!("`{text}` is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_takes_an_address_for_all_or_for_one_gateway() {
        assert_eq!(bind("0.0.0.0"), Ok(Bind::Every(IpAddr::from([0, 0, 0, 0]))));
        assert_eq!(bind("[::1]"), bind("::1"));
        let gateway = ObjectKey::new("infra", "edge");
        assert_eq!(
            bind("infra/edge=10.0.0.1"),
            Ok(Bind::Gateway(gateway, IpAddr::from([10, 0, 0, 1])))
        );
        for wrong in [
            "",
            "localhost",
            "edge=10.0.0.1",
            "infra/edge=",
            "a/b/c=10.0.0.1",
            "/edge=10.0.0.1",
        ] {
            assert!(bind(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn endpoint_names_a_service_port_by_number_or_name() {
        let by_number = endpoint("payment/pay:8443=127.0.0.1:9000").expect("parses");
        assert_eq!(by_number.port, PortSelector::Number(8443));
        assert_eq!(by_number.address, BackendAddress::Socket(([127, 0, 0, 1], 9000).into()));
        let by_name = endpoint("payment/pay:https=Pay.Example.COM.:9000").expect("parses");
        assert_eq!(by_name.port, PortSelector::Name("https".to_owned()));
        assert_eq!(by_name.address, BackendAddress::Name("pay.example.com".to_owned(), 9000));
        let six = endpoint("payment/pay:https=[::1]:9000").expect("parses");
        assert_eq!(six.address, BackendAddress::Socket("[::1]:9000".parse().expect("socket")));
    }

    #[test]
    fn endpoint_refuses_what_cannot_be_meant() {
        for wrong in [
            "",
            "pay:8443=127.0.0.1:9000",
            "payment/pay=127.0.0.1:9000",
            "payment/pay:=127.0.0.1:9000",
            "payment/pay:0=127.0.0.1:9000",
            "payment/pay:8443=127.0.0.1",
            "payment/pay:8443=127.0.0.1:0",
            "payment/pay:8443=::1:9000",
            "payment/pay:8443=a b:9000",
            "payment/pay:8443=:9000",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units_and_no_sign() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "10", "-1s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
