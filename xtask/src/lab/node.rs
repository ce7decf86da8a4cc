//! The running node: its start, its end, and commands in it.
//!
//! Invariant: with the first process gone nothing of the lab is left, neither processes, mounts, networks nor cgroups.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::place::Place;
use super::{settings, until};

/// A node whose first process lives.
#[derive(Debug)]
pub(crate) struct Node {
    place: Place,
    process: i32,
}

impl Node {
    /// The lab's node; an error when the lab is down.
    pub(crate) fn running(place: &Place) -> anyhow::Result<Self> {
        let down = || format!("lab {0} is down; `cargo xtask lab up --name {0}` brings it up", place.name());
        let file = place.state().join(PROCESS_FILE);
        let process: i32 = fs::read_to_string(file).with_context(down)?.trim().parse()?;
        // The number may be another process's by now; what this one was started with is only the node's.
        let arguments = fs::read(format!("/proc/{process}/cmdline")).with_context(down)?;
        let own = place.state();
        let is_node = arguments
            .split(|byte| *byte == 0)
            .any(|word| word == own.as_os_str().as_encoded_bytes());
        ensure!(is_node, down());
        Ok(Self {
            place: place.clone(),
            process,
        })
    }

    /// Its first process.
    pub(crate) fn process(&self) -> i32 {
        self.process
    }

    /// A program that has only the network of the lab: a client beside the cluster.
    pub(crate) fn in_network(&self, program: impl AsRef<OsStr>) -> Command {
        self.enter(&[&format!("--net=/proc/{}/ns/net", self.process)], program.as_ref())
    }

    /// Moves the calling thread into the network of the lab, with all that it starts from then on.
    ///
    /// Not the main thread: by its network a process counts as one of the lab's, and ends with it.
    pub(crate) fn enter_network(&self) -> anyhow::Result<()> {
        let network = File::open(format!("/proc/{}/ns/net", self.process))?;
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).context("the lab's network")
    }

    /// A program in all of the node's namespaces.
    pub(crate) fn inside(&self, program: impl AsRef<OsStr>) -> Command {
        self.enter(&["--target", &self.process.to_string(), "--all"], program.as_ref())
    }

    fn enter(&self, where_to: &[&str], program: &OsStr) -> Command {
        let programs = self.place.programs();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("nsenter");
        command
            .args(where_to)
            .arg("--")
            .arg(program)
            .env("KUBECONFIG", self.place.kubeconfig("admin"))
            .env("PATH", format!("{0}/cluster:{0}/runtime:{path}", programs.display()));
        command
    }

    /// What kubectl says; it must succeed.
    pub(crate) fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> anyhow::Result<String> {
        output(self.in_network("kubectl").args(arguments))
    }

    /// Imports an OCI archive.
    pub(crate) fn load(&self, archive: &Path) -> anyhow::Result<()> {
        let mut import = self.inside("ctr");
        output(
            import
                .args(["--namespace", "k8s.io", "images", "import", "--local"])
                .arg(archive),
        )
        .map(drop)
    }

    /// Its processes of a program, by the machine's numbers, whose cgroup is below one that is called `cgroup`; empty: any.
    pub(crate) fn processes(&self, program: &str, cgroup: &str) -> anyhow::Result<Vec<Pid>> {
        let own = format!("/sealway-lab-{}/", self.place.name());
        let is_wanted = |process: &i32| {
            // A process that has ended meanwhile has neither file.
            let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let cgroups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
            let path = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
            let path = Path::new(OsStr::from_bytes(path));
            let is_ours = cgroups.lines().any(|line| format!("{line}/").contains(&own));
            path.file_name() == Some(program.as_ref()) && is_ours && cgroups.contains(cgroup)
        };
        Ok(processes()?.into_iter().filter(is_wanted).filter_map(Pid::from_raw).collect())
    }

    /// Memory of all processes in it.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let cgroups = cgroups(self.place.name())?;
        let memory = cgroups.iter().find(|cgroup| cgroup.starts_with("/sys/fs/cgroup/memory"));
        let statistics = fs::read_to_string(memory.context("no memory cgroup")?.join("memory.stat"))?;
        let resident = statistics.lines().find_map(|line| line.strip_prefix("total_rss "));
        Ok(resident.context("no total_rss")?.parse()?)
    }

    /// Waits until the API server knows the node.
    pub(super) fn until_registered(&self) -> anyhow::Result<()> {
        until("the node is registered", START, || {
            let said = fs::read_to_string(self.place.state().join(LOG_FILE)).unwrap_or_default();
            ensure!(Self::running(&self.place).is_ok(), "the node died:\n{said}");
            Ok(self.kubectl(["get", "node", self.place.name()]).is_ok())
        })
        .with_context(|| format!("logs are in {}", self.place.state().join("logs").display()))
    }
}

