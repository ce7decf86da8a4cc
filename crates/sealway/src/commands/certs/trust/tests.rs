//! Whole conversations, with systems that stand below a temporary root.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::SystemTime;

use sealway_testkit::certificates::Authority;
use tempfile::TempDir;

use super::*;
use crate::args::{Color, TalkArgs};

/// A system and a file with the certificate of a CA.
struct Machine {
    root: TempDir,
    files: TempDir,
    certificate: Certificate,
}

impl Machine {
    fn new(store: Store) -> Self {
        let root = tempfile::tempdir().expect("temporary directory");
        let (folders, files, program): (&[&str], &[&str], _) = match store {
            Store::Debian => (
                &["usr/sbin", "usr/local/share/ca-certificates", "etc/ssl/certs", "run"],
                &["etc/debian_version", "usr/local/share/ca-certificates/sealway-of-mine.crt"],
                "usr/sbin/update-ca-certificates",
            ),
            Store::Fedora => (
                &["usr/bin", "etc/pki/ca-trust/source/anchors", "etc/pki/ca-trust/extracted/pem"],
                &["etc/pki/ca-trust/source/anchors/mine.crt"],
                "usr/bin/update-ca-trust",
            ),
            Store::MacOs => (
                &["usr/bin", "Library/Keychains", "Library/Application Support"],
                &["Library/Keychains/System.keychain"],
                "usr/bin/security",
            ),
        };
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).expect("folder");
        }
        for file in files {
            fs::write(root.path().join(file), "mine\n").expect("file");
        }
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/trust/system");
        symlink(stand_in, root.path().join(program)).expect("program");
        let authority = Authority::generate("internal-ca", SystemTime::now()).expect("authority");
        let files = tempfile::tempdir().expect("temporary directory");
        fs::write(files.path().join("ca.crt"), authority.certificate_pem()).expect("certificate");
        let machine = Self {
            root,
            files,
            certificate: Certificate::read(authority.certificate_pem().as_bytes()).expect("certificate"),
        };
        // So that what is made of the store is there, as on a real one.
        match store {
            Store::Debian => fs::write(machine.path("etc/ssl/certs/ca-certificates.crt"), "mine\n"),
            Store::Fedora => fs::write(machine.path("etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"), "mine\n"),
            Store::MacOs => Ok(()),
        }
        .expect("bundle");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn file(&self) -> PathBuf {
        let system = System::detect(self.root.path(), Path::exists).expect("system");
        system.file(self.certificate.fingerprint)
    }

    fn talk<T>(&self, answers: Answers, what: impl AsyncFnOnce(&mut Conversation<'_>) -> T) -> T {
        let printer = Printer::new(TalkArgs {
            quiet: true,
            verbose: 0,
            color: Color::Never,
            log_format: crate::args::LogFormat::Text,
        });
        let mut conversation = Conversation {
            root: self.root.path(),
            now: Timestamp::now(),
            program: PathBuf::from("/usr/bin/sealway"),
            by_sudo: false,
            answers,
            printer: &printer,
        };
        control_runtime().expect("runtime").block_on(what(&mut conversation))
    }

    fn install(&self, answers: Answers) -> anyhow::Result<Exit> {
        let args = TrustInstallArgs {
            ca: Some(self.files.path().join("ca.crt")),
            state_dir: None,
            consent: ConsentArgs { yes: false },
            output: TEXT,
        };
        self.talk(answers, async |conversation| conversation.install(&args).await)
    }

    fn uninstall(&self, answers: Answers) -> anyhow::Result<Exit> {
        let args = TrustUninstallArgs {
            ca: None,
            consent: ConsentArgs { yes: false },
            output: TEXT,
        };
        self.talk(answers, async |conversation| conversation.uninstall(&args).await)
    }

    /// Every file with its content, apart from the stand-in's notes.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut state = BTreeMap::new();
        let mut folders = vec![self.root.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().expect("folder") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if !["calls", "broken"].contains(&path.file_name().and_then(|name| name.to_str()).expect("name")) {
                    let content = fs::read_to_string(&path).expect("text");
                    state.insert(path, content);
                }
            }
        }
        state
    }

    /// How the stand-in was called; what only looks is left out.
    fn calls(&self) -> usize {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter(|call| !call.contains("find-certificate")).count()
    }
}

fn typed(line: &'static str) -> Answers {
    Answers::Lines(Box::new(Cursor::new(line)))
}

fn refusal(done: anyhow::Result<Exit>) -> Refusal {
    done.expect_err("refused").downcast().expect("a refusal")
}

const TEXT: OutputArgs = OutputArgs {
    format: OutputFormat::Text,
};
const STORES: [Store; 3] = [Store::Debian, Store::Fedora, Store::MacOs];

#[test]
fn in_and_out_leaves_no_trace() {
    for store in STORES {
        let machine = Machine::new(store);
        let before = machine.state();
        assert_eq!(machine.install(typed("y\n")).expect("done"), Exit::Yes, "{store:?}");
        let file = machine.file();
        assert_eq!(fs::read_to_string(&file).expect("file"), machine.certificate.pem());
        assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o777, 0o644);

        // Once more changes nothing, so nobody is asked.
        let (after, calls) = (machine.state(), machine.calls());
        assert_eq!(machine.install(Answers::Nobody).expect("done"), Exit::Yes, "{store:?}");
        assert_eq!((machine.state(), machine.calls()), (after, calls), "{store:?}");

        // The certificate is not at hand any more.
        fs::remove_file(machine.files.path().join("ca.crt")).expect("removed");
        assert_eq!(machine.uninstall(Answers::Yes).expect("done"), Exit::Yes, "{store:?}");
        assert_eq!(machine.state(), before, "{store:?}");
        let calls = machine.calls();
        assert_eq!(machine.uninstall(Answers::Nobody).expect("done"), Exit::Yes, "{store:?}");
        assert_eq!(machine.calls(), calls, "{store:?}");
    }
}

