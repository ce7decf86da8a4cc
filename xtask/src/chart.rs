//! `cargo xtask chart`: the templates of the Helm chart that are made from `deploy/`.
//!
//! Input: the manifests of `deploy/`. Output: `deploy/chart/templates/` of the same names; what a chart has and `deploy/` has not (values,
//! names, the defaults of proxies) is written by hand beside them. Invariant: what is made a value stands in the manifest exactly as often
//! as [`TEMPLATES`] says, so a manifest that changes under it is noticed; with default values the chart gives what kustomize gives, except
//! for the Namespace, which is the release's.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

/// Writes them.
pub(crate) fn run() -> anyhow::Result<()> {
    for template in &TEMPLATES {
        let path = directory().join("templates").join(template.name);
        fs::write(&path, template.render()?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Where the chart is.
pub(crate) fn directory() -> PathBuf {
    crate::root().join("deploy/chart")
}

/// A manifest, and what in it becomes a value.
struct Template {
    /// Of a file, by which the manifest and the template are called.
    name: &'static str,
    manifest: &'static str,
    /// The value without which nothing of it is there.
    only_if: Option<&'static str>,
    values: &'static [Substitution],
}

/// What stands in the manifest that often, and what in its place stands in the template.
struct Substitution {
    times: usize,
    manifest: &'static str,
    template: &'static str,
}

impl Template {
    fn render(&self) -> anyhow::Result<String> {
        let path = crate::root().join("deploy").join(self.manifest);
        let manifest = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        self.of(&manifest)
    }

    fn of(&self, manifest: &str) -> anyhow::Result<String> {
        ensure!(
            !manifest.contains("{{"),
            "{} holds what Helm would take for its own: {{{{",
            self.manifest
        );
        let mut text = manifest.to_owned();
        for Substitution {
            times,
            manifest,
            template,
        } in self.values
        {
            let found = text.matches(manifest).count();
            ensure!(
                found == *times,
                "deploy/{} holds {manifest:?} {found} times instead of {times}; see TEMPLATES in xtask/src/chart.rs",
                self.manifest
            );
            text = text.replace(manifest, template);
        }
        text = text.replace(NAMESPACE, "{{ $.Release.Namespace }}");
        if let Some(value) = self.only_if {
            text = format!("{{{{- if .Values.{value} }}}}\n{text}{{{{- end }}}}\n");
        }
        Ok(format!(
            "{{{{- /* Made from deploy/{} by `cargo xtask chart`. */}}}}\n{text}",
            self.manifest
        ))
    }
}

/// What the namespace of a release stands in place of; it is part of the names of what belongs to no namespace, too.
const NAMESPACE: &str = "sealway-system";

const TEMPLATES: [Template; 9] = [
    plain("service-account.yaml"),
    plain("state.yaml"),
    plain("service.yaml"),
    plain("roles.yaml"),
    Template {
        name: "binding.yaml",
        manifest: "binding.yaml",
        only_if: None,
        values: &[
            Substitution {
                times: 1,
                manifest: "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n",
                template: RANGE_OF_BINDINGS,
            },
            Substitution {
                times: 1,
                manifest: "roleRef:\n",
                template: "  {{- with $namespace }}\n  namespace: {{ . }}\n  {{- end }}\nroleRef:\n",
            },
            Substitution {
                times: 1,
                manifest: "    namespace: sealway-system\n",
                template: "    namespace: sealway-system\n{{- end }}\n",
            },
        ],
    },
    Template {
        name: "controller.yaml",
        manifest: "controller.yaml",
        only_if: None,
        values: &[
            Substitution {
                times: 1,
                manifest: "  replicas: 2\n",
                template: "  replicas: {{ .Values.replicas }}\n",
            },
            Substitution {
                times: 1,
                manifest: "          image: sealway\n          imagePullPolicy: IfNotPresent\n",
                template: "          image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}\n          imagePullPolicy: {{ .Values.image.pullPolicy }}\n",
            },
            Substitution {
                times: 1,
                manifest: "            - --admin=127.0.0.1:15000\n",
                template: "            - --admin=127.0.0.1:15000\n            {{- if ne .Values.controllerName \"sealway.dev/gateway-controller\" }}\n            - --controller-name={{ .Values.controllerName }}\n            {{- end }}\n            {{- with (include \"sealway.namespaces\" .) }}\n            - --watch-namespaces={{ . }}\n            {{- end }}\n",
            },
        ],
    },
    Template {
        name: "gateway-class.yaml",
        manifest: "gateway-class.yaml",
        only_if: Some("gatewayClass"),
        values: &[
            Substitution {
                times: 1,
                manifest: "  name: sealway\n",
                template: "  name: {{ .Values.gatewayClass }}\n",
            },
            Substitution {
                times: 1,
                manifest: "  controllerName: sealway.dev/gateway-controller\n",
                template: "  controllerName: {{ .Values.controllerName }}\n  {{- if .Values.proxies }}\n  parametersRef:\n    group: \"\"\n    kind: ConfigMap\n    name: sealway-proxies\n    namespace: sealway-system\n  {{- end }}\n",
            },
        ],
    },
    Template {
        name: "network-policy.yaml",
        manifest: "network-policy.yaml",
        only_if: Some("networkPolicy"),
        values: &[],
    },
    Template {
        name: "pod-monitor.yaml",
        manifest: "components/pod-monitor/pod-monitor.yaml",
        only_if: Some("podMonitor"),
        values: &[],
    },
];

/// One RoleBinding for each chosen namespace; without any, one for all of them.
const RANGE_OF_BINDINGS: &str = "{{- range $namespace := splitList \",\" (include \"sealway.namespaces\" .) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if $namespace }}RoleBinding{{ else }}ClusterRoleBinding{{ end }}
";

const fn plain(name: &'static str) -> Template {
    Template {
        name,
        manifest: name,
        only_if: None,
        values: &[],
    }
}

#[cfg(test)]
mod tests;
