//! Which objects each Gateway needs in the cluster.
//!
//! Input: Gateways with their classes, what is published of them, and what they needed before. Output: [`Needed`], by Gateway. Pure.
//! Invariant: a Gateway that still exists loses what it has had only to another controller: its addresses may stand in somebody's DNS, and
//! do not come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use sealway_api::{Kind, ObjectKey, ObjectRef, Resources};
use sealway_core::Snapshot;
use sealway_provider::kube::Needed;
use sealway_provider::provision::{Installation, provision};

use super::fleets::{self, Fleets, Standing};

/// See the module.
pub(crate) fn needed(
    before: &BTreeMap<ObjectKey, Needed>,
    (resources, controller): (&Resources, &str),
    (fleets, published): (&Fleets, &BTreeMap<ObjectRef, Arc<Snapshot>>),
    installation: &Installation,
) -> BTreeMap<ObjectKey, Needed> {
    let mut needed = BTreeMap::new();
    for (key, gateway) in &resources.gateways {
        let Some(uid) = gateway.metadata.uid.clone() else { continue };
        let snapshot = published.get(&ObjectRef::of(Kind::Gateway, key));
        let snapshot = snapshot.filter(|snapshot| !snapshot.ports.is_empty());
        let had = before.get(key).filter(|before| before.uid == uid);
        let standing = fleets::standing(resources, gateway, controller);
        match (standing, snapshot, fleets.parameters.get(key)) {
            (Standing::Others, ..) => {
                let over = had.map(|had| Needed {
                    objects: Vec::new(),
                    ..had.clone()
                });
                needed.extend(over.map(|over| (key.clone(), over)));
            }
            (Standing::Ours(_), Some(snapshot), Some(parameters)) => {
                let ports = snapshot.ports.keys().map(|port| (port.transport, port.port)).collect();
                let objects = provision(gateway, parameters, &ports, installation);
                let class = gateway.spec.gateway_class_name.clone();
                needed.insert(key.clone(), Needed { uid, class, objects });
            }
            // It cannot be accepted, or none of its listeners, or its class is not there: what it has had goes on.
            (Standing::Ours(_) | Standing::Unknown, ..) => {
                needed.extend(had.map(|had| (key.clone(), had.clone())));
            }
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use sealway_api::{Resource, Timestamp};
    use sealway_core::{Compiler, Observed, Settings};
    use sealway_feed::Proxies;
    use sealway_provider::kube::AppliedByGateway;
    use serde_json::{Value, json};

    use super::super::fleets::Seen;
    use super::*;

    const OURS: &str = "sealway.dev/gateway-controller";

    fn gateway(uid: &str, listener: &Value) -> Value {
        json!({"kind": "Gateway", "metadata": {"name": "edge", "namespace": "infra", "uid": uid},
            "spec": {"gatewayClassName": "public", "listeners": [listener]}})
    }

    fn class(controller: &str) -> Value {
        json!({"kind": "GatewayClass", "metadata": {"name": "public"}, "spec": {"controllerName": controller}})
    }

    fn after(before: &BTreeMap<ObjectKey, Needed>, objects: &[Value]) -> BTreeMap<ObjectKey, Needed> {
        let mut resources = Resources::default();
        for object in objects {
            let kind = Kind::from(object["kind"].as_str().expect("a kind"));
            let resource = Resource::read(&kind, object.clone()).expect("known");
            resources.insert(resource.expect("reads"));
        }
        let now = Timestamp::UNIX_EPOCH;
        let compiled = Compiler::new(Settings::default()).compile(&resources, &Observed::assumed(now));
        let seen = Seen {
            applied: &AppliedByGateway::new(),
            proxies: &Proxies::new(),
            now,
        };
        let fleets = fleets::observe(&resources, OURS, seen);
        let installation = Installation {
            image: "sealway".to_owned(),
            version: "0".to_owned(),
            feed: Vec::new(),
            feed_ca: String::new(),
            rejections: "alert".to_owned(),
        };
        needed(before, (&resources, OURS), (&fleets, &compiled.snapshots), &installation)
    }

    #[test]
    fn a_gateway_keeps_what_it_has_had_until_it_is_gone_or_anothers() {
        let http = json!({"name": "http", "port": 80, "protocol": "HTTP"});
        let first = after(&BTreeMap::new(), &[class(OURS), gateway("u", &http)]);
        let kinds = first
            .values()
            .flat_map(|needed| &needed.objects)
            .map(|object| &object["kind"]);
        assert_eq!(kinds.filter(|kind| *kind == "Service").count(), 1);

        let refused = json!({"name": "https", "port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "not-there"}],
            "options": {"sealway.dev/minimum-version": "9"}}});
        assert_eq!(after(&first, &[class(OURS), gateway("u", &refused)]), first, "no listener");
        assert_eq!(after(&first, &[gateway("u", &http)]), first, "no class");
        let none = BTreeMap::new();
        let anothers = after(&first, &[class("example.com/other"), gateway("u", &http)]);
        let left: Vec<_> = anothers
            .values()
            .map(|needed| (&*needed.class, needed.objects.len()))
            .collect();
        assert_eq!(left, [("public", 0)], "the other controller takes it over");
        assert_eq!(after(&anothers, &[class(OURS), gateway("u", &http)]), first, "it comes back");
        assert_eq!(after(&first, &[class(OURS)]), none, "no Gateway");
        assert_eq!(
            after(&first, &[class(OURS), gateway("new", &refused)]),
            none,
            "another Gateway"
        );
        assert_eq!(after(&none, &[class(OURS), gateway("u", &refused)]), none, "it never had any");
    }
}
