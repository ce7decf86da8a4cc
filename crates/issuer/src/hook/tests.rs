//! Real runs of small commands.

use sealway_api::Kind;
use tempfile::TempDir;

use super::*;

fn switch(name: &str) -> Switch {
    Switch {
        object: ObjectRef::new(Kind::Secret, "payment", name),
        certificate: Some(ObjectKey::new("payment", "pay")),
        serial: "0a0b".to_owned(),
        directory: Some(PathBuf::from("/certs/payment/cert")),
    }
}

#[tokio::test]
async fn the_command_is_told_what_changed_and_no_key() {
    let scratch = TempDir::new().expect("a directory");
    let out = scratch.path().join("out");
    let command = format!("env | grep '^SEALWAY_' | sort > {}", out.display());
    run_once(&command, &switch("cert"), LIMIT).await.expect("it runs");
    assert_eq!(
        std::fs::read_to_string(out).expect("written"),
        "SEALWAY_CERTIFICATE=pay\nSEALWAY_DIRECTORY=/certs/payment/cert\nSEALWAY_KIND=Secret\nSEALWAY_NAME=cert\n\
         SEALWAY_NAMESPACE=payment\nSEALWAY_SERIAL=0a0b\n"
    );
}

#[tokio::test]
async fn a_failure_says_status_and_last_line() {
    let fault = run_once(
        "seq 1 100000 >&2; echo 'no such unit' >&2; echo >&2; exit 7",
        &switch("cert"),
        LIMIT,
    )
    .await
    .expect_err("it fails");
    assert_eq!(fault.to_string(), "exit status: 7: no such unit");
    let fault = run_once("kill -9 $$", &switch("cert"), LIMIT).await.expect_err("it fails");
    assert!(fault.to_string().ends_with("it said nothing"), "{fault}");
}

#[tokio::test]
async fn what_is_too_slow_is_ended_with_its_children() {
    let scratch = TempDir::new().expect("a directory");
    let file = scratch.path().join("child");
    let command = format!("sleep 600 & echo $! > {}; echo waiting >&2; wait", file.display());
    let fault = run_once(&command, &switch("cert"), Duration::from_millis(300))
        .await
        .expect_err("too slow");
    assert!(
        matches!(&fault, HookFault::TooSlow { last_line, .. } if last_line == "waiting"),
        "{fault}"
    );
    let child: i32 = std::fs::read_to_string(file)
        .expect("written")
        .trim()
        .parse()
        .expect("a number");
    let is_there = || {
        // One that has ended and that nobody has asked about yet is a zombie.
        let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        Pid::from_raw(child).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()) && !state.contains(") Z")
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while is_there() {
        assert!(std::time::Instant::now() < deadline, "the child goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_left_running_is_not_waited_for() {
    let ended = tokio::time::timeout(LIMIT, run_once("sleep 3 & exit 1", &switch("cert"), LIMIT)).await;
    assert!(matches!(ended, Ok(Err(HookFault::Failed { .. }))), "{ended:?}");
}

#[tokio::test]
async fn one_after_the_other_and_never_in_the_way() {
    let scratch = TempDir::new().expect("a directory");
    let out = scratch.path().join("out");
    let command = format!(
        "echo begin $SEALWAY_NAME >> {0}; echo end $SEALWAY_NAME >> {0}",
        out.display()
    );
    let (hook, runner) = Hook::new(command);
    hook.tell(switch("a"));
    hook.tell(switch("b"));
    drop(hook);
    runner.run().await;
    assert_eq!(
        std::fs::read_to_string(out).expect("written"),
        "begin a\nend a\nbegin b\nend b\n"
    );

    let (hook, runner) = Hook::new("true".to_owned());
    for number in 0..QUEUE * 2 {
        hook.tell(switch(&number.to_string()));
    }
    assert_eq!(runner.queue.len(), QUEUE, "the rest is left out");
}
