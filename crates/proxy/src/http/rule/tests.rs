use std::time::Duration;

use sealway_api::{Kind, ObjectKey, ObjectRef};
use sealway_core::{BackendProtocol, Filters, Mirror, RuleKind, UpstreamTls, WeightedBackend};

use super::*;
use crate::{Config, Metrics};

fn mirroring(backend: &Arc<Backend>) -> Arc<HttpRule> {
    let mirror = Mirror {
        backend: WeightedBackend {
            name: "shop/copy:80".into(),
            weight: 1,
            target: Target::Backend(Arc::clone(backend)),
        },
        numerator: 1,
        denominator: 1,
    };
    Arc::new(HttpRule {
        route: ObjectRef::new(Kind::HttpRoute, "shop", "web"),
        position: 0,
        name: None,
        kind: RuleKind::Http,
        filters: Filters {
            mirrors: vec![Arc::new(mirror)],
            ..Filters::default()
        },
        backends: Vec::new(),
        fault: None,
        request_timeout: None,
        backend_timeout: None,
        connect_timeout: Duration::from_secs(1),
        retry: None,
    })
}

#[test]
fn way_to_a_mirror_is_kept_between_requests_and_goes_with_the_rule() {
    let shared = Shared::new(Config::default(), Metrics::default());
    let backend = Arc::new(Backend {
        service: ObjectKey::new("shop", "copy"),
        port: 80,
        endpoints: Vec::new(),
        proxy_protocol: None,
        protocol: BackendProtocol::Unstated,
        tls: UpstreamTls::Plain,
        retry_budget: None,
    });
    let state = shared.http.rule_with(None, &mirroring(&backend));
    let first = Arc::downgrade(&state.other_channel(&shared, &backend, Speak::Either));
    shared.http.sweep(&shared.config.http);
    let second = state.other_channel(&shared, &backend, Speak::Either);
    assert!(first.upgrade().is_some_and(|first| Arc::ptr_eq(&first, &second)));

    drop((state, second));
    shared.http.follow(&Used::default());
    shared.http.sweep(&shared.config.http);
    assert!(first.upgrade().is_none());
}
