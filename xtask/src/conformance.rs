//! `cargo xtask conformance`: the Gateway API's own conformance suite, unmodified, against this gateway in a lab.
//!
//! Input: profiles, a test's name, a channel, a mode; what follows `--` goes to the suite as it is. Output: each test as it ends, a table
//! of the profiles, and (for a run of everything) the suite's report in `conformance/reports/`. Exit status 0 when every test passed.
//! The gateway is installed as a user would: an image, then `kubectl apply -k`.
#![expect(clippy::print_stdout, reason = "the lines are what this command is for")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use crate::go;
use crate::lab::{self, Channel, Node, Place, SUITE_MODULE, Suite};

mod report;

/// What to run.
#[derive(Debug)]
struct Options<'a> {
    lab: &'a str,
    keep: bool,
    profiles: Vec<&'a str>,
    test: Option<&'a str>,
    channel: Channel,
    mode: Mode,
    suite: &'a [&'a str],
}

/// How the gateway refuses a TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As it does unasked: with the alert that says why.
    Default,
    /// By closing: the only refusal that the suite knows.
    RejectionsClose,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::RejectionsClose => "rejections-close",
        }
    }

    fn parse(word: &str) -> anyhow::Result<Self> {
        [Self::Default, Self::RejectionsClose]
            .into_iter()
            .find(|mode| mode.name() == word)
            .with_context(|| format!("no such mode: {word}; there are rejections-close and default"))
    }
}

/// Runs the suite.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let place = Place::new(options.lab)?;
    let binary = crate::sealway(false)?;
    let suite = lab::build_suite(&place)?;
    let was_up = Node::running(&place).is_ok();
    let node = lab::up(&place, options.channel)?;
    let outcome = node
        .load(&suite.echo)
        .and_then(|()| install(&node, &place, &binary, options.mode))
        .and_then(|()| test(&node, &place, &suite, &options));
    if !was_up && !options.keep {
        lab::down(&place)?;
    }
    outcome
}

impl<'a> Options<'a> {
    fn parse(arguments: &'a [&'a str]) -> anyhow::Result<Self> {
        let at = arguments.iter().position(|word| *word == "--").unwrap_or(arguments.len());
        let (mut rest, suite) = arguments.split_at(at);
        let mut options = Self {
            lab: "conformance",
            keep: false,
            profiles: Vec::new(),
            test: None,
            channel: Channel::Experimental,
            mode: Mode::RejectionsClose,
            suite: suite.get(1..).unwrap_or_default(),
        };
        while let [option, after @ ..] = rest {
            if *option == "--keep" {
                options.keep = true;
                rest = after;
                continue;
            }
            let [value, after @ ..] = after else { bail!("{USAGE}") };
            match *option {
                "--name" => options.lab = value,
                "--profile" => options.profiles.push(value),
                "--test" => options.test = Some(value),
                "--channel" => options.channel = Channel::parse(value)?,
                "--mode" => options.mode = Mode::parse(value)?,
                _ => bail!("{USAGE}"),
            }
            rest = after;
        }
        Ok(options)
    }

    /// Whether this is a run whose report may be shown to others.
    fn is_whole(&self) -> bool {
        self.test.is_none() && self.profiles.is_empty() && self.suite.is_empty()
    }

    fn profiles(&self) -> String {
        let profiles = if self.profiles.is_empty() {
            &PROFILES[..]
        } else {
            &self.profiles
        };
        profiles.join(",")
    }

    /// Named as the Gateway API's repository wants it.
    fn report_name(&self) -> String {
        let (channel, mode) = (self.channel.name(), self.mode.name());
        format!("{channel}-{}-{mode}-report.yaml", env!("CARGO_PKG_VERSION"))
    }
}

/// Puts the image into the node and the gateway into the cluster, as `deploy/` says, and waits until its GatewayClass is accepted.
fn install(node: &Node, place: &Place, binary: &Path, mode: Mode) -> anyhow::Result<()> {
    let overlay = go::module(SUITE_MODULE).join("install").join(mode.name());
    lab::install(node, place, binary, IMAGE, &overlay)?;
    let class = format!("gatewayclass/{CLASS}");
    node.kubectl(["wait", "--for=condition=Accepted", &class, "--timeout=60s"])?;
    Ok(())
}