#[test]
fn without_a_yes_nothing_happens() {
    for store in STORES {
        let machine = Machine::new(store);
        let before = machine.state();
        for answer in ["n\n", "\n", "", "yesterday\n"] {
            assert_eq!(machine.install(typed(answer)).expect("done"), Exit::No);
        }
        assert!(matches!(refusal(machine.install(Answers::Nobody)), Refusal::Nobody));
        assert_eq!((machine.state(), machine.calls()), (before, 0), "{store:?}");

        machine.install(Answers::Yes).expect("done");
        let (after, calls) = (machine.state(), machine.calls());
        assert_eq!(machine.uninstall(typed("no\n")).expect("done"), Exit::No);
        assert!(matches!(refusal(machine.uninstall(Answers::Nobody)), Refusal::Nobody));
        assert_eq!((machine.state(), machine.calls()), (after, calls), "{store:?}");
    }
}

#[test]
fn an_update_that_fails_leaves_the_store_as_it_was() {
    for store in [Store::Debian, Store::Fedora] {
        let machine = Machine::new(store);
        let before = machine.state();
        fs::write(machine.path("broken"), "").expect("written");
        let failed = refusal(machine.install(Answers::Yes));
        assert!(matches!(failed, Refusal::Failed(Failure::Status { .. })), "{failed}");
        assert_eq!(machine.state(), before, "{store:?}");

        fs::remove_file(machine.path("broken")).expect("removed");
        machine.install(Answers::Yes).expect("done");
        let installed = machine.state();
        fs::write(machine.path("broken"), "").expect("written");
        let failed = refusal(machine.uninstall(Answers::Yes));
        assert!(matches!(failed, Refusal::Failed(Failure::Status { .. })), "{failed}");
        assert_eq!(machine.state(), installed, "{store:?}");

        // And then the same command works.
        fs::remove_file(machine.path("broken")).expect("removed");
        machine.uninstall(Answers::Yes).expect("done");
        assert_eq!(machine.state(), before, "{store:?}");
    }
}

#[test]
fn a_file_that_somebody_changed_stays() {
    for store in STORES {
        let machine = Machine::new(store);
        machine.install(Answers::Yes).expect("done");
        let more = machine.certificate.pem() + "# mine now\n";
        fs::write(machine.file(), &more).expect("written");
        assert_eq!(machine.uninstall(Answers::Yes).expect("done"), Exit::Yes);
        assert_eq!(fs::read_to_string(machine.file()).expect("file"), more, "{store:?}");
        assert!(matches!(refusal(machine.install(Answers::Yes)), Refusal::Occupied(path) if path == machine.file()));
    }
}

#[test]
fn a_link_of_our_name_is_not_ours() {
    let machine = Machine::new(Store::Debian);
    let elsewhere = machine.files.path().join("copy.crt");
    fs::write(&elsewhere, machine.certificate.pem()).expect("written");
    symlink(&elsewhere, machine.file()).expect("link");
    machine.uninstall(Answers::Yes).expect("done");
    assert!(machine.file().is_symlink() && elsewhere.exists());
}

#[test]
fn links_without_their_file_are_cleared() {
    let machine = Machine::new(Store::Debian);
    machine.install(Answers::Yes).expect("done");
    // As Debian's command has it after `install`, and after an `uninstall` that was killed in the middle.
    let link = machine.path(&format!(
        "etc/ssl/certs/sealway-{}.pem",
        machine.certificate.fingerprint.hex()
    ));
    symlink(machine.file(), link).expect("link");
    fs::remove_file(machine.file()).expect("removed");
    let calls = machine.calls();
    assert_eq!(machine.uninstall(Answers::Yes).expect("done"), Exit::Yes);
    assert_eq!(machine.calls(), calls + 1);
}

#[test]
fn root_alone_may_and_is_named_otherwise() {
    let machine = Machine::new(Store::Debian);
    let folder = machine.path("usr/local/share/ca-certificates");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).expect("permissions");
    let done = machine.install(Answers::Yes);
    if rustix::process::geteuid().is_root() {
        assert_eq!(done.expect("root may write everywhere"), Exit::Yes);
        return;
    }
    let said = refusal(done).to_string();
    let ca = machine.files.path().join("ca.crt");
    let line = format!("`sudo /usr/bin/sealway certs trust install --ca {}`", ca.display());
    assert!(said.contains(&line), "{said}");
}

#[test]
fn a_system_without_a_store_is_told_so() {
    let machine = Machine::new(Store::Debian);
    fs::remove_file(machine.path("etc/debian_version")).expect("removed");
    assert!(matches!(refusal(machine.install(Answers::Yes)), Refusal::NoStore));
    assert!(matches!(refusal(machine.uninstall(Answers::Yes)), Refusal::NoStore));
}
