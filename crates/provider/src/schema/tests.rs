use sealway_api::{Kind, Resource};
use sealway_core::Cause;
use serde_json::{Value, json};

use super::structure::{Format, Schema};
use super::validate::{Finding, validate};
use super::{EMBEDDED, KUBERNETES, KindSchema, defaults, meaning};

/// Every kind that is embedded.
pub(super) fn every_kind() -> impl Iterator<Item = &'static KindSchema> {
    let embedded = EMBEDDED
        .iter()
        .map(|embedded| embedded.schema.as_ref().unwrap_or_else(|| panic!("{}", embedded.kind)));
    embedded.chain(KUBERNETES.as_ref().expect("kubernetes.json").kinds.iter())
}

/// Calls `visit` with kind, version and path of every schema in every version of every kind.
pub(super) fn every_schema(mut visit: impl FnMut(&str, &str, &str, &'static Schema)) {
    for kind in every_kind() {
        for version in &kind.versions {
            defaults::walk(&version.schema, "", &mut |path, schema| {
                visit(kind.kind.as_str(), &version.name, path, schema)
            });
        }
    }
}

fn admit(kind: &str, version: &str, object: &mut Value) -> Vec<Finding> {
    let kind = every_kind().find(|schema| schema.kind.as_str() == kind).expect(kind);
    kind.admit(kind.version(version).expect(version), object)
}

/// Path and words of each finding that refuses `object`.
fn refusals(kind: &str, version: &str, mut object: Value) -> Vec<String> {
    let findings = admit(kind, version, &mut object);
    let refusing = findings.iter().filter(|finding| finding.refuses());
    refusing
        .map(|finding| format!("{}: {}", finding.path, finding.cause.message()))
        .collect()
}

fn schema(text: Value) -> Schema {
    serde_json::from_value(text).unwrap()
}

#[test]
fn every_kind_and_version_of_the_contract_is_embedded() {
    let served: Vec<String> = every_kind()
        .map(|schema| {
            assert_eq!(
                KindSchema::find(&schema.group, schema.kind.as_str()).map(|found| &found.kind),
                Some(&schema.kind)
            );
            assert!(!matches!(schema.kind, Kind::Other(_)), "{}", schema.kind);
            assert_eq!(
                (schema.kind.group(), schema.kind.is_cluster_scoped()),
                (schema.group.as_str(), schema.cluster_scoped)
            );
            let versions = schema.versions.iter().map(|version| match schema.successor(version) {
                Some(successor) => format!("{}→{successor}", version.name),
                None => version.name.clone(),
            });
            format!("{} {}", schema.kind, versions.collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(
        served,
        [
            "Certificate v1",
            "ClusterIssuer v1",
            "Issuer v1",
            "BackendTLSPolicy v1 v1alpha3→v1",
            "Gateway v1 v1beta1",
            "GatewayClass v1 v1beta1",
            "GRPCRoute v1",
            "HTTPRoute v1 v1beta1",
            "ListenerSet v1",
            "ReferenceGrant v1 v1beta1",
            "TCPRoute v1 v1alpha2→v1",
            "TLSRoute v1 v1alpha2→v1 v1alpha3→v1",
            "UDPRoute v1 v1alpha2→v1",
            "XBackend v1alpha1",
            "XBackendTrafficPolicy v1alpha1",
            "XTelemetryPolicy v1alpha1",
            "Bundle v1alpha1",
            "Deployment v1",
            "ConfigMap v1",
            "ClusterTrustBundle v1 v1beta1",
            "EndpointSlice v1",
            "Namespace v1",
            "Secret v1",
            "Service v1",
        ]
    );
}

#[test]
fn every_declared_default_is_applied() {
    let mut count = 0;
    every_schema(|kind, version, path, schema| {
        for (name, property) in &schema.properties {
            let Some(default) = &property.default else { continue };
            let root = every_kind()
                .find(|schema| schema.kind.as_str() == kind)
                .unwrap()
                .version(version)
                .unwrap();
            let mut object = wrap(path, json!({}));
            defaults::apply(&root.schema, &mut object);
            let found = unwrap(path, &object)
                .get(name)
                .unwrap_or_else(|| panic!("{kind} {version} {path}.{name}"));
            assert!(
                contains(found, default),
                "{kind} {version} {path}.{name}: {found} is not {default}"
            );
            // What is written stays.
            let mut written = wrap(path, json!({ name: "written" }));
            defaults::apply(&root.schema, &mut written);
            assert_eq!(unwrap(path, &written)[name], "written", "{kind} {version} {path}.{name}");
            count += 1;
        }
    });
    assert!(count > 230, "{count}");
}

/// `inner` inside objects and lists of one item, as `path` has them.
fn wrap(path: &str, inner: Value) -> Value {
    if let Some(outer) = path.strip_suffix("[]") {
        return wrap(outer, json!([inner]));
    }
    if let Some(outer) = path.strip_suffix("[*]") {
        return wrap(outer, json!({ "any": inner }));
    }
    match path.rsplit_once('.') {
        Some((outer, key)) => wrap(outer, json!({ key: inner })),
        None => inner,
    }
}

fn unwrap<'value>(path: &str, object: &'value Value) -> &'value Value {
    path.split('.').skip(1).fold(object, |object, step| {
        let key = step.trim_end_matches("[]").trim_end_matches("[*]");
        let object = &object[key];
        if step.ends_with("[*]") {
            &object["any"]
        } else {
            (0..step.matches("[]").count()).fold(object, |object, _| &object[0])
        }
    })
}

/// Whether everything that `default` says holds in `found`, which may have more: defaults of the default's own fields.
fn contains(found: &Value, default: &Value) -> bool {
    match (found, default) {
        (Value::Object(found), Value::Object(default)) => default
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value))),
        (Value::Array(found), Value::Array(default)) => {
            found.len() == default.len() && found.iter().zip(default).all(|(found, default)| contains(found, default))
        }
        _ => found == default,
    }
}

