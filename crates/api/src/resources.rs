//! All objects of one moment, by kind and key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::{
    BackendTlsPolicy, Bundle, Certificate, ClusterTrustBundle, ConfigMap, Deployment, EndpointSlice, Gateway, GatewayClass,
    GrpcRoute, HttpRoute, Issuer, Kind, ListenerSet, Namespace, ObjectKey, ObjectMeta, ObjectRef, ReferenceGrant, Secret,
    Service, TcpRoute, TlsRoute, UdpRoute, XBackend, XBackendTrafficPolicy, XTelemetryPolicy,
};

/// Objects of one kind. A copy costs nothing, and what differs between two of them is found without a look at what they share.
pub type Objects<T> = OrdMap<ObjectKey, Arc<T>>;

macro_rules! resources {
    ($($(#[$meta:meta])* $field:ident: $kind:ident => $object:ident,)+) => {
        /// What a provider has read: the compiler's input. Cluster-scoped objects have an empty namespace in their key.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Resources {
            $($(#[$meta])* pub $field: Objects<$object>,)+
            /// Objects that are written but that an API server would not have taken, with no earlier form to go by. They are not among
            /// the others, but for BackendTLSPolicies: of those, name and targets are, so that nothing is sent there in plain text.
            pub refused: BTreeSet<ObjectRef>,
        }

        /// One object of any kind that Sealway reads.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Resource {
            $(
                #[doc = concat!("A ", stringify!($kind), ".")]
                $kind(Arc<$object>),
            )+
        }

        impl Resource {
            /// Reads an object of `kind` from JSON; `None` when Sealway does not read that kind.
            pub fn read<'de, D: serde::Deserializer<'de>>(kind: &Kind, object: D) -> Option<Result<Self, D::Error>> {
                use serde::Deserialize as _;
                match kind {
                    $(Kind::$kind => Some($object::deserialize(object).map(|object| Self::$kind(Arc::new(object)))),)+
                    _ => None,
                }
            }

            /// The object's metadata.
            #[must_use]
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)+
                }
            }

            /// The object's kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)+
                }
            }

            /// The same object with another generation.
            #[must_use]
            pub fn with_generation(self, generation: i64) -> Self {
                match self {
                    $(Self::$kind(mut object) => {
                        Arc::make_mut(&mut object).metadata.generation = generation;
                        Self::$kind(object)
                    })+
                }
            }

            /// Kind, namespace and name.
            #[must_use]
            pub fn reference(&self) -> ObjectRef {
                ObjectRef { kind: self.kind(), key: self.metadata().key() }
            }
        }

        impl Resources {
            /// Adds an object, or replaces the one of the same name.
            pub fn insert(&mut self, resource: Resource) {
                match resource {
                    $(Resource::$kind(object) => {
                        self.$field.insert(object.metadata.key(), object);
                    })+
                }
            }

            /// Takes an object away; whether it was there.
            pub fn remove(&mut self, reference: &ObjectRef) -> bool {
                match reference.kind {
                    $(Kind::$kind => self.$field.remove(&reference.key).is_some(),)+
                    _ => false,
                }
            }

            /// The keys of every object of a kind.
            #[must_use]
            pub fn of_kind(&self, kind: &Kind) -> Vec<ObjectKey> {
                match kind {
                    $(Kind::$kind => self.$field.keys().cloned().collect(),)+
                    _ => Vec::new(),
                }
            }

            /// The object of that kind and name.
            #[must_use]
            pub fn get(&self, reference: &ObjectRef) -> Option<Resource> {
                match reference.kind {
                    $(Kind::$kind => self.$field.get(&reference.key).cloned().map(Resource::$kind),)+
                    _ => None,
                }
            }

            /// Whether there is an object of that kind and name.
            #[must_use]
            pub fn contains(&self, reference: &ObjectRef) -> bool {
                match reference.kind {
                    $(Kind::$kind => self.$field.contains_key(&reference.key),)+
                    _ => false,
                }
            }

            /// What was added since `before`, taken away, or given in another form.
            #[must_use]
            pub fn changes_since(&self, before: &Self) -> Vec<ObjectRef> {
                let mut changes = Vec::new();
                $(changes.extend(differing(&before.$field, &self.$field).map(|key| ObjectRef::of(Kind::$kind, key)));)+
                changes
            }

            /// Takes one object as it is in `other`, or as it is not there.
            pub fn take_from(&mut self, other: &Self, reference: &ObjectRef) {
                let ObjectRef { kind, key } = reference;
                match kind {
                    $(Kind::$kind => match other.$field.get(key) {
                        Some(object) => drop(self.$field.insert(key.clone(), Arc::clone(object))),
                        None => drop(self.$field.remove(key)),
                    },)+
                    _ => {}
                }
            }

            /// Every object, by kind and then by key.
            pub fn iter(&self) -> impl Iterator<Item = Resource> + '_ {
                std::iter::empty()
                    $(.chain(self.$field.values().map(|object| Resource::$kind(Arc::clone(object)))))+
            }
        }
    };
}

