//! `cargo xtask crds GATEWAY_API CERT_MANAGER TRUST_MANAGER`: writes `crates/provider/schemas/`.
//!
//! Job: turn the official CustomResourceDefinitions into compact JSON without descriptions, so that the provider can embed them.
//! Input: the source folders of the three projects, as the Go module cache holds them:
//!
//! ```text
//! go mod download sigs.k8s.io/gateway-api@v1.7.0 github.com/cert-manager/cert-manager@v1.21.2 github.com/cert-manager/trust-manager@v0.25.0
//! M=$(go env GOMODCACHE)
//! cargo xtask crds $M/sigs.k8s.io/gateway-api@v1.7.0 $M/github.com/cert-manager/cert-manager@v1.21.2 $M/github.com/cert-manager/trust-manager@v0.25.0
//! ```
//!
//! Output: one file per kind. Invariant: the same sources give the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

/// Reads the three source folders in `arguments` and writes the schemas.
///
/// # Errors
/// When a folder is missing, or a definition is not shaped as a CustomResourceDefinition.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [gateway_api, cert_manager, trust_manager] = arguments else {
        bail!("usage: cargo xtask crds GATEWAY_API_DIR CERT_MANAGER_DIR TRUST_MANAGER_DIR");
    };
    let output = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/provider/schemas");
    let standard = Path::new(gateway_api).join("config/crd/standard");
    for plural in GATEWAY_API_PLURALS {
        let path = Path::new(gateway_api).join(format!("config/crd/experimental/{plural}.yaml"));
        let served = served_versions(&standard.join(format!("{plural}.yaml")))?;
        convert(&path, &output, |version| served.contains(version))?;
    }
    for plural in CERT_MANAGER_PLURALS {
        convert(
            &Path::new(cert_manager).join(format!("deploy/crds/{plural}.yaml")),
            &output,
            |_| true,
        )?;
    }
    convert(
        &Path::new(trust_manager).join("deploy/crds/trust.cert-manager.io_bundles.yaml"),
        &output,
        |_| true,
    )
}

/// Which versions a definition serves; none when there is no such file (an experimental kind).
fn served_versions(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let definition = read(path)?;
    let versions = definition["spec"]["versions"].as_array().context("spec.versions")?;
    let served = versions.iter().filter(|version| version["served"] == true);
    Ok(served
        .filter_map(|version| version["name"].as_str().map(str::to_owned))
        .collect())
}

/// Writes `output/<plural>.<group>.json`.
fn convert(path: &Path, output: &Path, standard: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let definition = read(path)?;
    let spec = &definition["spec"];
    let mut versions = Vec::new();
    for version in spec["versions"].as_array().context("spec.versions")? {
        let name = version["name"].as_str().context("version without name")?;
        if version["served"] == true {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            strip(&mut schema);
            versions.push(json!({ "name": name, "standard": standard(name), "schema": schema }));
        }
    }
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("{}: not a definition", path.display()))
    };
    let file: PathBuf = output.join(format!("{}.{}.json", text(&spec["names"]["plural"])?, text(&spec["group"])?));
    let compact = json!({
        "group": spec["group"],
        "kind": spec["names"]["kind"],
        "clusterScoped": spec["scope"] == "Cluster",
        "versions": versions,
    });
    fs::write(&file, serde_json::to_string(&compact)? + "\n").with_context(|| file.display().to_string())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

/// Drops what is for people only. Property names are left alone: a field may be called `description`.
fn strip(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.retain(|key, _| !matches!(key.as_str(), "description" | "title" | "example" | "externalDocs"));
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            "properties" => value.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(strip),
            "items" | "additionalProperties" | "not" => strip(value),
            "allOf" | "anyOf" | "oneOf" => value.as_array_mut().into_iter().flatten().for_each(strip),
            _ => {}
        }
    }
}

const GATEWAY_API_PLURALS: [&str; 13] = [
    "gateway.networking.k8s.io_backendtlspolicies",
    "gateway.networking.k8s.io_gatewayclasses",
    "gateway.networking.k8s.io_gateways",
    "gateway.networking.k8s.io_grpcroutes",
    "gateway.networking.k8s.io_httproutes",
    "gateway.networking.k8s.io_listenersets",
    "gateway.networking.k8s.io_referencegrants",
    "gateway.networking.k8s.io_tcproutes",
    "gateway.networking.k8s.io_tlsroutes",
    "gateway.networking.k8s.io_udproutes",
    "gateway.networking.x-k8s.io_xbackends",
    "gateway.networking.x-k8s.io_xbackendtrafficpolicies",
    "gateway.networking.x-k8s.io_xtelemetrypolicies",
];
const CERT_MANAGER_PLURALS: [&str; 3] = [
    "cert-manager.io_certificates",
    "cert-manager.io_clusterissuers",
    "cert-manager.io_issuers",
];
