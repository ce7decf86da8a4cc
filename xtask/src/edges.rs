//! `cargo xtask edges`: proves which packages may use which, from what cargo resolves.
//!
//! Input: `cargo tree` of each crate that has a rule, for every target and feature. Output: one line a crate, or the edges that may not
//! be. Invariant: what decides (api, core) cannot reach a network, and the data plane cannot reach the Kubernetes API.
#![expect(clippy::print_stdout, reason = "the lines are what this command is for")]

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};

/// Proves every rule whose crate exists.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut broken = Vec::new();
    for rule in RULES {
        if !super::root().join("crates").join(rule.package).exists() {
            continue;
        }
        let package = format!("sealway-{}", rule.package);
        let used = dependencies(&package)?;
        let before = broken.len();
        for name in &used {
            let is_ours = name.strip_prefix("sealway-").is_some_and(|name| !rule.ours.contains(&name));
            let is_foreign = rule.never.iter().any(|never| matches(never, name));
            if is_ours || is_foreign {
                broken.push(format!("{package} uses {name}"));
            }
        }
        if broken.len() == before {
            println!("{package}: {} packages below it, none that may not be", used.len());
        }
    }
    if !broken.is_empty() {
        bail!("edges that may not be:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// One crate's rule.
struct Rule {
    /// Without `sealway-`.
    package: &'static str,
    /// Ours that it may use, without `sealway-`.
    ours: &'static [&'static str],
    /// Others that it may never use; `kube` means `kube-client` too.
    never: &'static [&'static str],
}

fn matches(never: &str, name: &str) -> bool {
    name.strip_prefix(never)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Names of every package that gets into a build of `package`, itself left out; what only its tests use is not looked at.
fn dependencies(package: &str) -> anyhow::Result<BTreeSet<String>> {
    let arguments = [
        "tree",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--target",
        "all",
        "--all-features",
        "--package",
        package,
    ];
    let output = super::cargo().args(arguments).output().context("cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree of {package}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let tree = String::from_utf8(output.stdout).context("cargo tree")?;
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.filter(|name| *name != package).map(str::to_owned).collect())
}

const RULES: &[Rule] = &[
    Rule {
        package: "api",
        ours: &[],
        never: &["tokio", "hyper", "kube", "notify", "socket2", "rustls"],
    },
    Rule {
        package: "core",
        ours: &["api"],
        never: &["tokio", "hyper", "kube", "notify", "socket2"],
    },
    Rule {
        package: "proxy",
        ours: &["api", "core"],
        never: &["kube"],
    },
    Rule {
        package: "issuer",
        ours: &["api"],
        never: &["kube"],
    },
    Rule {
        package: "provider",
        ours: &["api", "core"],
        never: &[],
    },
    Rule {
        package: "feed",
        ours: &["api", "core"],
        never: &["kube"],
    },
    Rule {
        package: "demo",
        ours: &["api", "core", "proxy", "issuer"],
        never: &["kube"],
    },
];

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_family_is_matched_by_its_first_word_only() {
        assert!(matches("kube", "kube") && matches("kube", "kube-client"));
        assert!(!matches("kube", "kubernetes") && !matches("tokio", "not-tokio"));
    }
}
