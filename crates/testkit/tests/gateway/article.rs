//! The article's manifests, served from the sample backends.

use std::path::Path;

use sealway_testkit::backends::{Ports, SampleBackends};
use sealway_testkit::certificates::Certificates;
use sealway_testkit::gateway::{Setup, TestGateway, check};
use sealway_testkit::manifests::manifests;
use sealway_testkit::output::secrets_manifest;
use sealway_testkit::rows::{GatewayAddress, run_rows};

async fn start(certificates: &Certificates, backends: &SampleBackends) -> TestGateway {
    let mut setup = Setup::default();
    for endpoint in backends.endpoints() {
        setup = setup.endpoint(
            &format!("{}/{}", endpoint.namespace, endpoint.service),
            endpoint.port,
            endpoint.address,
        );
    }
    let mut yaml = secrets_manifest(certificates);
    for manifest in manifests() {
        yaml += "---\n";
        yaml += manifest.yaml;
    }
    setup.start(&yaml).await
}

#[tokio::test]
async fn every_row_of_the_demo_passes() {
    let certificates = sealway_testkit::sample_certificates();
    let backends = SampleBackends::start(&certificates, Ports::Free).await.expect("backends");
    let gateway = start(&certificates, &backends).await;
    let address = GatewayAddress {
        https: gateway.address(443),
        passthrough: gateway.address(8443),
        mutual: gateway.address(9443),
        bare: gateway.address(9444),
    };
    let rows = run_rows(&address, &certificates, Path::new("files")).await.expect("rows");
    assert!(rows.iter().all(|row| row.passed), "{rows:#?}");
}

#[tokio::test]
async fn example_has_no_problem_with_its_secrets_and_endpoints() {
    let certificates = sealway_testkit::sample_certificates();
    let backends = SampleBackends::start(&certificates, Ports::Free).await.expect("backends");
    let gateway = start(&certificates, &backends).await;
    let problems: Vec<String> = gateway.problems().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn check_has_nothing_to_say_about_the_example() {
    let all: Vec<&str> = manifests().iter().map(|manifest| manifest.yaml).collect();
    let problems: Vec<String> = check(&all.join("---\n")).iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}