#[test]
fn every_pattern_compiles_and_has_words() {
    every_schema(|kind, version, path, schema| {
        if let Some(pattern) = &schema.pattern {
            assert!(regex::Regex::new(&pattern.text).is_ok(), "{kind} {version} {path}");
            assert!(
                meaning::of_pattern(&pattern.text).is_some(),
                "{kind} {version} {path}: {}",
                pattern.text
            );
        }
        // The messages take for granted that ranges of int64 cannot be missed by a JSON integer.
        assert!(schema.format != Some(Format::Int64) || schema.minimum.is_none_or(|minimum| minimum >= -9e15));
    });
}

fn route(spec: Value) -> Value {
    json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "TLSRoute", "metadata": { "name": "r" }, "spec": spec })
}

fn good_route() -> Value {
    json!({ "parentRefs": [{ "name": "gw" }], "hostnames": ["a.example"], "rules": [{ "backendRefs": [{ "name": "b", "port": 443 }] }] })
}

#[test]
fn good_object_gets_defaults_and_no_finding() {
    let mut object = route(good_route());
    assert_eq!(admit("TLSRoute", "v1", &mut object), []);
    assert_eq!(object["metadata"]["namespace"], "default");
    assert_eq!(
        object["spec"]["parentRefs"][0],
        json!({ "name": "gw", "group": "gateway.networking.k8s.io", "kind": "Gateway" })
    );
    let backend = json!({ "name": "b", "port": 443, "group": "", "kind": "Service", "weight": 1 });
    assert_eq!(object["spec"]["rules"][0]["backendRefs"][0], backend);
}

#[test]
fn refusals_name_field_value_and_meaning() {
    let cases = [
        ("/spec", json!(null), "spec: Required value"),
        (
            "/spec/rules",
            json!([]),
            "spec.rules: Invalid value: must have at least 1 items, and has 0",
        ),
        (
            "/spec/hostnames/0",
            json!("1.2.3.4"),
            "spec.hostnames: Invalid value: array: Hostnames cannot contain an IP",
        ),
        (
            "/spec/hostnames/0",
            json!("Payment.Example.COM"),
            "spec.hostnames[0]: Invalid value: \"Payment.Example.COM\": must be a hostname in lower case, which may begin with `*.`, \
             without port and trailing dot",
        ),
        (
            "/spec/rules/0/backendRefs/0/port",
            json!(99999),
            "spec.rules[0].backendRefs[0].port: Invalid value: 99999: must be less than or equal to 65535",
        ),
        (
            "/spec/rules/0/backendRefs/0/port",
            json!("https"),
            "spec.rules[0].backendRefs[0].port: Invalid value: \"https\": must be of type integer: string",
        ),
        (
            "/spec/rules/0/backendRefs/0",
            json!({ "name": "b" }),
            "spec.rules[0].backendRefs[0]: Invalid value: object: Must have port for Service reference",
        ),
        (
            "/metadata/name",
            json!("Big_Name"),
            "metadata.name: Invalid value: \"Big_Name\": must be a DNS name: lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part",
        ),
        ("/metadata/name", json!(null), "metadata.name: Required value"),
        (
            "/metadata/labels",
            json!({ "a b": "c" }),
            "metadata.labels.a b: Invalid value: \"a b\": must be a name of at most 63 letters, digits, `-`, `_` and `.`, optionally after a DNS name and `/`",
        ),
        (
            "/metadata/annotations",
            json!({ "a": true }),
            "metadata.annotations.a: Invalid value: true: must be of type string: boolean; write it in quotes",
        ),
    ];
    for (pointer, value, expected) in cases {
        let mut object = route(good_route());
        match object.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => object["metadata"][pointer.rsplit('/').next().unwrap()] = value.clone(),
        }
        let refusals = refusals("TLSRoute", "v1", object);
        assert!(
            refusals.iter().any(|refusal| refusal.ends_with(expected)),
            "{pointer} {value}: {refusals:#?}"
        );
    }
}

