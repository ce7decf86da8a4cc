//! What may be asked for by a ConfigMap that `parametersRef` names.
//!
//! Input: the data of the class's ConfigMap and of the Gateway's, whose keys win. Output: [`Parameters`] with the defaults filled in.
//! Invariant: a key or value that is not understood is refused and named, never guessed at. `docs/cluster.md` lists the keys.

use std::collections::BTreeMap;

use sealway_api::ParametersReference;

/// What a Gateway's proxies and Services are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Proxies, unless a HorizontalPodAutoscaler decides.
    pub replicas: u32,
    /// Fewest proxies of the autoscaler; `replicas` when absent.
    pub min_replicas: Option<u32>,
    /// Most proxies; present: there is an autoscaler.
    pub max_replicas: Option<u32>,
    /// Aim of the autoscaler, in percent of the CPU that is requested.
    pub target_cpu_utilization: u32,
    /// Instead of the controller's.
    pub image: Option<String>,
    /// CPU and memory that are requested, as Kubernetes quantities.
    pub requests: BTreeMap<String, String>,
    /// CPU and memory that are not exceeded.
    pub limits: BTreeMap<String, String>,
    /// Type of the Service.
    pub service_type: ServiceType,
    /// Whether nodes without a proxy pass connections on, which hides clients' addresses.
    pub external_traffic_policy: TrafficPolicy,
    /// For Services only.
    pub service_annotations: BTreeMap<String, String>,
    /// How long connections may go on when a proxy ends.
    pub drain_seconds: u32,
}

/// Types of Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// With an address from outside; the default.
    LoadBalancer,
    /// On a port of each node; the Gateway's addresses are the cluster's own.
    NodePort,
    /// Inside the cluster only.
    ClusterIp,
}

/// `externalTrafficPolicy` of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Only nodes that have a proxy; the client's address survives. The default.
    Local,
    /// Every node.
    Cluster,
}

impl Default for Parameters {
    fn default() -> Self {
        let pair = |name: &str, quantity: &str| (name.to_owned(), quantity.to_owned());
        Self {
            replicas: 2,
            min_replicas: None,
            max_replicas: None,
            target_cpu_utilization: 70,
            image: None,
            requests: BTreeMap::from([pair("cpu", "100m"), pair("memory", "64Mi")]),
            limits: BTreeMap::from([pair("memory", "1Gi")]),
            service_type: ServiceType::LoadBalancer,
            external_traffic_policy: TrafficPolicy::Local,
            service_annotations: BTreeMap::new(),
            drain_seconds: 30,
        }
    }
}

/// Why parameters cannot be honoured: `Accepted=False`, reason `InvalidParameters`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersFault {
    /// Another kind than ConfigMap.
    #[error("parametersRef names a {kind} of group {group:?}; only a ConfigMap of the core group (\"\") is read")]
    Kind {
        /// Group that was named.
        group: String,
        /// Kind that was named.
        kind: String,
    },
    /// No such ConfigMap.
    #[error("ConfigMap {namespace}/{name} does not exist; create it or remove parametersRef")]
    Missing {
        /// Where it should be.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A key that means nothing.
    #[error("data.{key} is not a parameter; use one of {}", KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value that means nothing.
    #[error("data.{key}: {value:?} is not {wanted}")]
    Value {
        /// The key.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        wanted: &'static str,
    },
    /// The autoscaler's bounds are the wrong way round, or one is missing.
    #[error("data.minReplicas needs a data.maxReplicas that is not smaller")]
    Bounds,
}

const KEYS: &[&str] = &[
    "cpuLimit",
    "cpuRequest",
    "drainSeconds",
    "externalTrafficPolicy",
    "image",
    "maxReplicas",
    "memoryLimit",
    "memoryRequest",
    "minReplicas",
    "replicas",
    "serviceAnnotations",
    "serviceType",
    "targetCpuUtilization",
];
const MOST_REPLICAS: u32 = 1_000;

impl Parameters {
    /// Whether a reference can be followed: to a ConfigMap and nothing else.
    ///
    /// # Errors
    /// [`ParametersFault::Kind`].
    pub fn readable(reference: &ParametersReference) -> Result<(), ParametersFault> {
        if reference.group.is_empty() && reference.kind == "ConfigMap" {
            return Ok(());
        }
        Err(ParametersFault::Kind {
            group: reference.group.clone(),
            kind: reference.kind.clone(),
        })
    }

