//! Every case under `testdata/provision`: what is made for the Gateway of `input.yaml`, compared with `objects.yaml` beside it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p sealway-provider --test provision` writes them anew; the diff is then read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sealway_api::{ConfigMap, Gateway, Protocol};
use sealway_core::Transport;
use sealway_provider::provision::{Installation, Parameters, provision};
use serde_json::Value;

#[test]
fn every_case_gives_what_stands_beside_it() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/provision");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(root).expect("cases") {
        let directory = entry.expect("a case").path();
        let made = objects(&fs::read_to_string(directory.join("input.yaml")).expect("input"));
        let file = directory.join("objects.yaml");
        if update {
            fs::write(&file, &made).expect("written");
        } else if fs::read_to_string(&file).ok().as_deref() != Some(&made) {
            wrong.push(file.display().to_string());
        }
        count += 1;
    }
    assert!(count >= 2, "only {count} cases were found");
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 writes them anew.", wrong.join("\n"));
}

fn objects(text: &str) -> String {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    let gateway: Gateway = serde_json::from_value(documents[0].clone()).expect("a Gateway");
    let data = documents.get(1).map(|document| {
        serde_json::from_value::<ConfigMap>(document.clone())
            .expect("a ConfigMap")
            .data
    });
    let parameters = Parameters::read(&BTreeMap::new(), &data.unwrap_or_default()).expect("parameters");
    let transport = |protocol: &Protocol| {
        if *protocol == Protocol::Udp {
            Transport::Udp
        } else {
            Transport::Tcp
        }
    };
    let ports = gateway
        .spec
        .listeners
        .iter()
        .map(|listener| (transport(&listener.protocol), listener.port))
        .collect();
    let installation = Installation {
        image: "sealway:0.1.0".to_owned(),
        version: "0.1.0".to_owned(),
        feed: vec!["10.96.0.20:15443".to_owned()],
        feed_ca: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        rejections: "alert".to_owned(),
    };
    let made = provision(&gateway, &parameters, &ports, &installation);
    made.iter()
        .map(|object| format!("---\n{}", serde_saphyr::to_string(object).expect("YAML")))
        .collect()
}