#[test]
fn unknown_fields_are_kept_and_reported_with_the_nearest_name() {
    let mut object = route(good_route());
    object["spec"]["hostnmaes"] = json!(["b.example"]);
    object["spec"]["rules"][0]["retry"] = json!({});
    let findings = admit("TLSRoute", "v1", &mut object);
    assert!(
        findings.iter().all(|finding| !finding.refuses() && finding.key),
        "{findings:?}"
    );
    let names: Vec<_> = findings.into_iter().map(|finding| (finding.path, finding.cause)).collect();
    let unknown = |name: &str, nearest: Option<&str>| Cause::UnknownField {
        name: name.to_owned(),
        nearest: nearest.map(str::to_owned),
    };
    assert_eq!(
        names,
        [
            ("spec.hostnmaes".to_owned(), unknown("hostnmaes", Some("hostnames"))),
            ("spec.rules[0].retry".to_owned(), unknown("retry", None)),
        ]
    );
    assert_eq!(object["spec"]["hostnmaes"], json!(["b.example"]));
}

#[test]
fn unknown_enum_value_leaves_the_object_in_use() {
    let listener = json!({ "name": "a", "port": 443, "protocol": "TLS", "tls": { "mode": "Future" } });
    let mut gateway = json!({ "metadata": { "name": "g" }, "spec": { "gatewayClassName": "c", "listeners": [listener] } });
    let findings = admit("Gateway", "v1", &mut gateway);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert!(!finding.refuses());
    assert_eq!(finding.path, "spec.listeners[0].tls.mode");
    let known = vec!["Terminate".to_owned(), "Passthrough".to_owned()];
    assert_eq!(
        finding.cause,
        Cause::UnknownValue {
            value: "Future".to_owned(),
            known
        }
    );
}

#[test]
fn rules_wait_until_the_structure_is_sound() {
    let listener = json!({ "name": "a", "port": "443", "protocol": "TLS" });
    let gateway = json!({ "metadata": { "name": "g" }, "spec": { "gatewayClassName": "c", "listeners": [listener] } });
    let refusals = refusals("Gateway", "v1", gateway);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
}

#[test]
fn rule_that_lacks_a_field_is_told_by_its_meaning_and_the_field() {
    let listener = json!({ "name": "a", "port": 443, "protocol": "HTTPS", "tls": {} });
    let mut gateway = json!({ "metadata": { "name": "g" }, "spec": { "gatewayClassName": "c", "listeners": [listener] } });
    let findings = admit("Gateway", "v1", &mut gateway);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert!(finding.refuses());
    assert_eq!(finding.path, "spec.listeners[0].tls");
    let meaning = "Invalid value: object: certificateRefs or options must be specified when mode is Terminate";
    assert_eq!(finding.cause.message(), meaning);
    assert_eq!(finding.cause.hint().as_deref(), Some("add `tls.certificateRefs`"));
}

