//! Manifests that the tests write.

use std::path::PathBuf;

use tempfile::TempDir;

/// A directory with manifests; it goes when this is dropped.
pub(crate) struct Manifests {
    directory: TempDir,
}

impl Manifests {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let manifests = Self {
            directory: tempfile::tempdir().expect("temporary directory"),
        };
        for (name, text) in files {
            manifests.write(name, text);
        }
        manifests
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().to_path_buf()
    }

    /// Replaces a file by renaming, as editors do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let directory = self.directory.path();
        let temporary = directory.join(format!(".{name}.new"));
        std::fs::write(&temporary, text).expect("written");
        std::fs::rename(&temporary, directory.join(name)).expect("renamed");
    }
}

/// GatewayClass and Gateway `infra/edge` with one TLS listener.
pub(crate) fn gateway(port: u16) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sealway}}
spec: {{controllerName: sealway.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: infra}}
spec:
  gatewayClassName: sealway
  listeners:
    - name: tls
      port: {port}
      protocol: TLS
      tls: {{mode: Passthrough}}
"
    )
}

/// TLSRoute `infra/<name>` from one host to port 443 of Service `infra/<service>`.
pub(crate) fn route(name: &str, host: &str, service: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {{name: {name}, namespace: infra}}
spec:
  parentRefs: [{{name: edge}}]
  hostnames: [{host}]
  rules:
    - backendRefs: [{{name: {service}, port: 443}}]
"
    )
}

/// Service `infra/<name>` with port 443.
pub(crate) fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: infra}}\nspec:\n  ports: [{{name: tls, port: 443}}]\n"
    )
}