/// Starts a node with the keys and settings that were written for it.
pub(super) fn start(place: &Place) -> anyhow::Result<Node> {
    ensure!(rustix::process::geteuid().is_root(), "only root can make a lab");
    for (program, package) in [
        ("runc", "runc"),
        ("nft", "nftables"),
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
    ] {
        let is_there = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"]
            .iter()
            .any(|directory| Path::new(directory).join(program).exists());
        ensure!(is_there, "a lab needs {program}; Debian has it in {package}");
    }
    let cgroups = cgroups(place.name())?;
    ensure!(
        cgroups.iter().any(|cgroup| cgroup.starts_with("/sys/fs/cgroup/memory")),
        "a lab needs the controllers of cgroup v1; boot with systemd.unified_cgroup_hierarchy=0"
    );
    let log = File::create(place.state().join(LOG_FILE))?;
    // Its log is what keeps it from the terminal; it is nobody's child once this command has ended.
    let mut script = Command::new(crate::root().join("conformance/cluster/node.sh"))
        .arg("enter")
        .arg(place.state())
        .args(&cgroups)
        .envs(settings::environment(place))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("conformance/cluster/node.sh")?;
    until("the node has its namespaces", START, || {
        if let Some(status) = script.try_wait()? {
            bail!("{status}: {}", fs::read_to_string(place.state().join(LOG_FILE))?);
        }
        Ok(Node::running(place).is_ok())
    })?;
    Node::running(place)
}

/// Ends the node, if there is one, and removes what it leaves.
pub(crate) fn stop(place: &Place) -> anyhow::Result<()> {
    if let Ok(node) = Node::running(place) {
        let network = network_of(node.process);
        end(node.process)?;
        let first = PathBuf::from(format!("/proc/{}", node.process));
        // The kernel lets it go only when everything else in its namespaces is gone.
        until("the node has ended", END, || Ok(!first.exists()))?;
        // What `lab exec` left running would keep the network.
        for process in processes()? {
            if network.is_some() && network_of(process) == network {
                end(process)?;
            }
        }
    }
    for cgroup in cgroups(place.name())? {
        until("its cgroups are empty", END, || Ok(remove_cgroup(&cgroup).is_ok()))?;
    }
    match fs::remove_dir_all(place.state()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The node's own, one of each hierarchy: below ours, so that what limits us limits the node.
fn cgroups(name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let ours = fs::read_to_string("/proc/self/cgroup")?;
    let of_line = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let hierarchy = controllers.strip_prefix("name=").unwrap_or(controllers);
        // The second version's hierarchy has no name, and no controllers where the first is in use.
        let below = Path::new("/sys/fs/cgroup").join(hierarchy).join(path.trim_start_matches('/'));
        (!hierarchy.is_empty()).then(|| below.join(format!("sealway-lab-{name}")))
    };
    Ok(ours.lines().filter_map(of_line).collect())
}

/// A cgroup goes when its children are gone; its files are the kernel's.
fn remove_cgroup(cgroup: &Path) -> std::io::Result<()> {
    if !cgroup.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

fn processes() -> anyhow::Result<Vec<i32>> {
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// Which network a process is in.
fn network_of(process: i32) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{process}/ns/net")).ok()?.ino())
}

fn end(process: i32) -> anyhow::Result<()> {
    let process = Pid::from_raw(process).context("no process")?;
    match kill_process(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What a command says; it must succeed.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

const PROCESS_FILE: &str = "node.pid";
const LOG_FILE: &str = "node.log";
/// Longest that the start may take on a busy machine.
const START: Duration = Duration::from_secs(120);
/// Longest that the end may take.
const END: Duration = Duration::from_secs(30);
