//! `cargo xtask lab`: a real Kubernetes of one node in namespaces of its own, without a container engine and without a registry.
//!
//! Input: a command and its options. Output: what the command is for. All programs are built from Go modules (`conformance/`) and
//! kept, with images and each lab's state, below the cache directory. Several labs run side by side: each is a network of its own that
//! leads nowhere, so that all of them have the same addresses. Only root can make one, from Linux with cgroup v1 controllers.
#![expect(clippy::print_stdout, reason = "the lines are what this command is for")]

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

mod install;
mod keys;
mod node;
mod place;
mod programs;
mod settings;

pub(crate) use install::{NAMESPACE, install};
pub(crate) use node::{Node, stop as down};
pub(crate) use place::Place;
pub(crate) use programs::{SUITE_MODULE, Suite, build_helm, build_suite};
pub(crate) use settings::{NODE_IPS, UNUSABLE_ADDRESS, USABLE_ADDRESS};

/// Which CustomResourceDefinitions of the Gateway API a lab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// What is stable.
    Standard,
    /// What is not yet, too.
    Experimental,
}

impl Channel {
    /// As the Gateway API writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Experimental => "experimental",
        }
    }

    /// Reads the word behind `--channel`.
    pub(crate) fn parse(word: &str) -> anyhow::Result<Self> {
        [Self::Standard, Self::Experimental]
            .into_iter()
            .find(|channel| channel.name() == word)
            .with_context(|| format!("no such channel: {word}; there are standard and experimental"))
    }
}

/// Runs one command.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let [command, rest @ ..] = arguments else { bail!("{USAGE}") };
    let mut name = DEFAULT_NAME;
    let mut channel = Channel::Experimental;
    let mut rest = rest;
    while let [option, value, after @ ..] = rest {
        match *option {
            "--name" => name = value,
            "--channel" if *command == "up" => channel = Channel::parse(value)?,
            _ => break,
        }
        rest = after;
    }
    let place = Place::new(name)?;
    match (*command, rest) {
        ("build", []) => programs::build(&place).map(|()| ExitCode::SUCCESS),
        ("up", []) => up(&place, channel).map(|_| ExitCode::SUCCESS),
        ("down", []) => down(&place).map(|()| ExitCode::SUCCESS),
        ("status", []) => status(&place),
        ("kubeconfig", []) => {
            Node::running(&place)?;
            println!("{}", place.kubeconfig("admin").display());
            Ok(ExitCode::SUCCESS)
        }
        ("exec", [program, arguments @ ..]) => run_as(Node::running(&place)?.in_network(program), arguments),
        ("node", [program, arguments @ ..]) => run_as(Node::running(&place)?.inside(program), arguments),
        ("load", [image]) => {
            let archive = fs::canonicalize(image).with_context(|| format!("no such file: {image}"))?;
            Node::running(&place)?.load(&archive).map(|()| ExitCode::SUCCESS)
        }
        _ => bail!("{USAGE}"),
    }
}

/// Brings the lab up, unless it is, and waits until pods can be made.
pub(crate) fn up(place: &Place, channel: Channel) -> anyhow::Result<Node> {
    programs::build(place)?;
    let definitions = programs::definitions(channel)?;
    let started = Instant::now();
    let node = match Node::running(place) {
        Ok(node) => {
            let has = fs::read_to_string(place.state().join(CHANNEL_FILE)).unwrap_or_default();
            ensure!(
                has == channel.name(),
                "lab {} is up with the {has} channel; `cargo xtask lab down --name {}` ends it",
                place.name(),
                place.name()
            );
            node
        }
        Err(_) => {
            down(place)?;
            fs::create_dir_all(place.state())?;
            keys::write(place)?;
            settings::write(place)?;
            fs::write(place.state().join(CHANNEL_FILE), channel.name())?;
            node::start(place)?
        }
    };
    node.until_registered()?;
    node.kubectl([
        OsStr::new("apply"),
        "--server-side".as_ref(),
        "-k".as_ref(),
        definitions.as_ref(),
    ])?;
    let this = format!("node/{}", place.name());
    node.kubectl(["wait", "--for=condition=Ready", &this, "--timeout=60s"])?;
    node.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    println!(
        "lab {} is up after {:.1} s: `cargo xtask lab exec kubectl get pods -A`",
        place.name(),
        started.elapsed().as_secs_f64()
    );
    Ok(node)
}

fn status(place: &Place) -> anyhow::Result<ExitCode> {
    let Ok(node) = Node::running(place) else {
        println!("lab {} is down", place.name());
        return Ok(ExitCode::FAILURE);
    };
    println!(
        "lab {} is up: its first process is {}, {} MiB resident",
        place.name(),
        node.process(),
        node.resident_bytes()? >> 20
    );
    run_as(
        node.in_network("kubectl"),
        &["get", "nodes,pods,services", "-A", "-o", "wide"],
    )
}

fn run_as(mut command: Command, arguments: &[&str]) -> anyhow::Result<ExitCode> {
    let status = command.args(arguments).status().with_context(|| format!("{command:?}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Looks until `holds`; an error when that does not come about in time.
pub(crate) fn until(what: &str, within: Duration, mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + within;
    while !holds()? {
        ensure!(
            Instant::now() < end,
            "after {} s still waiting until {what}",
            within.as_secs()
        );
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}

const DEFAULT_NAME: &str = "lab";
const CHANNEL_FILE: &str = "channel";
const INTERVAL: Duration = Duration::from_millis(50);
const USAGE: &str = "usage: cargo xtask lab COMMAND [--name NAME] ...
  build                         build every program and image that is not there
  up [--channel standard|experimental]
                                bring it up with these CustomResourceDefinitions of the Gateway API (default: experimental)
  down                          end every process in it and remove its state
  status                        its memory, pods and Services
  kubeconfig                    the administrator's kubeconfig, for `lab exec`
  exec PROGRAM [ARGUMENT...]    run in its network, with KUBECONFIG set
  node PROGRAM [ARGUMENT...]    run in all of its namespaces: ctr, nft, ...
  load ARCHIVE                  import an OCI archive into its image store";
