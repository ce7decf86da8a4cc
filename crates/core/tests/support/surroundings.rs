//! What a compilation depends on beside the resources: settings, and what has been observed.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sealway_api::ObjectKey;
use sealway_core::{
    BackendAddress, BindFailure, EndpointOverride, Observed, Placement, PortSelector, PortState, Ports, SessionKey, Settings,
    SocketKey, Transport,
};

use super::*;

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    let apart = of(Just((ObjectKey::new("infra", "west"), vec![IpAddr::from([127, 0, 0, 9])])));
    let standalone = (select(vec![0_u16, 10_000]), apart).prop_map(|(port_offset, apart)| Placement::Standalone {
        binds: vec![IpAddr::from([127, 0, 0, 1])],
        gateway_binds: apart.into_iter().collect(),
        port_offset,
    });
    let placement = prop_oneof![4 => standalone, 1 => Just(Placement::Cluster)];
    let endpoints = subsequence(
        vec![
            given(
                "apps",
                "app",
                PortSelector::Number(443),
                BackendAddress::Socket(socket("127.0.0.1:20443")),
            ),
            given(
                "apps",
                "db",
                PortSelector::Name("db".to_owned()),
                BackendAddress::Socket(socket("127.0.0.1:25432")),
            ),
            given(
                "back",
                "far",
                PortSelector::Number(5432),
                BackendAddress::Name("near.example.org".to_owned(), 5432),
            ),
        ],
        0..=3,
    );
    (placement, endpoints, any::<bool>()).prop_map(|(placement, endpoints, reserved)| Settings {
        placement,
        endpoints,
        reserved: reserved.then(|| socket("127.0.0.1:8443")).into_iter().collect(),
        ..Settings::default()
    })
}

fn given(namespace: &str, service: &str, port: PortSelector, address: BackendAddress) -> EndpointOverride {
    EndpointOverride {
        service: ObjectKey::new(namespace, service),
        port,
        address,
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("socket")
}

pub(super) fn observed() -> impl Strategy<Value = Observed> {
    let state = prop_oneof![
        4 => Just(PortState::Bound),
        1 => Just(PortState::Failed(BindFailure::InUse)),
        1 => Just(PortState::Failed(BindFailure::NoSuchAddress)),
    ];
    let sockets = vec(
        (select(vec!["127.0.0.1", "127.0.0.2", "::1", "::"]), select(&PORTS[..]), state),
        0..8,
    );
    let ports = of(sockets).prop_map(|sockets| match sockets {
        None => Ports::Assumed,
        Some(sockets) => Ports::Reported(
            sockets
                .into_iter()
                .map(|(address, port, state)| {
                    let key = SocketKey {
                        transport: Transport::Tcp,
                        address: SocketAddr::new(address.parse().expect("address"), port),
                    };
                    (key, state)
                })
                .collect(),
        ),
    });
    let names = subsequence(
        vec![
            ("far.example.org".to_owned(), vec![IpAddr::from([192, 0, 2, 2])]),
            ("near.example.org".to_owned(), Vec::new()),
        ],
        0..=2,
    );
    (ports, names, secured::lists()).prop_map(|(ports, names, revocation_lists)| Observed {
        ports,
        names: names.into_iter().collect(),
        revocation_lists,
        session_key: Some(SessionKey::of_secret(b"secret")),
        ..Observed::assumed("2030-01-01T00:00:00Z".parse().expect("time"))
    })
}
