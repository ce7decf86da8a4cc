use super::*;

#[test]
fn only_tests_are_counted() {
    let passed = Outcome::of_line("    --- PASS: TestGatewayAPI/TLSRouteSimpleSameNamespace (2.50s)");
    let expected = Outcome {
        verdict: Verdict::Passed,
        name: "TLSRouteSimpleSameNamespace",
        seconds: "2.50",
    };
    assert_eq!(passed, Some(expected));
    for other in [
        "        --- PASS: TestGatewayAPI/TLSRouteSimpleSameNamespace/Simple_TLS_request (0.10s)",
        "--- FAIL: TestGatewayAPI (85.00s)",
        "=== RUN   TestGatewayAPI/TLSRouteSimpleSameNamespace",
    ] {
        assert_eq!(Outcome::of_line(other), None, "{other}");
    }
}

#[test]
fn what_follows_the_dashes_is_the_suites() -> anyhow::Result<()> {
    let words = ["--profile", "GATEWAY-TLS", "--keep", "--", "-debug", "--mode"];
    let options = Options::parse(&words)?;
    assert_eq!(options.profiles(), "GATEWAY-TLS");
    assert_eq!(options.suite, ["-debug", "--mode"]);
    assert!(options.keep);
    assert!(!options.is_whole());
    assert!(Options::parse(&[])?.is_whole());
    Options::parse(&["--profile"]).expect_err("an option without its value");
    Ok(())
}

#[test]
fn a_report_becomes_a_table() -> anyhow::Result<()> {
    let table = report::table(
        "profiles:
- name: GATEWAY-TLS
  core: {result: failure, statistics: {Failed: 1, Passed: 17, Skipped: 0}, failedTests: [TLSRouteSimpleSameNamespace]}
  extended: {result: success, statistics: {Failed: 0, Passed: 3, Skipped: 0}, unsupportedFeatures: [TLSRouteModeMixed]}
",
    )?;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines,
        [
            "profile                  passed failed skipped  result",
            "GATEWAY-TLS    core          17      1       0  failure",
            "GATEWAY-TLS    extended       3      0       0  success",
            "GATEWAY-TLS core, failed: TLSRouteSimpleSameNamespace",
            "GATEWAY-TLS extended, unsupported: TLSRouteModeMixed",
        ]
    );
    Ok(())
}
