//! What the demo leaves on disk, so that ordinary tools and `sealway run` can use its certificates.
//!
//! Input: the certificates and a directory. Output: `ca.crt`, `client.crt`, `client.key` and `secrets.yaml` there, all of mode
//! 0600, each replaced whole. `secrets.yaml` holds every Secret and CA ConfigMap that `examples/` name.

use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::certificates::{Certificates, Identity, create_private_dir, write_private};

/// The CA certificate, for clients.
pub const TRUST_FILE: &str = "ca.crt";
/// The certificate chain of client `order-service`.
pub const CLIENT_CERTIFICATE_FILE: &str = "client.crt";
/// Its private key.
pub const CLIENT_KEY_FILE: &str = "client.key";
/// Secrets and CA ConfigMaps as manifests.
pub const SECRETS_FILE: &str = "secrets.yaml";

/// Writes all four files into `directory`, which is made if it is missing.
pub fn write(certificates: &Certificates, directory: &Path) -> io::Result<()> {
    create_private_dir(directory)?;
    let client = &certificates.order_client;
    write_private(
        &directory.join(TRUST_FILE),
        certificates.authority.certificate_pem().as_bytes(),
    )?;
    write_private(&directory.join(CLIENT_CERTIFICATE_FILE), client.chain_pem().as_bytes())?;
    client.key().write_private(&directory.join(CLIENT_KEY_FILE))?;
    write_private(&directory.join(SECRETS_FILE), secrets_manifest(certificates).as_bytes())
}

/// Writes the CA certificate alone into `directory`, which is made if it is missing.
pub fn write_trust(certificates: &Certificates, directory: &Path) -> io::Result<()> {
    create_private_dir(directory)?;
    write_private(
        &directory.join(TRUST_FILE),
        certificates.authority.certificate_pem().as_bytes(),
    )
}

/// The Secrets and CA ConfigMaps as YAML. It holds private keys: for a file of mode 0600, or memory.
pub fn secrets_manifest(certificates: &Certificates) -> String {
    let trust = certificates.authority.certificate_pem();
    let mut manifest = String::from("# Secrets and CA ConfigMaps for examples/. Private keys: keep this file to yourself.\n");
    for (namespace, name, identity) in secrets(certificates) {
        document(&mut manifest, "Secret", namespace, name);
        manifest.push_str("type: kubernetes.io/tls\nstringData:\n");
        entry(&mut manifest, "tls.crt", identity.chain_pem());
        entry(&mut manifest, "tls.key", identity.key().expose_pem());
        entry(&mut manifest, "ca.crt", trust);
    }
    let trusting = TRUSTING_NAMESPACES.map(|namespace| (namespace, "internal-ca-cert"));
    for (namespace, name) in trusting.into_iter().chain([("default", "partners-ca")]) {
        document(&mut manifest, "ConfigMap", namespace, name);
        manifest.push_str("data:\n");
        entry(&mut manifest, "ca.crt", trust);
    }
    manifest
}

fn secrets(certificates: &Certificates) -> [(&'static str, &'static str, &Identity); 11] {
    [
        ("cert-manager", "internal-ca-keypair", certificates.authority.identity()),
        ("cert-manager", "partners-ca-keypair", certificates.authority.identity()),
        ("gateway-system", "wildcard-cert", &certificates.wildcard),
        ("gateway-system", "gateway-client-tls", &certificates.gateway_client),
        ("payment", "payment-tls-secret", &certificates.payment),
        ("payment", "ledger-tls-secret", &certificates.ledger),
        ("vault", "vault-tls-secret", &certificates.vault),
        ("database", "database-tls-secret", &certificates.database),
        ("order", "order-client-tls", &certificates.order_client),
        ("default", "wildcard-cert", &certificates.wildcard),
        ("default", "partners-cert", &certificates.wildcard),
    ]
}

fn document(manifest: &mut String, kind: &str, namespace: &str, name: &str) {
    // Writing to a String cannot fail.
    let _ = write!(
        manifest,
        "---\napiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"
    );
}

fn entry(manifest: &mut String, key: &str, pem: &str) {
    let _ = writeln!(manifest, "  {key}: |");
    for line in pem.lines() {
        let _ = writeln!(manifest, "    {line}");
    }
}

/// Where the Bundle of `examples/article` puts the CA ConfigMap: the namespaces that it labels for it.
const TRUSTING_NAMESPACES: [&str; 5] = ["database", "gateway-system", "order", "payment", "vault"];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certificates::sample::certificates;

    #[test]
    fn every_file_is_readable_by_its_owner_only() {
        let certificates = certificates();
        let parent = tempfile::tempdir().expect("temporary directory");
        let directory = parent.path().join("demo");
        write(certificates, &directory).expect("written");
        let mut names = Vec::new();
        for file in directory.read_dir().expect("directory") {
            let file = file.expect("file");
            assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o777, 0o600);
            names.push(file.file_name().into_string().expect("name"));
        }
        names.sort();
        assert_eq!(names, [TRUST_FILE, CLIENT_CERTIFICATE_FILE, CLIENT_KEY_FILE, SECRETS_FILE]);
    }

    #[test]
    fn secrets_carry_each_identity_whole() {
        let certificates = certificates();
        let manifest = secrets_manifest(certificates);
        assert_eq!(manifest.matches("kind: Secret").count(), 11);
        assert_eq!(manifest.matches("kind: ConfigMap").count(), 6);
        for line in certificates.payment.key().expose_pem().lines() {
            assert!(manifest.contains(&format!("    {line}\n")));
        }
    }
}
