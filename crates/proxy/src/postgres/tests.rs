use super::*;

#[test]
fn requests_carry_their_codes() {
    for (request, code) in [(SSL_REQUEST, SSL_REQUEST_CODE), (GSSENC_REQUEST, GSSENC_REQUEST_CODE)] {
        let [length @ .., a, b, c, d] = request;
        assert_eq!((u32::from_be_bytes(length), u32::from_be_bytes([a, b, c, d])), (8, code));
    }
}

#[test]
fn error_response_is_laid_out_as_the_protocol_has_it() {
    let response = error_response("28000", "no\0thing", "use TLS");
    assert_eq!(response, b"E\0\0\0\x2cSFATAL\0VFATAL\0C28000\0Mnothing\0Huse TLS\0\0");
    assert_eq!(response.len(), 1 + 0x2c);
}

#[test]
fn plain_text_is_told_to_use_tls() {
    let response = plain_text_refused();
    let text = String::from_utf8_lossy(&response);
    assert!(text.contains("sslmode=verify-full") && text.contains("sslmode=require"));
}

#[test]
fn every_answer_of_a_server_is_told_apart() {
    assert_eq!(SslAnswer::from_byte(b'S'), SslAnswer::Accepted);
    assert_eq!(SslAnswer::from_byte(b'N'), SslAnswer::Refused);
    assert_eq!(SslAnswer::from_byte(b'E'), SslAnswer::Error);
    assert_eq!(SslAnswer::from_byte(b'H'), SslAnswer::Unexpected(b'H'));
}
