//! `sealway check`.

use std::path::Path;

use serde_json::json;

use crate::process::{Finished, finish, sealway};
use crate::yaml::{Manifests, gateway, route, service};

fn check(manifests: &Manifests, flags: &[&str]) -> Finished {
    let mut command = sealway(["check", "-f"]);
    command.arg(manifests.path()).args(flags);
    finish(command, "")
}

fn sound() -> String {
    gateway(8443) + &service("pay") + &route("pay", "pay.example.com", "pay")
}

#[test]
fn sound_manifests_are_a_yes() {
    let done = check(&Manifests::new(&[("all.yaml", &sound())]), &[]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert!(done.stdout.contains("Gateway infra/edge"), "{}", done.stdout);
    assert!(done.stdout.ends_with("\n0 errors, 0 warnings, 0 notes\n"), "{}", done.stdout);
}

#[test]
fn the_example_has_nothing_wrong() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/article");
    let mut command = sealway(["check", "-o", "json", "-f"]);
    command.arg(example);
    let done = finish(command, "");
    assert_eq!(done.json()["problems"], json!([]));
    assert_eq!(done.code, Some(0));
}

#[test]
fn errors_are_a_no_with_the_line_underlined() {
    let text = gateway(8443) + &route("pay", "pay.example.com", "gone");
    let done = check(&Manifests::new(&[("all.yaml", &text)]), &[]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""));
    assert!(
        done.stdout.contains("error[backend-not-found]: TLSRoute infra/pay: "),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("all.yaml:24:"), "{}", done.stdout);
    assert!(
        done.stdout.contains("backendRefs: [{name: gone, port: 443}]"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("^^^^"), "{}", done.stdout);
    assert!(done.stdout.contains("hint: add the Service"), "{}", done.stdout);
}

#[test]
fn warnings_are_a_no_unless_they_are_ok() {
    let manifests = Manifests::new(&[("all.yaml", &sound().replace("gateway-controller", "others"))]);
    assert_eq!(check(&manifests, &[]).code, Some(1));
    assert_eq!(check(&manifests, &["--warnings-ok"]).code, Some(0));
}

#[test]
fn quiet_says_only_what_is_wrong() {
    let manifests = Manifests::new(&[("all.yaml", &sound())]);
    assert_eq!(check(&manifests, &["-q"]).stdout, "");
    manifests.write("more.yaml", &route("more", "more.example.com", "gone"));
    let done = check(&manifests, &["--quiet"]);
    assert!(
        done.stdout.contains("backend-not-found") && !done.stdout.contains("Gateway infra/edge"),
        "{}",
        done.stdout
    );
}

#[test]
fn a_path_that_cannot_be_opened_is_a_failure() {
    let done = finish(sealway(["check", "-f", "/no/such/file.yaml"]), "");
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    assert!(done.stderr.contains("/no/such/file.yaml"), "{}", done.stderr);
}

#[test]
fn a_broken_document_costs_only_itself() {
    let text =
        sound() + "---\nkind: Service\nmetadata: [\n---\n" + &service("vault") + &route("vault", "vault.example.com", "vault");
    let done = check(&Manifests::new(&[("all.yaml", &text)]), &["-o", "json"]);
    let report = done.json();
    assert_eq!(done.code, Some(1));
    assert_eq!(report["summary"]["errors"], 1, "{report:#}");
    assert_eq!(
        report["statuses"]["gateways"]["infra/edge"]["listeners"][0]["attachedRoutes"],
        2
    );
}

#[test]
fn standard_input_is_a_path() {
    let done = finish(
        sealway(["check", "-o", "json", "-f", "-"]),
        &(sound() + "---\nkind: Service\n"),
    );
    let problems = done.json()["problems"].clone();
    assert_eq!(problems[0]["location"]["file"], "-", "{problems:#}");
}

#[test]
fn json_has_the_documented_shape_and_yaml_the_same() {
    let text = gateway(8443) + &route("pay", "pay.example.com", "gone");
    let manifests = Manifests::new(&[("all.yaml", &text)]);
    let report = check(&manifests, &["-o", "json"]).json();
    assert_eq!(report["version"], 1);
    assert_eq!(report["kind"], "Check");
    assert_eq!(report["summary"], json!({"errors": 1, "warnings": 0, "notes": 0}));
    let keys: Vec<&String> = report["problems"][0].as_object().expect("object").keys().collect();
    assert_eq!(keys, ["code", "field", "hint", "location", "message", "object", "severity"]);
    assert_eq!(report["problems"][0]["object"], "TLSRoute infra/pay");
    assert_eq!(report["problems"][0]["location"]["line"], 24);
    let condition = &report["statuses"]["routes"]["TLSRoute infra/pay"]["parents"][0]["conditions"][0];
    assert_eq!(condition["type"], "Accepted");
    let yaml = check(&manifests, &["-o", "yaml"]).stdout;
    let same: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(same, report);
}

#[test]
fn flags_of_run_are_looked_at_too() {
    let manifests = Manifests::new(&[("all.yaml", &(gateway(8443) + &route("pay", "pay.example.com", "gone")))]);
    let flags = [
        "--endpoint",
        "infra/gone:443=127.0.0.1:9000",
        "--bind",
        "infra/edge=127.0.0.7",
        "-o",
        "json",
    ];
    let done = check(&manifests, &flags);
    assert_eq!(done.code, Some(0), "{}", done.stdout);
    assert_eq!(
        done.json()["statuses"]["gateways"]["infra/edge"]["addresses"][0]["value"],
        "127.0.0.7"
    );
    let done = check(&manifests, &["--port-offset", "60000"]);
    assert!(done.stdout.contains("error[port-overflows]"), "{}", done.stdout);
}

#[test]
fn variables_stand_in_for_flags() {
    let one = Manifests::new(&[("gateway.yaml", &gateway(8443))]);
    let two = Manifests::new(&[("route.yaml", &(service("pay") + &route("pay", "pay.example.com", "pay")))]);
    let mut command = sealway(["check"]);
    command.env("SEALWAY_FILE", std::env::join_paths([one.path(), two.path()]).expect("paths"));
    command.env("SEALWAY_OUTPUT", "json").env("SEALWAY_VERBOSE", "1");
    let done = finish(command, "");
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert_eq!(
        done.json()["statuses"]["gateways"]["infra/edge"]["listeners"][0]["attachedRoutes"],
        1
    );
    let mut command = sealway(["check", "-f"]);
    command
        .arg(one.path())
        .env("SEALWAY_QUIET", "true")
        .env("SEALWAY_WARNINGS_OK", "false");
    assert_eq!(finish(command, "").stdout, "");
}

#[test]
fn no_output_holds_a_byte_of_a_key() {
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: infra}\ntype: kubernetes.io/tls\ndata:\n  tls.crt: aHVudGVyMg==\n  tls.key: aHVudGVyMg==\n  other: [hunter2]\n";
    let manifests = Manifests::new(&[("all.yaml", &(sound() + secret))]);
    for format in ["text", "json", "yaml"] {
        let done = check(&manifests, &["-o", format]);
        let said = done.stdout + &done.stderr;
        assert!(said.contains("infra/keys"), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("aHVudGVyMg"), "{said}");
    }
}
