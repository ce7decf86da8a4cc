//! `cargo xtask cluster`: the gateway in a lab, and what a cluster does to it.
//!
//! Input: names of cases (none: all but `scale`), and options. Output: one line per case and a closing line; exit status 0 when all of
//! them passed. The gateway is installed by `deploy/`, as a user would. Clients, backends and cert-manager are processes in the lab's
//! network. Invariant: a case makes what it needs and does not mind what an earlier one has left.

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::runtime::Runtime;

use crate::e2e::cert_manager::programs::Programs;
use crate::e2e::context::Context;
use crate::lab::{self, Channel, Node, Place};
use crate::report::Report;

mod article;
mod disruptions;
mod installations;
mod installed;
mod load;
mod scale;
mod site;
mod tenant;

use installed::Cluster;
use site::Site;

/// What to run.
#[derive(Debug)]
struct Options<'a> {
    lab: &'a str,
    keep: bool,
    debug: bool,
    cut: Duration,
    cases: Vec<&'a str>,
}

/// Runs the cases.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let place = Place::new(options.lab)?;
    // What has to be built or downloaded comes first: the lab's network leads nowhere.
    let context = Context::prepare(options.debug)?;
    let programs = if options.wants("article") {
        Some(Runtime::new()?.block_on(Programs::build(&context))?)
    } else {
        None
    };
    let helm = options.wants("chart").then(|| lab::build_helm(&place)).transpose()?;
    let was_up = Node::running(&place).is_ok();
    let node = lab::up(&place, Channel::Experimental)?;
    let cluster = Cluster::new(node, place.clone(), context, programs, helm);
    // In a thread: the process itself stays outside of the lab's network, for whatever is in it ends with the lab.
    let outcome = thread::scope(|scope| {
        let inside = scope.spawn(|| {
            cluster.node().enter_network()?;
            Runtime::new().context("runtime")?.block_on(cases(&cluster, &options))
        });
        inside.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    if !was_up && !options.keep {
        lab::down(&place)?;
    }
    outcome
}

async fn cases(cluster: &Cluster, options: &Options<'_>) -> anyhow::Result<ExitCode> {
    cluster.install()?;
    let mut report = Report::new(Vec::new());
    if options.wants("article") {
        report.record("article", article::in_the_cluster(cluster)).await;
    }
    if options.wants("two-installations") {
        report.record("two-installations", installations::side_by_side(cluster)).await;
    }
    if options.wants("chart") {
        report.record("chart", installations::chart(cluster)).await;
    }
    if options.wants(SCALE) {
        report.record(SCALE, scale::scale(cluster)).await;
    }
    if !CASES[3..].iter().any(|case| options.wants(case)) {
        return Ok(report.close());
    }
    // One for all of them: each leaves it as it was.
    let site = &Site::prepare(cluster).await?;
    if options.wants("rolling-proxies") {
        report.record("rolling-proxies", disruptions::rolling_proxies(site)).await;
    }
    if options.wants("rolling-controller") {
        report
            .record("rolling-controller", disruptions::rolling_controller(site))
            .await;
    }
    if options.wants("leader-killed") {
        report.record("leader-killed", disruptions::leader_killed(site)).await;
    }
    if options.wants("api-cut") {
        report.record("api-cut", disruptions::api_cut(site, options.cut)).await;
    }
    if options.wants("proxies-killed") {
        report.record("proxies-killed", disruptions::proxies_killed(site)).await;
    }
    Ok(report.close())
}

impl<'a> Options<'a> {
    fn parse(arguments: &'a [&'a str]) -> anyhow::Result<Self> {
        let mut options = Self {
            lab: "cluster",
            keep: false,
            debug: false,
            cut: Duration::from_secs(120),
            cases: Vec::new(),
        };
        let mut rest = arguments;
        while let [word, after @ ..] = rest {
            rest = after;
            match (*word, after) {
                ("--keep", _) => options.keep = true,
                ("--debug", _) => options.debug = true,
                ("--name", [name, after @ ..]) => {
                    options.lab = name;
                    rest = after;
                }
                ("--cut", [seconds, after @ ..]) => {
                    options.cut = Duration::from_secs(seconds.parse().with_context(|| USAGE)?);
                    rest = after;
                }
                (case, _) if CASES.contains(&case) || case == SCALE => options.cases.push(case),
                _ => bail!("{USAGE}"),
            }
        }
        ensure!(options.cut < Duration::from_secs(3600), "{USAGE}");
        Ok(options)
    }

    fn wants(&self, case: &str) -> bool {
        if self.cases.is_empty() {
            case != SCALE
        } else {
            self.cases.contains(&case)
        }
    }
}

const CASES: [&str; 8] = [
    "article",
    "two-installations",
    "chart",
    "rolling-proxies",
    "rolling-controller",
    "leader-killed",
    "api-cut",
    "proxies-killed",
];
/// Long, and full of figures rather than of verdicts: only when asked for.
const SCALE: &str = "scale";
const USAGE: &str = "usage: cargo xtask cluster [OPTION...] [CASE...]
  CASE                          article, two-installations, chart, rolling-proxies, rolling-controller, leader-killed, api-cut,
                                proxies-killed (default: all of these), or scale
  --cut SECONDS                 how long api-cut takes the API server away (default: 120)
  --debug                       the unoptimised binary
  --keep                        leave the lab up
  --name NAME                   the lab's name (default: cluster); one that is up is used, and stays up";