#[test]
fn list_maps_and_sets_have_no_equal_items() {
    let listener = |name: &str, port: u16| json!({ "name": name, "port": port, "protocol": "HTTP" });
    let gateway = json!({
        "metadata": { "name": "g" },
        "spec": { "gatewayClassName": "c", "listeners": [listener("a", 1), listener("b", 2), listener("a", 3)] },
    });
    let found = refusals("Gateway", "v1", gateway);
    assert!(
        found
            .iter()
            .any(|refusal| refusal.contains("spec.listeners[2]") && refusal.contains("Duplicate value: name: \"a\"")),
        "{found:?}"
    );
    let set = schema(json!({ "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } }));
    assert_eq!(validate(&set, &json!(["a", "b"]), "x", false), []);
    assert_eq!(validate(&set, &json!(["a", "b", "a"]), "x", false)[0].path, "x[2]");
}

#[test]
fn addresses_are_held_against_their_type() {
    let gateway = |addresses: Value| {
        let listener = json!({ "name": "a", "port": 443, "protocol": "HTTP" });
        json!({ "metadata": { "name": "g" }, "spec": { "gatewayClassName": "c", "listeners": [listener], "addresses": addresses } })
    };
    for good in [
        json!({ "value": "10.0.0.1" }),
        json!({ "value": "fd00::1" }),
        json!({ "type": "Hostname", "value": "a.example" }),
    ] {
        assert_eq!(refusals("Gateway", "v1", gateway(json!([good]))), Vec::<String>::new());
    }
    let found = refusals("Gateway", "v1", gateway(json!([{ "value": "a.example" }])));
    assert!(found[0].contains("must be an IPv4 or IPv6 address"), "{found:?}");
}

#[test]
fn nulls_are_dropped_before_defaults() {
    let mut object = route(good_route());
    object["spec"]["rules"][0]["backendRefs"][0]["weight"] = Value::Null;
    object["metadata"]["creationTimestamp"] = Value::Null;
    assert_eq!(admit("TLSRoute", "v1", &mut object), []);
    assert_eq!(object["spec"]["rules"][0]["backendRefs"][0]["weight"], 1);
}

#[test]
fn core_kinds_get_their_defaults() {
    let mut service =
        json!({ "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 53 }, { "port": 53, "protocol": "UDP" }] } });
    let found = admit("Service", "v1", &mut service);
    assert_eq!(found.len(), 2, "names are missing, and therefore alike: {found:?}");
    assert_eq!(
        (&service["spec"]["type"], &service["spec"]["ports"][0]["protocol"]),
        (&json!("ClusterIP"), &json!("TCP"))
    );
    let mut slice = json!({ "metadata": { "name": "s" }, "addressType": "IPv4", "endpoints": [], "ports": [{ "port": 1 }] });
    assert_eq!(admit("EndpointSlice", "v1", &mut slice), []);
    assert_eq!(slice["ports"][0]["protocol"], "TCP");
    slice["ports"] = json!([{ "name": "a", "port": 1 }, { "name": "a", "port": 2 }]);
    assert_eq!(admit("EndpointSlice", "v1", &mut slice)[0].path, "ports[1]");
    let mut secret = json!({ "metadata": { "name": "s" }, "stringData": { "a": "b" } });
    assert_eq!(admit("Secret", "v1", &mut secret), []);
    assert_eq!(secret["type"], "Opaque");
    let mut namespace = json!({ "metadata": { "name": "n", "namespace": "ignored", "labels": null } });
    assert_eq!(admit("Namespace", "v1", &mut namespace), []);
    assert_eq!(
        namespace["metadata"],
        json!({ "name": "n", "labels": { "kubernetes.io/metadata.name": "n" } })
    );
}

#[test]
fn findings_about_a_secret_quote_no_values() {
    let hidden = "hunter2";
    for object in [
        json!({ "metadata": { "name": "s" }, "data": { "a": hidden } }),
        json!({ "metadata": { "name": "s" }, "data": { "a": [hidden] } }),
        json!({ "metadata": { "name": "s" }, "stringData": { "a": 12_345_678 } }),
        json!({ "metadata": { "name": "s" }, "data": hidden }),
    ] {
        let found = refusals("Secret", "v1", object.clone());
        assert!(!found.is_empty(), "{object}");
        assert!(
            !format!("{found:?}").contains(hidden) && !format!("{found:?}").contains("12345678"),
            "{found:?}"
        );
    }
}

#[test]
fn minimal_object_of_every_kind_can_be_read_as_data() {
    every_schema(|kind, version, path, schema| {
        if path.is_empty() {
            let mut object = json!({ "metadata": { "name": "a" }, "spec": {} });
            defaults::apply(schema, &mut object);
            if let Some(read) = Resource::read(&Kind::from(kind), object) {
                assert!(read.is_ok(), "{kind} {version}: {read:?}");
            }
        }
    });
}
