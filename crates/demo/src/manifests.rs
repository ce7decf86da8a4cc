//! The manifests of the demo: `examples/article` and `examples/without-client-certificate`, compiled into the binary.
//!
//! The same files are read from disk by `sealway run -f examples/article`, so what the demo shows is what they do.

use crate::backends::Endpoint;
use std::path::Path;

use crate::output::SECRETS_FILE;

/// A manifest file: its name and its YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// File name below `examples`.
    pub name: &'static str,
    /// Its content.
    pub yaml: &'static str,
}

/// All files of both, by name.
pub fn manifests() -> &'static [Manifest] {
    &MANIFESTS
}

/// The flags that make `sealway run` serve `examples/article` from these backends, in the order to print them.
/// `directory` is where `output::write` has left `secrets.yaml`.
pub fn run_flags(directory: &Path, endpoints: &[Endpoint]) -> Vec<String> {
    let mut flags = vec![
        "-f examples/article".to_owned(),
        format!("-f {}", directory.join(SECRETS_FILE).display()),
    ];
    flags.extend(endpoints.iter().map(|endpoint| format!("--endpoint {endpoint}")));
    flags
}

macro_rules! manifest {
    ($name:literal) => {
        Manifest {
            name: $name,
            yaml: include_str!(concat!("../../../examples/", $name)),
        }
    };
}

static MANIFESTS: [Manifest; 9] = [
    manifest!("article/certificates.yaml"),
    manifest!("article/database.yaml"),
    manifest!("article/gateway.yaml"),
    manifest!("article/namespaces.yaml"),
    manifest!("article/order.yaml"),
    manifest!("article/payment.yaml"),
    manifest!("article/shop.yaml"),
    manifest!("article/vault.yaml"),
    manifest!("without-client-certificate/gateway.yaml"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_example_is_compiled_in() {
        let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"));
        let mut names = Vec::new();
        for example in ["article", "without-client-certificate"] {
            for file in std::fs::read_dir(examples.join(example)).expect("example") {
                let name = file.expect("file").file_name().into_string().expect("name");
                names.push(format!("{example}/{name}"));
            }
        }
        names.sort();
        let compiled_in: Vec<_> = manifests().iter().map(|manifest| manifest.name).collect();
        assert_eq!(compiled_in, names);
    }

    #[test]
    fn flags_name_the_secrets_and_every_endpoint() {
        let endpoint = Endpoint {
            namespace: "payment",
            service: "payment-service",
            port: 8443,
            address: ([127, 0, 0, 1], 17443).into(),
        };
        let flags = run_flags(Path::new("/tmp/out"), &[endpoint]);
        assert_eq!(
            flags,
            [
                "-f examples/article",
                "-f /tmp/out/secrets.yaml",
                "--endpoint payment/payment-service:8443=127.0.0.1:17443"
            ]
        );
    }
}