resources! {
    /// How backends are verified.
    backend_tls_policies: BackendTlsPolicy => BackendTlsPolicy,
    /// CA bundles that trust-manager hands out.
    bundles: Bundle => Bundle,
    /// What cert-manager, or our own issuer, is to issue.
    certificates: Certificate => Certificate,
    /// Issuers for all namespaces.
    cluster_issuers: ClusterIssuer => Issuer,
    /// CA bundles that belong to no namespace.
    cluster_trust_bundles: ClusterTrustBundle => ClusterTrustBundle,
    /// CA bundles, mostly.
    config_maps: ConfigMap => ConfigMap,
    /// For what they mount.
    deployments: Deployment => Deployment,
    /// Where Services really are.
    endpoint_slices: EndpointSlice => EndpointSlice,
    /// Classes, by name.
    gateway_classes: GatewayClass => GatewayClass,
    /// The gateways.
    gateways: Gateway => Gateway,
    /// gRPC routing.
    grpc_routes: GrpcRoute => GrpcRoute,
    /// HTTP routing.
    http_routes: HttpRoute => HttpRoute,
    /// Issuers of one namespace.
    issuers: Issuer => Issuer,
    /// Listeners that others add to a Gateway.
    listener_sets: ListenerSet => ListenerSet,
    /// For their labels.
    namespaces: Namespace => Namespace,
    /// Who may refer across namespaces.
    reference_grants: ReferenceGrant => ReferenceGrant,
    /// Certificates and keys.
    secrets: Secret => Secret,
    /// Backends.
    services: Service => Service,
    /// TCP routing.
    tcp_routes: TcpRoute => TcpRoute,
    /// Routing by SNI.
    tls_routes: TlsRoute => TlsRoute,
    /// UDP routing.
    udp_routes: UdpRoute => UdpRoute,
    /// Backends that no Service describes.
    x_backends: XBackend => XBackend,
    /// What holds for the traffic to Services.
    x_backend_traffic_policies: XBackendTrafficPolicy => XBackendTrafficPolicy,
    /// What Gateways tell of their requests.
    x_telemetry_policies: XTelemetryPolicy => XTelemetryPolicy,
}

/// Changes every object of a kind.
pub fn edit_each<T: Clone>(objects: &mut Objects<T>, mut edit: impl FnMut(&ObjectKey, &mut T)) {
    let keys: Vec<ObjectKey> = objects.keys().cloned().collect();
    for key in keys {
        if let Some(object) = objects.get_mut(&key) {
            edit(&key, Arc::make_mut(object));
        }
    }
}

/// Keys under which two maps do not hold the same. Takes as long as what they do not share is large.
pub fn differing<'maps, K: Ord, V: PartialEq>(
    one: &'maps OrdMap<K, V>,
    other: &'maps OrdMap<K, V>,
) -> impl Iterator<Item = &'maps K> {
    one.diff(other).map(|difference| match difference {
        DiffItem::Add(key, _) | DiffItem::Update { new: (key, _), .. } | DiffItem::Remove(key, _) => key,
    })
}

impl Resources {
    /// The labels of a namespace. One without a manifest has the label that Kubernetes gives to each: its own name.
    #[must_use]
    pub fn namespace_labels(&self, name: &str) -> BTreeMap<String, String> {
        let mut labels = self
            .namespaces
            .get(&ObjectKey::new("", name))
            .map(|namespace| namespace.metadata.labels.clone())
            .unwrap_or_default();
        labels.insert(crate::NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
        labels
    }
}
