//! Default Gateways as GEP-3793 explains them: "MUST behave the same as if all default Gateways were explicitly specified in `parentRefs`".

use sealway_api::edit_each;

use super::*;

/// The input with every default Gateway written out where it is asked for, unless the route names it.
pub(super) fn written_out(input: &Input) -> Input {
    let mut named = input.clone();
    let is_scope = |scope: &Option<String>| scope.as_deref().is_some_and(|scope| !matches!(scope, "" | "None"));
    macro_rules! write_out {
        ($($field:ident),+) => {$(
            edit_each(&mut named.resources.$field, |route, object| {
                let spec = &mut object.spec;
                let scope = spec.use_default_gateways.take();
                let is_asked_for = |gateway: &&ObjectKey| {
                    let of = input.resources.gateways.get(*gateway).and_then(|gateway| gateway.spec.default_scope.clone());
                    is_scope(&scope) && of == scope
                };
                for gateway in input.resources.gateways.keys().filter(is_asked_for) {
                    let object = ObjectRef::of(Kind::Gateway, gateway);
                    if !spec.parent_refs.iter().any(|parent| reference::names(parent, &route.namespace, &object)) {
                        spec.parent_refs.push(ParentRef {
                            group: "gateway.networking.k8s.io".to_owned(),
                            kind: "Gateway".to_owned(),
                            namespace: Some(gateway.namespace.clone()),
                            name: gateway.name.clone(),
                            section_name: None,
                            port: None,
                        });
                    }
                }
            });
        )+};
    }
    write_out!(tls_routes, http_routes, grpc_routes, tcp_routes, udp_routes);
    named
}

pub(super) fn default_gateways_serve_as_if_they_were_named(named: &Input, compiled: &Compiled) -> Result<(), TestCaseError> {
    prop_assert_eq!(compile(named).snapshots, compiled.snapshots.clone());
    Ok(())
}
