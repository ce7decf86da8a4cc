//! Every case under `testdata`: what the compiler makes of `input.yaml`, compared with the files beside it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p sealway-core --test golden` writes them anew; the diff is then read against the specification.

#[path = "support/case.rs"]
mod case;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use case::{Case, Lookup, Question, Request};
use sealway_api::{Condition, ConditionType, Kind, Reason};
use sealway_core::{
    Action, Compiled, Compiler, HelloFacts, HttpAction, NoTrace, Problem, Recording, Snapshot, Target, Transport,
};

#[test]
fn every_case_compiles_to_what_stands_beside_it() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let cases = case::cases();
    assert!(cases.len() >= 48, "only {} cases were found", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let compiled = Compiler::new(case.settings.clone()).compile(&case.resources, &case.observed);
        for (name, text) in files(case, &compiled) {
            let file = case.directory.join(name);
            if update {
                write(&file, text.as_deref());
            } else if std::fs::read_to_string(&file).ok() != text {
                wrong.push(describe(&file, text.as_deref()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 writes them anew.", wrong.join("\n"));
}

#[test]
fn every_case_says_what_it_proves() {
    for case in case::cases() {
        let first = case.text.lines().next().unwrap_or_default();
        let says = first
            .strip_prefix("# ")
            .is_some_and(|text| text.contains(": ") && text.len() > 30);
        assert!(says, "{}: {first}", case.directory.display());
    }
}

#[test]
fn every_reason_of_the_specification_has_a_case() {
    let mut shown: BTreeSet<(Kind, ConditionType, Reason)> = BTreeSet::new();
    let mut note = |kind: &Kind, conditions: &[Condition]| {
        let reasons = conditions
            .iter()
            .map(|condition| (kind.clone(), condition.kind.clone(), condition.reason.clone()));
        shown.extend(reasons);
    };
    for case in case::cases() {
        let statuses = Compiler::new(case.settings).compile(&case.resources, &case.observed).statuses;
        for (route, status) in &statuses.routes {
            status.parents.iter().for_each(|parent| note(&route.kind, &parent.conditions));
        }
        for status in statuses.backend_tls_policies.values() {
            let ancestors = &status.ancestors;
            ancestors
                .iter()
                .for_each(|ancestor| note(&Kind::BackendTlsPolicy, &ancestor.conditions));
        }
    }
    let missing: Vec<_> = demanded().into_iter().filter(|entry| !shown.contains(entry)).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

/// Reasons by kind and condition, as apis/v1/shared_types.go and backendtlspolicy_types.go list them; without Pending, which a compiler
/// that is total has no use for.
fn demanded() -> Vec<(Kind, ConditionType, Reason)> {
    use ConditionType::{Accepted, PartiallyInvalid, ResolvedRefs};
    let of_every_route = [
        (Accepted, Reason::Accepted),
        (Accepted, Reason::NotAllowedByListeners),
        (Accepted, Reason::NoMatchingListenerHostname),
        (Accepted, Reason::NoMatchingParent),
        (ResolvedRefs, Reason::ResolvedRefs),
        (ResolvedRefs, Reason::RefNotPermitted),
        (ResolvedRefs, Reason::InvalidKind),
        (ResolvedRefs, Reason::BackendNotFound),
        (ResolvedRefs, Reason::InvalidBackendTlsPolicy),
    ];
    let of_requests = [
        (Accepted, Reason::UnsupportedValue),
        (Accepted, Reason::IncompatibleFilters),
        (ResolvedRefs, Reason::UnsupportedProtocol),
        (PartiallyInvalid, Reason::UnsupportedValue),
    ];
    let of_policies = [
        (Accepted, Reason::Accepted),
        (Accepted, Reason::Conflicted),
        (Accepted, Reason::Invalid),
        (Accepted, Reason::TargetNotFound),
        (Accepted, Reason::NoValidCaCertificate),
        (ResolvedRefs, Reason::ResolvedRefs),
        (ResolvedRefs, Reason::InvalidCaCertificateRef),
        (ResolvedRefs, Reason::InvalidKind),
    ];
    let mut demanded = Vec::new();
    let mut ask = |kind: Kind, list: &[(ConditionType, Reason)]| {
        demanded.extend(
            list.iter()
                .map(|(condition, reason)| (kind.clone(), condition.clone(), reason.clone())),
        );
    };
    for kind in [Kind::TlsRoute, Kind::HttpRoute, Kind::GrpcRoute] {
        ask(kind, &of_every_route);
    }
    for kind in [Kind::HttpRoute, Kind::GrpcRoute] {
        ask(kind, &of_requests);
    }
    ask(Kind::BackendTlsPolicy, &of_policies);
    demanded
}

/// The files of a case; `None` where there is to be none.
fn files(case: &Case, compiled: &Compiled) -> [(&'static str, Option<String>); 4] {
    let snapshots = serde_json::to_string_pretty(&compiled.snapshots).expect("JSON") + "\n";
    let statuses = serde_saphyr::to_string(&compiled.statuses).expect("YAML");
    let mut problems: Vec<Problem> = case.problems.iter().chain(&compiled.problems).cloned().collect();
    problems.iter_mut().for_each(|problem| case.sources.place(problem));
    Problem::sort(&mut problems);
    let problems: String = problems.iter().map(problem).collect();
    // Places name the file by its whole path.
    let problems = problems.replace(&format!("{}/", case.directory.display()), "");
    let problems = problems.replace(&format!("{}/testdata/", env!("CARGO_MANIFEST_DIR")), "");
    let explanations: String = case.questions.iter().map(|question| explain(question, compiled)).collect();
    [
        ("snapshot.json", Some(snapshots)),
        ("status.yaml", Some(statuses)),
        ("problems.txt", Some(problems)),
        ("explain.txt", Some(explanations).filter(|text| !text.is_empty())),
    ]
}

fn problem(problem: &Problem) -> String {
    let cause = &problem.cause;
    let mut text = format!("{}[{}] {problem}\n", cause.severity(), cause.code());
    if let Some(hint) = cause.hint() {
        writeln!(text, "    hint: {hint}").expect("text");
    }
    text
}

fn explain(question: &Question, compiled: &Compiled) -> String {
    let mut text = match question {
        Question::Connection(lookup) if lookup.transport == Transport::Udp => format!("{}/udp {}\n", lookup.port, lookup.name),
        Question::Connection(lookup) => format!("{} {}\n", lookup.port, lookup.name),
        Question::Request(request) => format!("{}\n", request.text),
    };
    for snapshot in compiled.snapshots.values() {
        writeln!(text, "  Gateway {}", snapshot.gateway).expect("text");
        let lines = match question {
            Question::Connection(lookup) => answer(lookup, snapshot),
            Question::Request(request) => answer_request(request, snapshot),
        };
        for line in lines {
            writeln!(text, "    {line}").expect("text");
        }
    }
    text
}

fn answer_request(request: &Request, snapshot: &Snapshot) -> Vec<String> {
    let Some(plan) = snapshot.port(Transport::Tcp, request.port) else {
        return vec!["the port is not open".to_owned()];
    };
    let hello = request.server_name.as_ref().map(hello);
    let listener = match plan.connection(hello.as_ref(), &mut NoTrace) {
        Action::Requests { listener } => listener.map(|(listener, ..)| listener),
        Action::Reject(rejection) => return vec![format!("=> connection rejected: {}", rejection.reason.label())],
        Action::Passthrough { .. } | Action::Terminate { .. } | Action::Relay { .. } => {
            return vec!["=> the connection is relayed".to_owned()];
        }
    };
    let mut trace = Recording::default();
    let action = plan.request(listener, &request.head(), &mut trace);
    let mut lines: Vec<String> = trace.0.iter().map(ToString::to_string).collect();
    lines.push(match action {
        HttpAction::Serve { matched, .. } => format!("=> {} rule {}", matched.rule.route, matched.rule.position),
        HttpAction::Reject { reason, .. } => format!("=> {} {}", reason.status(), reason.label()),
    });
    lines
}

fn hello(lookup: &Lookup) -> HelloFacts<'_> {
    HelloFacts {
        server_name: lookup.server_name(),
        alpn: &[],
        source: "192.0.2.9:40000".parse().expect("socket"),
    }
}

fn answer(lookup: &Lookup, snapshot: &Snapshot) -> Vec<String> {
    let Some(plan) = snapshot.port(lookup.transport, lookup.port) else {
        return vec!["the port is not open".to_owned()];
    };
    let mut trace = Recording::default();
    let action = plan.connection(Some(&hello(lookup)), &mut trace);
    let mut lines: Vec<String> = trace.0.iter().map(ToString::to_string).collect();
    match action {
        Action::Reject(rejection) => lines.push(format!("=> rejected: {}", rejection.reason.label())),
        Action::Requests { .. } => lines.push("=> requests are read".to_owned()),
        Action::Passthrough { forward, .. } | Action::Terminate { forward, .. } | Action::Relay { forward, .. } => {
            for backend in forward.backends.iter().filter(|backend| backend.weight > 0) {
                let share = format!("{}/{}", backend.weight, forward.total_weight());
                lines.push(match &backend.target {
                    Target::Backend(target) => format!("=> {share} to {:?}", target.endpoints),
                    Target::Refuse(fault) => format!("=> {share} refused: {}", fault.label()),
                });
            }
        }
    }
    lines
}

fn write(file: &Path, text: Option<&str>) {
    match text {
        Some(text) => std::fs::write(file, text).expect("the case is writable"),
        None if file.exists() => std::fs::remove_file(file).expect("the case is writable"),
        None => {}
    }
}

/// The first line that differs.
fn describe(file: &Path, text: Option<&str>) -> String {
    let there = std::fs::read_to_string(file).unwrap_or_default();
    let now = text.unwrap_or_default();
    let line = there.lines().zip(now.lines()).position(|(one, two)| one != two);
    let line = line.unwrap_or_else(|| there.lines().count().min(now.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(nothing)").to_owned();
    format!(
        "{}:{}\n  there: {}\n  now:   {}",
        file.display(),
        line + 1,
        at(&there),
        at(now)
    )
}
