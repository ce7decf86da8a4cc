use super::*;

#[test]
fn the_templates_are_those_of_the_manifests() -> anyhow::Result<()> {
    for template in &TEMPLATES {
        let path = directory().join("templates").join(template.name);
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            stored,
            template.render()?,
            "{} differs: `cargo xtask chart` makes it anew",
            path.display()
        );
    }
    Ok(())
}

#[test]
fn every_manifest_of_the_kustomization_but_the_namespace_is_in_the_chart() -> anyhow::Result<()> {
    let kustomization = fs::read_to_string(crate::root().join("deploy/kustomization.yaml"))?;
    let kustomization: serde_json::Value = serde_saphyr::from_str(&kustomization)?;
    let resources = kustomization["resources"].as_array().context("no resources")?;
    for resource in resources.iter().filter(|resource| **resource != "namespace.yaml") {
        assert!(
            TEMPLATES.iter().any(|template| *resource == template.manifest),
            "TEMPLATES lacks {resource}"
        );
    }
    Ok(())
}

#[test]
fn the_chart_is_of_this_version() -> anyhow::Result<()> {
    let chart: serde_json::Value = serde_saphyr::from_str(&fs::read_to_string(directory().join("Chart.yaml"))?)?;
    for field in ["version", "appVersion"] {
        assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field} of Chart.yaml");
    }
    Ok(())
}

#[test]
fn a_manifest_that_lacks_what_becomes_a_value_is_refused() {
    let template = Template {
        name: "a.yaml",
        manifest: "a.yaml",
        only_if: None,
        values: &[Substitution {
            times: 1,
            manifest: "replicas: 2",
            template: "replicas: {{ .Values.replicas }}",
        }],
    };
    template.of("replicas: 3\n").expect_err("it has become another");
    template.of("replicas: 2\nother: {{ x }}\n").expect_err("braces are Helm's");
    let rendered = template
        .of("namespace: sealway-system\nreplicas: 2\n")
        .expect("both are there");
    assert!(
        rendered.ends_with("namespace: {{ $.Release.Namespace }}\nreplicas: {{ .Values.replicas }}\n"),
        "{rendered}"
    );
}
