use super::*;

/// A small hello in one record: a name, ALPN, one unknown extension.
fn small_hello() -> Vec<u8> {
    let name = b"Payment.Internal.Example.COM.";
    let mut sni = vec![0, 0];
    sni.extend(((name.len() + 5) as u16).to_be_bytes());
    sni.extend(((name.len() + 3) as u16).to_be_bytes());
    sni.push(0);
    sni.extend((name.len() as u16).to_be_bytes());
    sni.extend(name);
    sni.extend([0, 16, 0, 5, 0, 3, 2, b'h', b'2']);
    sni.extend([0x1a, 0x1a, 0, 0]);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((sni.len() as u16).to_be_bytes());
    body.extend(sni);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

#[test]
fn no_prefix_is_decided_on() {
    let bytes = small_hello();
    let mut parser = ClientHelloParser::new();
    for length in 0..bytes.len() {
        assert_eq!(parser.advance(&bytes[..length]), Progress::NeedMore, "{length}");
    }
    let Progress::Done(hello) = parser.advance(&bytes) else {
        panic!()
    };
    assert_eq!(hello.server_name.name(), Some("payment.internal.example.com"));
    assert_eq!(hello.alpn, [b"h2".as_slice().into()]);
    assert_eq!(hello.raw_bytes, bytes.len());
}
