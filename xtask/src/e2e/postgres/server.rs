//! A PostgreSQL server in a directory of its own, for TLS connections only.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sealway_demo::certificates::Identity;
use sealway_testkit::{free_port, loopback};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::e2e::context::Context;
use crate::e2e::process::{command, run, serve};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Debian's 15, without direct TLS.
    Debian,
    /// npm's 18, with direct TLS.
    Npm,
}

/// A running server; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Child,
}

impl Server {
    /// The sample database on a free port of loopback.
    pub(crate) async fn start(context: &Context, version: Version) -> anyhow::Result<Self> {
        Self::start_as(context, version, &context.certificates.database, loopback(free_port())).await
    }

    /// Makes a database and serves it; everyone may log in, over TLS.
    pub(crate) async fn start_as(
        context: &Context,
        version: Version,
        identity: &Identity,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let directory = context.directory(&format!("{version:?}-{}", address.port()))?;
        let user = unprivileged_user(&directory).await?;
        if let Some(user) = &user {
            chown(&directory, Some(user.uid), Some(user.gid))?;
        }
        let programs = match version {
            Version::Debian => PathBuf::from(DEBIAN_PROGRAMS),
            Version::Npm => reachable(context.npm_postgres().await?, &directory, user.as_ref())
                .await?
                .join("bin"),
        };
        let data = directory.join("data");
        let mut initdb = as_user(user.as_ref(), &programs.join("initdb"));
        initdb
            .args([
                "--auth=trust",
                "--username=demo",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data);
        initdb.current_dir(&directory);
        run(initdb, "").await?.success().context("initdb")?;

        fs::write(data.join("pg_hba.conf"), "hostssl all all all trust\n")?;
        let (chain, key) = context.write_identity(identity, &data)?;
        if let Some(user) = &user {
            chown(&chain, Some(user.uid), Some(user.gid))?;
            chown(&key, Some(user.uid), Some(user.gid))?;
        }
        let mut server = as_user(user.as_ref(), &programs.join("postgres"));
        server.arg("-D").arg(&data).args(["-p", &address.port().to_string()]);
        server.args(["-h", &address.ip().to_string()]);
        for setting in SETTINGS {
            server.args(["-c", setting]);
        }
        server.current_dir(&directory);
        let log = directory.join("log");
        let process = serve(server, &log)?;
        wait_started(address, &log).await?;
        Ok(Self {
            address,
            _process: process,
        })
    }
}

async fn wait_started(address: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let said = fs::read_to_string(log).unwrap_or_default();
        if said.contains("ready to accept connections") && TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("PostgreSQL does not start:\n{said}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[derive(Debug)]
struct User {
    name: &'static str,
    uid: u32,
    gid: u32,
}

/// PostgreSQL refuses to run as root: then it runs as `postgres`. Nothing for an ordinary user.
async fn unprivileged_user(directory: &Path) -> anyhow::Result<Option<User>> {
    if fs::metadata(directory)?.uid() != 0 {
        return Ok(None);
    }
    let number = async |flag| anyhow::Ok(run(command("id", [flag, SERVER_USER]), "").await?.success()?.trim().parse()?);
    Ok(Some(User {
        name: SERVER_USER,
        uid: number("-u").await?,
        gid: number("-g").await?,
    }))
}

fn as_user(user: Option<&User>, program: &Path) -> Command {
    match user {
        Some(user) => {
            let (uid, gid) = (format!("--reuid={}", user.name), format!("--regid={}", user.gid));
            let mut command = command("setpriv", [uid.as_str(), gid.as_str(), "--clear-groups", "--"]);
            command.arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The other user may not get into the target directory (below /root, say): then it gets a copy.
async fn reachable(programs: PathBuf, directory: &Path, user: Option<&User>) -> anyhow::Result<PathBuf> {
    if user.is_none() {
        return Ok(programs);
    }
    let copy = directory.join("programs");
    let mut cp = command("cp", ["-a", "--"]);
    cp.arg(&programs).arg(&copy);
    run(cp, "").await?.success()?;
    Ok(copy)
}

const SERVER_USER: &str = "postgres";
const DEBIAN_PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const SETTINGS: [&str; 6] = [
    "unix_socket_directories=",
    "ssl=on",
    "ssl_cert_file=server.crt",
    "ssl_key_file=server.key",
    "fsync=off",
    "max_connections=20",
];
