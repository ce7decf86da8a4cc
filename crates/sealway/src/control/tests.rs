//! Over a real socket.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use sealway_issuer::{RenewRefusal, Renewed, Revoked};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

/// A control socket, and a worker that answers as told.
struct Lab {
    directory: TempDir,
    server: JoinHandle<()>,
    worker: JoinHandle<()>,
}

impl Lab {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let control = Control::bind(directory.path()).expect("bound");
        let (sender, mut commands) = mpsc::channel(4);
        let server = tokio::spawn(control.serve(sender));
        let worker = tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                match command {
                    Command::Renew { certificate, reply } if certificate.name == "cert" => {
                        let renewed = Renewed {
                            secret: ObjectKey::new("payment", "cert-tls"),
                            revision: 2,
                            serial: "0a0b".to_owned(),
                            certificate,
                        };
                        let _ = reply.send(Ok(renewed));
                    }
                    Command::Renew { certificate, reply } => {
                        let nearest = vec!["payment/cert".to_owned()];
                        let _ = reply.send(Err(RenewRefusal::NotFound { certificate, nearest }));
                    }
                    Command::Revoke { serial, reply, .. } => {
                        let revoked = Revoked {
                            serial,
                            certificate: ObjectKey::new("payment", "cert"),
                            authority: sealway_issuer::AuthorityId("ab".repeat(32)),
                            is_listed: true,
                        };
                        let _ = reply.send(Ok(revoked));
                    }
                }
            }
        });
        Self {
            directory,
            server,
            worker,
        }
    }

    async fn ask(&self, asked: Asked) -> Outcome {
        let answer = ask(self.directory.path(), asked).await.expect("asked");
        answer.expect("it runs").outcome
    }

    /// Sends bytes as they are and reads what comes back.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.directory.path().join(SOCKET))
            .await
            .expect("connected");
        // The other side may have heard enough before all is sent.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }
}

fn renew(name: &str) -> Asked {
    Asked::Renew {
        namespace: "payment".to_owned(),
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn what_is_asked_reaches_the_worker_and_the_answer_comes_back() {
    let lab = Lab::start();
    let Outcome::Renewed {
        certificate,
        serial,
        revision,
        ..
    } = lab.ask(renew("cert")).await
    else {
        panic!("renewed")
    };
    assert_eq!((certificate.as_str(), serial.as_str(), revision), ("payment/cert", "0a0b", 2));
    let Outcome::Refused(refused) = lab.ask(renew("crt")).await else {
        panic!("refused")
    };
    assert_eq!(refused.code, "not-found");
    assert!(refused.hint.contains("payment/cert"), "{}", refused.hint);
    let revoke = Asked::Revoke {
        serial: "0a0b".to_owned(),
        reason: "keyCompromise".to_owned(),
    };
    assert!(matches!(lab.ask(revoke).await, Outcome::Revoked { serial, .. } if serial == "0a0b"));
}

#[tokio::test]
async fn lines_that_are_wrong_are_answered_and_cost_nothing_else() {
    let lab = Lab::start();
    assert!(lab.raw(b"nonsense\n").await.contains("malformed"));
    assert!(
        lab.raw(b"{\"version\":1,\"command\":\"explode\"}\n")
            .await
            .contains("malformed")
    );
    assert!(
        lab.raw(b"{\"version\":2,\"command\":\"renew\"}\n")
            .await
            .contains("version 2")
    );
    assert!(lab.raw(b"\xff\xfe\n").await.is_empty());
    // More than a line may have.
    let long = vec![b'a'; 1024 * 1024];
    let answer = lab.raw(&long).await;
    assert!(answer.is_empty() || answer.contains("malformed"), "{answer}");
    assert!(matches!(lab.ask(renew("cert")).await, Outcome::Renewed { .. }));
}

#[tokio::test]
async fn the_socket_is_the_owners_alone_and_goes_with_the_server() {
    let lab = Lab::start();
    let path = lab.directory.path().join(SOCKET);
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(may_ask(1000, 1000) && !may_ask(1001, 1000) && !may_ask(0, 1000));
    let second = Control::bind(lab.directory.path());
    assert!(matches!(second, Err(BindFault::Answered(_))), "{second:?}");
    lab.server.abort();
    assert!(lab.server.await.is_err(), "aborted");
    assert!(!path.exists());
    assert_eq!(ask(lab.directory.path(), renew("cert")).await.expect("nobody"), None);
    lab.worker.abort();
}

#[tokio::test]
async fn a_socket_that_nobody_answers_is_replaced_and_a_file_is_not() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join(SOCKET);
    // As a process leaves it that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(path.exists());
    assert_eq!(ask(directory.path(), renew("cert")).await.expect("nobody"), None);
    drop(Control::bind(directory.path()).expect("replaced"));
    std::fs::write(&path, "precious").expect("written");
    assert!(matches!(Control::bind(directory.path()), Err(BindFault::Occupied(_))));
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "precious");
}

#[tokio::test]
async fn more_connections_than_there_are_slots_wait_their_turn() {
    let lab = Lab::start();
    let path = lab.directory.path().join(SOCKET);
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(UnixStream::connect(&path).await.expect("connected"));
    }
    let mut waiting = Box::pin(lab.ask(renew("cert")));
    let early = timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "every slot is taken");
    drop(silent);
    assert!(matches!(waiting.await, Outcome::Renewed { .. }));
}
