//! Entry point for the fuzz target in `fuzz/`: what samples read through a gateway, and a panic if something that must hold does not.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::backends::https::{HEAD_MAX, named_client, read_head, respond};
use crate::backends::{Answer, postgres};
use crate::clients::{Failure, answer_in};
use crate::wire;

/// The first byte says what the rest is: an HTTP request, an HTTP response, a PostgreSQL start-up, or messages of it.
pub fn exchange(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => request(bytes),
        1 => response(bytes),
        2 => start_up(bytes),
        _ => messages(bytes),
    }
}

fn request(bytes: &[u8]) {
    let read = now(read_head(&mut &*bytes));
    let Ok(Some(head)) = read else {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        return assert!(matches!(read, Ok(None)) && end.is_none_or(|end| end + 4 > HEAD_MAX));
    };
    assert!(bytes.starts_with(&head));
    let client = named_client(&head);
    assert!(
        client.as_ref().is_none_or(|client| !client.contains(['"', '\n'])),
        "{client:?}"
    );
    let answer = Answer {
        backend: "fuzz".to_owned(),
        sni: None,
        client,
    };
    let response = respond(&head, &answer);
    let (status, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    assert!(!body.contains("\r\n\r\n"), "{response}");
    if status.starts_with("HTTP/1.1 200 ") && !body.is_empty() {
        assert!(status.contains(&format!("content-length: {}\r\n", body.len())), "{response}");
        let again = answer_in(response.as_bytes());
        assert!(matches!(again, Ok(again) if again == answer), "{response}");
    }
}

fn response(bytes: &[u8]) {
    match answer_in(bytes) {
        Ok(_) => assert!(bytes.starts_with(b"HTTP/1.1 200")),
        Err(Failure::Status(status)) => assert!(status != 200 && status < 1000),
        Err(failure) => assert!(matches!(failure, Failure::Unexpected(_))),
    }
}

fn start_up(bytes: &[u8]) {
    let Ok(start_up) = now(wire::read_start_up(&mut &*bytes)) else {
        return;
    };
    let Some(negotiation) = start_up.negotiation() else { return };
    let mut rest = negotiation.as_slice();
    let message = now(wire::read_message(&mut rest));
    let Ok(wire::Message { tag: b'v', body }) = message else {
        panic!("what we write we read: {message:?}");
    };
    let names = body.iter().skip(8).filter(|byte| **byte == 0).count();
    assert_eq!(
        body.get(4..8),
        Some(&u32::try_from(names).unwrap_or_default().to_be_bytes()[..])
    );
    assert!(rest.is_empty());
}

fn messages(bytes: &[u8]) {
    let mut rest = bytes;
    let answer = Answer {
        backend: "fuzz".to_owned(),
        sni: None,
        client: None,
    };
    while let before = rest
        && let Ok(message) = now(wire::read_message(&mut rest))
    {
        assert!(message.body.len() <= wire::MESSAGE_MAX);
        // What is read is written the same.
        assert!(before.starts_with(&wire::message(message.tag, &message.body)));
        if let Some(columns) = message.columns() {
            let values: Vec<Option<&str>> = columns.iter().map(Option::as_deref).collect();
            let again = now(wire::read_message(&mut wire::data_row(&values).as_slice()));
            assert_eq!(again.ok().and_then(|again| again.columns()), Some(columns));
        }
        let (code, text) = message.error_fields();
        assert!(!code.contains('\0') && !text.contains('\0'));
        let reply = postgres::reply(&message.text(), &answer);
        let mut replied = reply.as_slice();
        let mut last = None;
        while let Ok(message) = now(wire::read_message(&mut replied)) {
            last = Some(message.tag);
        }
        assert_eq!((replied.is_empty(), last), (true, Some(b'Z')));
    }
}

/// Runs what never waits.
fn now<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn seeds_hold() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/demo");
        let entries = fs::read_dir(directory).expect("seeds");
        let seeds: Vec<Vec<u8>> = entries
            .map(|entry| fs::read(entry.expect("entry").path()).expect("seed"))
            .collect();
        assert!(!seeds.is_empty());
        for seed in seeds {
            for end in 0..=seed.len() {
                super::exchange(&seed[..end]);
            }
        }
    }
}