    /// Defaults, the class's data over them, the Gateway's over both.
    ///
    /// # Errors
    /// The first key, in order, that cannot be honoured.
    pub fn read(class: &BTreeMap<String, String>, gateway: &BTreeMap<String, String>) -> Result<Self, ParametersFault> {
        let mut parameters = Self::default();
        let mut data = class.clone();
        data.extend(gateway.clone());
        for (key, value) in &data {
            parameters.set(key, value.trim())?;
        }
        match (parameters.min_replicas, parameters.max_replicas) {
            (Some(_), None) => Err(ParametersFault::Bounds),
            (Some(minimum), Some(maximum)) if minimum > maximum => Err(ParametersFault::Bounds),
            _ => Ok(parameters),
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ParametersFault> {
        let Some(key) = KEYS.iter().copied().find(|known| *known == key) else {
            return Err(ParametersFault::UnknownKey { key: key.to_owned() });
        };
        let refused = |wanted| ParametersFault::Value {
            key,
            value: value.to_owned(),
            wanted,
        };
        let number = |least: u32, most: u32, wanted| {
            let read = value.parse().ok().filter(|number| (least..=most).contains(number));
            read.ok_or_else(|| refused(wanted))
        };
        let replicas = || number(1, MOST_REPLICAS, "a number from 1 to 1000");
        let quantity = || {
            let wanted = "a quantity such as 100m, 0.5 or 256Mi";
            if is_quantity(value) {
                Ok(value.to_owned())
            } else {
                Err(refused(wanted))
            }
        };
        match key {
            "replicas" => self.replicas = replicas()?,
            "minReplicas" => self.min_replicas = Some(replicas()?),
            "maxReplicas" => self.max_replicas = Some(replicas()?),
            "targetCpuUtilization" => self.target_cpu_utilization = number(1, 100, "a percentage from 1 to 100")?,
            "drainSeconds" => self.drain_seconds = number(0, 3_600, "a number of seconds from 0 to 3600")?,
            "image" if value.is_empty() || value.contains(char::is_whitespace) => return Err(refused("the name of an image")),
            "image" => self.image = Some(value.to_owned()),
            "cpuRequest" => drop(self.requests.insert("cpu".to_owned(), quantity()?)),
            "memoryRequest" => drop(self.requests.insert("memory".to_owned(), quantity()?)),
            "cpuLimit" => drop(self.limits.insert("cpu".to_owned(), quantity()?)),
            "memoryLimit" => drop(self.limits.insert("memory".to_owned(), quantity()?)),
            "serviceType" => {
                self.service_type = match value {
                    "LoadBalancer" => ServiceType::LoadBalancer,
                    "NodePort" => ServiceType::NodePort,
                    "ClusterIP" => ServiceType::ClusterIp,
                    _ => return Err(refused("LoadBalancer, NodePort or ClusterIP")),
                }
            }
            "externalTrafficPolicy" => {
                self.external_traffic_policy = match value {
                    "Local" => TrafficPolicy::Local,
                    "Cluster" => TrafficPolicy::Cluster,
                    _ => return Err(refused("Local or Cluster")),
                }
            }
            _ => {
                self.service_annotations = annotations(value).ok_or_else(|| refused("lines of the form KEY: VALUE"))?;
            }
        }
        Ok(())
    }
}

fn annotations(text: &str) -> Option<BTreeMap<String, String>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (key, value) = line.split_once(':')?;
            let (key, value) = (key.trim(), value.trim());
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._/".contains(letter);
            (!key.is_empty() && key.chars().all(plain)).then(|| (key.to_owned(), value.trim_matches('"').to_owned()))
        })
        .collect()
}

/// A part of Kubernetes' quantities: no sign and no exponent.
fn is_quantity(value: &str) -> bool {
    let digits = value.trim_end_matches(char::is_alphabetic);
    let unit = &value[digits.len()..];
    let known = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"].contains(&unit);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    known && are_digits(whole) && are_digits(fraction)
}
