//! One authority, a certificate for every component, and a kubeconfig for every client.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyPair};
use sealway_demo::certificates::{Authority, Request, create_private_dir, write_private};
use serde_json::json;

use super::place::Place;
use super::settings::{NODE_IPS, SERVICE_OF_API_SERVER};

/// Writes all of them for a new lab.
pub(super) fn write(place: &Place) -> anyhow::Result<()> {
    let (keys, name) = (place.keys(), place.name());
    create_private_dir(&keys)?;
    create_private_dir(&place.state().join("kubeconfigs"))?;
    let authority = Authority::generate(name, SystemTime::now())?;
    fs::write(keys.join("ca.crt"), authority.certificate_pem())?;
    authority.identity().key().write_private(&keys.join("ca.key"))?;

    let tokens = KeyPair::generate()?;
    write_private(&keys.join("service-accounts.key"), tokens.serialize_pem().as_bytes())?;
    fs::write(keys.join("service-accounts.pub"), tokens.public_key_pem())?;

    let server_names = [
        &NODE_IPS[..],
        &SERVICE_OF_API_SERVER,
        &[
            "127.0.0.1",
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        ],
    ]
    .concat();
    issue(
        &authority,
        &keys.join("kube-apiserver"),
        "kube-apiserver",
        None,
        &server_names,
    )?;
    let node = format!("system:node:{name}");
    let node_names = [&NODE_IPS[..], &[name]].concat();
    for (client, user, group, names) in [
        ("admin", "lab-admin", Some("system:masters"), &[][..]),
        ("kubelet", &*node, Some("system:nodes"), &node_names),
        ("kube-controller-manager", "system:kube-controller-manager", None, &[]),
        ("kube-scheduler", "system:kube-scheduler", None, &[]),
        ("kube-proxy", "system:kube-proxy", None, &[]),
    ] {
        let files = keys.join(client);
        issue(&authority, &files, user, group, names)?;
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {
                "server": format!("https://{}:6443", NODE_IPS[0]), "certificate-authority": keys.join("ca.crt"),
            }}],
            "users": [{"name": client, "user": {
                "client-certificate": files.with_extension("crt"), "client-key": files.with_extension("key"),
            }}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": client}}],
        });
        write_private(&place.kubeconfig(client), kubeconfig.to_string().as_bytes())?;
    }
    Ok(())
}

/// A certificate for both sides of a connection: the kubelet is server and client.
fn issue(authority: &Authority, files: &Path, user: &str, group: Option<&str>, names: &[&str]) -> anyhow::Result<()> {
    let mut params = Request::server(user, names, SystemTime::now()).params()?;
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority.issuer())?;
    fs::write(files.with_extension("crt"), certificate.pem()).with_context(|| files.display().to_string())?;
    Ok(write_private(&files.with_extension("key"), key.serialize_pem().as_bytes())?)
}