/// Runs the suite in the lab's network and says what came of it.
fn test(node: &Node, place: &Place, suite: &Suite, options: &Options<'_>) -> anyhow::Result<ExitCode> {
    let directory = place.cache().join("runs").join(options.lab);
    fs::create_dir_all(&directory)?;
    let (report, log) = (directory.join("report.yaml"), directory.join("suite.log"));
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let mut run = node.in_network(&suite.program);
    run.args(["-test.v=test2json", "-test.timeout=0", "-test.run=^TestGatewayAPI$"])
        .args(["-gateway-class", CLASS, "-conformance-profiles", &options.profiles()])
        .args([
            "-usable-address",
            lab::USABLE_ADDRESS,
            "-unusable-address",
            lab::UNUSABLE_ADDRESS,
        ])
        .args(["-mode", options.mode.name(), "-version", env!("CARGO_PKG_VERSION")])
        .args([
            "-organization",
            "sealway",
            "-project",
            "sealway",
            "-url",
            URL,
            "-contact",
            CONTACT,
        ])
        .arg("-report-output")
        .arg(&report);
    if let Some(test) = options.test {
        run.args(["-run-test", test]);
    }
    run.args(options.suite);

    let started = Instant::now();
    let mut child = run
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{run:?}"))?;
    let mut tests = Tests::default();
    let mut record = File::create(&log)?;
    for line in BufReader::new(child.stdout.take().context("no output")?).split(b'\n') {
        let line = line?;
        record.write_all(&line)?;
        record.write_all(b"\n")?;
        if let Some(test) = Outcome::of_line(&String::from_utf8_lossy(&line)) {
            println!("{test}");
            tests.count(test.verdict);
        }
    }
    let status = child.wait()?;
    println!(
        "{} passed, {} failed, {} skipped in {:.0} s; log: {}",
        tests.passed,
        tests.failed,
        tests.skipped,
        started.elapsed().as_secs_f64(),
        log.display()
    );
    let published = publish(&report, options)?;
    println!(
        "{}",
        report::table(
            &fs::read_to_string(&published).with_context(|| format!("the suite wrote no report; see {}", log.display()))?
        )?
    );
    println!("report: {}", published.display());
    ensure!(tests.passed + tests.failed > 0, "no test ran; see {}", log.display());
    Ok(if status.success() && tests.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The report of a whole run goes into the repository, with what in the suite is not as it was released.
fn publish(report: &Path, options: &Options<'_>) -> anyhow::Result<PathBuf> {
    if !options.is_whole() || !report.exists() {
        return Ok(report.to_path_buf());
    }
    let requirements = fs::read_to_string(go::module(SUITE_MODULE).join("go.mod"))?;
    let replaced = requirements.lines().filter_map(|line| line.strip_prefix("replace "));
    let notes: String = replaced
        .map(|line| format!("# Replaced in the suite's module: {line}\n"))
        .collect();
    let published = go::module("reports").join(options.report_name());
    fs::create_dir_all(go::module("reports"))?;
    fs::write(&published, notes + &fs::read_to_string(report)?)?;
    Ok(published)
}

/// How one test ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome<'a> {
    verdict: Verdict,
    name: &'a str,
    seconds: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl<'a> Outcome<'a> {
    /// From `    --- PASS: TestGatewayAPI/Name (1.23s)`. The parts of a test are not tests.
    fn of_line(line: &'a str) -> Option<Self> {
        let (verdict, rest) = line
            .trim_start_matches([MARK, ' '])
            .strip_prefix("--- ")?
            .split_once(": TestGatewayAPI/")?;
        let verdict = match verdict {
            "PASS" => Verdict::Passed,
            "FAIL" => Verdict::Failed,
            "SKIP" => Verdict::Skipped,
            _ => return None,
        };
        let (name, seconds) = rest.trim_end().strip_suffix("s)")?.split_once(" (")?;
        (!name.contains('/')).then_some(Self { verdict, name, seconds })
    }
}

impl std::fmt::Display for Outcome<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        write!(formatter, "{verdict} {} ({} s)", self.name, self.seconds)
    }
}

#[derive(Debug, Default)]
struct Tests {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tests {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Skipped => self.skipped += 1,
        }
    }
}

/// Before what is said of a test, where Go is asked to say it as soon as it is known.
const MARK: char = '\u{16}';
/// All that a gateway can have; in one run, so that what they share runs once.
const PROFILES: [&str; 5] = ["GATEWAY-HTTP", "GATEWAY-GRPC", "GATEWAY-TLS", "GATEWAY-TCP", "GATEWAY-UDP"];
/// Set in the overlay, too.
const IMAGE: &str = "sealway:conformance";
const CLASS: &str = "gateway-conformance";
const URL: &str = "https://sealway.dev";
const CONTACT: &str = "https://sealway.dev/issues";
const USAGE: &str = "usage: cargo xtask conformance [OPTION...] [-- FLAG-OF-THE-SUITE...]
  --profile PROFILE             GATEWAY-HTTP, -GRPC, -TLS, -TCP or -UDP; repeatable (default: all of them)
  --test NAME                   this test alone
  --channel CHANNEL             standard or experimental (default)
  --mode MODE                   rejections-close (default), or default: refuse TLS connections with an alert
  --keep                        leave the lab up
  --name NAME                   the lab's name (default: conformance); one that is up is used, and stays up";

#[cfg(test)]
mod tests;
