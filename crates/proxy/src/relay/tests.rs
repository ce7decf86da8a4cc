//! Both directions over real sockets.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::direction::{BULK, Direction};
use super::*;

/// The far ends of a relay that runs in a task of its own.
struct Rig {
    client: TcpStream,
    backend: TcpStream,
    traffic: std::sync::Arc<Traffic>,
    relay: tokio::task::JoinHandle<RelayEnd>,
}

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

async fn rig(idle: Option<Duration>) -> Rig {
    let (client, mut front) = connected().await;
    let (mut back, backend) = connected().await;
    let traffic = std::sync::Arc::new(Traffic::default());
    let counted = std::sync::Arc::clone(&traffic);
    let relay = tokio::spawn(async move { relay(&mut front, &mut back, idle, &counted).await });
    Rig {
        client,
        backend,
        traffic,
        relay,
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), work).await.expect("took too long")
}

fn pattern(length: usize) -> Vec<u8> {
    // A period that no buffer size divides, so that a shifted or repeated block shows.
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

#[tokio::test]
async fn client_half_close_reaches_backend_and_answer_still_comes() {
    let Rig {
        mut client,
        mut backend,
        traffic,
        relay,
    } = rig(None).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    within(backend.read_to_end(&mut question)).await.unwrap();
    assert_eq!(question, b"question");
    backend.write_all(b"a late answer").await.unwrap();
    drop(backend);
    let mut answer = Vec::new();
    within(client.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"a late answer");
    assert!(matches!(within(relay).await.unwrap(), RelayEnd::Closed));
    assert_eq!((traffic.upward.delivered(), traffic.downward.delivered()), (8, 13));
}

#[tokio::test]
async fn backend_half_close_reaches_client_and_upload_goes_on() {
    let Rig {
        mut client,
        mut backend,
        relay,
        ..
    } = rig(None).await;
    backend.write_all(b"greeting").await.unwrap();
    backend.shutdown().await.unwrap();
    let mut greeting = Vec::new();
    within(client.read_to_end(&mut greeting)).await.unwrap();
    assert_eq!(greeting, b"greeting");
    client.write_all(b"upload").await.unwrap();
    drop(client);
    let mut upload = Vec::new();
    within(backend.read_to_end(&mut upload)).await.unwrap();
    assert_eq!(upload, b"upload");
    assert!(matches!(within(relay).await.unwrap(), RelayEnd::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_arrives_intact_both_ways_and_counts_stay_live() {
    let Rig {
        client,
        backend,
        traffic,
        relay,
    } = rig(Some(Duration::from_secs(30))).await;
    let sent = std::sync::Arc::new(pattern(32 * 1024 * 1024));
    let (mut client_read, mut client_write) = client.into_split();
    let (mut backend_read, mut backend_write) = backend.into_split();
    let (up, down) = (std::sync::Arc::clone(&sent), std::sync::Arc::clone(&sent));
    let half = sent.len() / 2;
    let (go_on, mut went) = tokio::sync::watch::channel(false);
    let upload = tokio::spawn(async move {
        client_write.write_all(&up[..half]).await.unwrap();
        went.wait_for(|on| *on).await.unwrap();
        client_write.write_all(&up[half..]).await.unwrap();
    });
    let download = tokio::spawn(async move { backend_write.write_all(&down).await.unwrap() });
    let received_by_client = tokio::spawn(async move {
        let mut bytes = Vec::new();
        client_read.read_to_end(&mut bytes).await.unwrap();
        bytes
    });
    let mut received = vec![0; half];
    within(backend_read.read_exact(&mut received)).await.unwrap();
    // The connection is open and waits, yet what was delivered is counted.
    within(async {
        while traffic.upward.delivered() < half as u64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(traffic.upward.delivered(), half as u64);
    go_on.send(true).unwrap();
    within(backend_read.read_to_end(&mut received)).await.unwrap();
    within(upload).await.unwrap();
    within(download).await.unwrap();
    assert!(received == *sent, "upload differs");
    assert!(within(received_by_client).await.unwrap() == *sent, "download differs");
    assert!(matches!(within(relay).await.unwrap(), RelayEnd::Closed));
    assert_eq!(traffic.downward.delivered(), sent.len() as u64);
}

/// Drives one direction by hand: `wait` polls it until it has moved so many bytes.
struct OneWay {
    direction: Direction,
    source: TcpStream,
    destination: TcpStream,
    meter: Meter,
}

impl OneWay {
    async fn wait_moved(&mut self, bytes: u64) {
        within(poll_fn(|context| {
            let flow = self
                .direction
                .poll(context, &mut self.source, &mut self.destination, &self.meter, false);
            assert!(flow.is_pending(), "ended early");
            if self.direction.moved() >= bytes {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
        .await;
    }
}

#[tokio::test]
async fn direction_splices_bulk_copies_small_and_holds_nothing_when_drained() {
    let (mut client, source) = connected().await;
    let (destination, mut backend) = connected().await;
    let mut way = OneWay {
        direction: Direction::default(),
        source,
        destination,
        meter: Meter::default(),
    };
    let mut moved = 0;
    let chunk = pattern(BULK / 8);
    let mut received = vec![0; chunk.len()];
    // Each chunk goes all the way before the next one, so that its size is the size of the read.
    for _ in 0..16 {
        client.write_all(&chunk).await.unwrap();
        moved += chunk.len() as u64;
        way.wait_moved(moved).await;
        within(backend.read_exact(&mut received)).await.unwrap();
        assert!(received == chunk);
        assert!(way.direction.holds_nothing());
    }
    assert_eq!(way.direction.is_splicing(), cfg!(target_os = "linux"));
    for _ in 0..32 {
        client.write_all(b"small").await.unwrap();
        moved += 5;
        way.wait_moved(moved).await;
        within(backend.read_exact(&mut received[..5])).await.unwrap();
    }
    assert!(!way.direction.is_splicing(), "small messages are copied again");
    assert!(way.direction.holds_nothing());
    assert_eq!(way.meter.delivered(), moved);
}

#[tokio::test]
async fn slow_destination_gets_everything_that_was_in_hand() {
    for splicing in [false, true] {
        let (mut client, source) = connected().await;
        let (destination, mut backend) = connected().await;
        let mut way = OneWay {
            direction: Direction::default(),
            source,
            destination,
            meter: Meter::default(),
        };
        if splicing {
            way.direction.start_splicing();
        }
        let sent = pattern(24 * 1024 * 1024);
        let bytes = sent.clone();
        let sender = tokio::spawn(async move {
            client.write_all(&bytes).await.unwrap();
            client
        });
        // Nobody reads, so it must block with something in hand.
        within(poll_fn(|context| {
            let flow = way
                .direction
                .poll(context, &mut way.source, &mut way.destination, &way.meter, false);
            assert!(flow.is_pending());
            if way.direction.holds_nothing() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }))
        .await;
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            backend.read_to_end(&mut received).await.unwrap();
            received
        });
        way.wait_moved(sent.len() as u64).await;
        assert!(way.direction.holds_nothing());
        drop(within(sender).await.unwrap());
        drop(way);
        assert!(within(reader).await.unwrap() == sent, "splicing: {splicing}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_in_both_directions_ends_at_idle_timeout() {
    let rig = rig(Some(Duration::from_secs(600))).await;
    let begun = Instant::now();
    assert!(matches!(rig.relay.await.unwrap(), RelayEnd::Idle));
    assert_eq!(begun.elapsed().as_secs(), 600);
}

#[tokio::test]
async fn bytes_in_one_direction_keep_connection_alive() {
    let mut rig = rig(Some(Duration::from_millis(400))).await;
    let begun = Instant::now();
    let mut buffer = [0; 4];
    while begun.elapsed() < Duration::from_millis(1200) {
        rig.client.write_all(b"tick").await.unwrap();
        within(rig.backend.read_exact(&mut buffer)).await.unwrap();
        let _ = timeout(Duration::from_millis(40), rig.client.read(&mut buffer)).await;
    }
    assert!(!rig.relay.is_finished());
    assert!(matches!(within(rig.relay).await.unwrap(), RelayEnd::Idle));
}

#[tokio::test(start_paused = true)]
async fn silent_client_of_ended_backend_does_not_get_whole_idle_timeout() {
    let Rig {
        client, backend, relay, ..
    } = rig(Some(Duration::from_secs(3600))).await;
    let begun = Instant::now();
    drop(backend);
    assert!(matches!(relay.await.unwrap(), RelayEnd::Idle));
    assert_eq!(begun.elapsed(), SILENCE_AFTER_BACKEND_END);
    drop(client);
}

#[tokio::test]
async fn reset_names_its_side() {
    let rig_one = rig(None).await;
    rig_one.client.set_zero_linger().unwrap();
    drop(rig_one.client);
    let end = within(rig_one.relay).await.unwrap();
    assert!(matches!(end, RelayEnd::Failed { side: Side::Client, .. }), "{end:?}");

    let rig_two = rig(None).await;
    rig_two.backend.set_zero_linger().unwrap();
    drop(rig_two.backend);
    let end = within(rig_two.relay).await.unwrap();
    assert!(matches!(end, RelayEnd::Failed { side: Side::Backend, .. }), "{end:?}");
}

#[tokio::test]
async fn last_words_of_a_backend_that_takes_nothing_more_are_delivered() {
    for unread in [true, false] {
        let Rig {
            mut client,
            mut backend,
            relay,
            ..
        } = rig(None).await;
        client.write_all(b"a request").await.unwrap();
        if unread {
            // Closing with unread bytes resets at once; otherwise the next byte from the client does it.
            backend.peek(&mut [0]).await.unwrap();
        }
        backend.write_all(b"alert").await.unwrap();
        drop(backend);
        let _ = client.write_all(b"more").await;
        let mut answer = [0; 5];
        within(client.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"alert");
        // Whichever byte it is that the backend answers with a reset.
        while !relay.is_finished() {
            let _ = client.write_all(b"more").await;
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            within(relay).await.unwrap(),
            RelayEnd::Failed { side: Side::Backend, .. }
        ));
    }
}

#[tokio::test]
async fn relay_future_is_small() {
    let (mut near, mut far) = connected().await;
    let traffic = Traffic::default();
    let future = relay(&mut near, &mut far, Some(Duration::from_secs(1)), &traffic);
    assert!(size_of_val(&future) <= 512, "{} bytes", size_of_val(&future));
}
