//! The process dies: at every point of a story of changes, and, killed by the system, at random moments of a long one.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::file::Trouble;
use super::tests::{attempt, authority, secret, state};
use super::*;

/// The change of this number in a story without end: a CA, what it signs, failures and what comes after them.
fn change(number: usize) -> Change {
    let revision = number as u64 / 6 + 1;
    match number % 6 {
        0 => authority(revision),
        1 => secret("ca", revision),
        2 => authority(revision + 1_000_000),
        3 => secret("leaf", revision),
        4 => attempt("leaf", 1),
        _ => attempt("leaf", 0),
    }
}

/// What a file that was being written may look like after the machine has stopped.
fn tear(path: &Path) {
    for folder in ["secrets/payment", "attempts/payment", "authorities"] {
        for name in names(&path.join(folder)).expect("names") {
            if file::is_leftover(&name) {
                let file = path.join(folder).join(name);
                let bytes = fs::read(&file).expect("bytes");
                fs::write(&file, &bytes[..bytes.len() / 2]).expect("written");
            }
        }
    }
}

#[test]
fn a_crash_at_any_point_loses_nothing_and_halves_nothing() {
    const CHANGES: usize = 13;
    let mut crashes = 0;
    loop {
        for is_torn in [false, true] {
            let (_scratch, path) = state();
            let (store, mut kept, _) = Store::open(&path).expect("the store opens");
            *store.directory.trouble.lock().expect("lock") = Some(Trouble::Crash { after: crashes });
            let died = (0..CHANGES).find(|number| {
                let written = store.write(&change(*number));
                if written.is_ok() {
                    kept.apply(change(*number));
                }
                written.is_err()
            });
            drop(store);
            let Some(died) = died else {
                assert!(crashes > CHANGES * 3, "only {crashes} points in {CHANGES} changes");
                return;
            };
            if is_torn {
                tear(&path);
            }
            let (store, mut found, damage) = Store::open(&path).expect("the store opens");
            assert_eq!(damage, [], "crash {crashes}");
            let mut with_the_last = kept.clone();
            with_the_last.apply(change(died));
            assert!(
                found == kept || found == with_the_last,
                "crash {crashes}, in change {died}: {found:?}"
            );

            // The life after it: the same change again, and the rest.
            for number in died..CHANGES {
                store.write(&change(number)).expect("kept");
                found.apply(change(number));
            }
            drop(store);
            let (_store, again, _) = Store::open(&path).expect("the store opens");
            assert_eq!(again, found, "crash {crashes}");
        }
        crashes += 1;
    }
}

const PATH: &str = "SEALWAY_TEST_STATE";
const FIRST: &str = "SEALWAY_TEST_FIRST";

/// 200 times: a process writes change after change and says so after each; it is killed; what it said is there.
#[test]
fn two_hundred_kills_lose_nothing_and_halve_nothing() {
    let (_scratch, path) = state();
    let mut kept = Issued::default();
    let mut next = 0;
    // Any numbers will do, as long as they are spread; the same ones each time.
    let mut dice: u64 = 0x5EA1_3A7E;
    for kill in 0..200 {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let lives_for = Duration::from_micros((dice >> 33) % 25_000);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "store::crashes::writing_until_killed", "--ignored", "--nocapture"])
            .env(PATH, &path)
            .env(FIRST, next.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut reported = next;
        let mut take = |line: &str| {
            if let Some(number) = line.strip_prefix("kept ").and_then(|number| number.parse::<usize>().ok()) {
                reported = number + 1;
            }
        };
        // It is given time only once it writes: how long a process takes to start is no part of the story.
        for line in lines.by_ref() {
            let line = line.expect("a line");
            take(&line);
            if line == "open" {
                break;
            }
        }
        std::thread::sleep(lives_for);
        child.kill().expect("killed");
        lines.map_while(Result::ok).for_each(|line| take(&line));
        child.wait().expect("it ended");

        for number in next..reported {
            kept.apply(change(number));
        }
        let (_store, found, damage) = Store::open(&path).expect("the store opens");
        assert_eq!(damage, [], "kill {kill}");
        next = reported;
        if found != kept {
            kept.apply(change(reported));
            next += 1;
            assert_eq!(found, kept, "kill {kill}, after change {reported}");
        }
    }
    assert!(next > 200, "only {next} changes in 200 lives");
}

#[test]
#[ignore = "the child of two_hundred_kills_lose_nothing_and_halve_nothing"]
fn writing_until_killed() {
    let (Ok(path), Ok(first)) = (std::env::var(PATH), std::env::var(FIRST)) else {
        return;
    };
    let (store, ..) = Store::open(Path::new(&path)).expect("the store opens");
    println!("\nopen");
    for number in first.parse::<usize>().expect("a number").. {
        store.write(&change(number)).expect("kept");
        println!("kept {number}");
    }
}
