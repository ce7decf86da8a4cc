use super::{SubjectParts, literal_subject, object_identifier, subject};

fn der(json: &str) -> String {
    let bytes = subject(&serde_json::from_str(json).unwrap()).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn texts_are_printable_when_they_can_be() {
    assert_eq!(der(r#"{"commonName": "a b"}"#), "300e310c300a06035504031303612062");
    assert_eq!(
        der(r#"{"commonName": "*.a"}"#),
        "300e310c300a060355040 30c032a2e61".replace(' ', "")
    );
    assert_eq!(
        der(r#"{"commonName": "ü"}"#),
        "300d310b3009060355040 30c02c3bc".replace(' ', "")
    );
    assert_eq!(der("{}"), "3000");
}

#[test]
fn several_values_make_one_relative_name_in_ders_order() {
    let parts = |json: &str| SubjectParts::of(&subject(&serde_json::from_str(json).unwrap()).unwrap());
    let made = parts(r#"{"subject": {"organizations": ["long name", "b", "a", "b"]}}"#);
    assert_eq!(made.organizations, ["a", "b", "b", "long name"], "shortest first");
    let literal = parts(r#"{"literalSubject": "CN=one,O=x+O=y,CN=two"}"#);
    assert_eq!(
        (literal.common_name.as_str(), literal.organizations),
        ("one", vec!["x".to_owned(), "y".to_owned()]),
        "the last of the DER"
    );
    assert_eq!(SubjectParts::of(b"garbage"), SubjectParts::default());
}

#[test]
fn literal_subjects_are_read_from_the_right() {
    let read = literal_subject(r" CN = a\,b\20 ,O=#0c0178+1.2=\ y\ ;ST=").unwrap();
    let read: Vec<Vec<_>> = read
        .iter()
        .map(|name| {
            name.iter()
                .map(|one| (one.kind.as_deref(), std::str::from_utf8(&one.value).unwrap()))
                .collect()
        })
        .collect();
    assert_eq!(
        read,
        [
            vec![(Some("2.5.4.8"), "")],
            vec![(Some("2.5.4.10"), "x"), (Some("1.2"), " y ")],
            vec![(Some("2.5.4.3"), "a,b ")]
        ]
    );
    assert_eq!(literal_subject(" \t").unwrap().len(), 0);
    assert_eq!(
        literal_subject("cn=a").unwrap()[0][0].kind,
        None,
        "names of attributes are in capitals"
    );
}

#[test]
fn a_hexadecimal_value_must_be_one_string() {
    for (text, fault) in [
        ("CN=#", "failed to decode BER encoding: unexpected EOF"),
        ("CN=#0c", "failed to decode BER encoding: unexpected EOF"),
        ("CN=#0c0578", "failed to decode BER encoding: unexpected EOF"),
        (
            "CN=#0cg",
            "failed to decode BER encoding: encoding/hex: invalid byte: U+0067 'g'",
        ),
        (
            "CN=#3003130178",
            "failed to decode BER encoding: only a string can be a value",
        ),
        ("CN=#0c80", "failed to decode BER encoding: its length cannot be read"),
        ("CN=#0c84ffffffff", "failed to decode BER encoding: its length cannot be read"),
    ] {
        assert_eq!(literal_subject(text).unwrap_err(), fault, "{text}");
    }
    assert_eq!(literal_subject("CN=#0c810178").unwrap()[0][0].value, b"x");
}

#[test]
fn object_identifiers_are_checked_as_go_checks_them() {
    assert_eq!(object_identifier("2.5.4.3"), Some(vec![0x55, 4, 3]));
    assert_eq!(object_identifier("2.999"), Some(vec![0x88, 0x37]));
    assert_eq!(
        object_identifier("1.2.2147483647"),
        Some(vec![0x2a, 0x87, 0xff, 0xff, 0xff, 0x7f])
    );
    for text in [
        "",
        "1",
        "3.1",
        "1.40",
        "1.2.-1",
        "1.2.",
        "1.2.2147483648",
        "1.2.x",
        "2.2147483647",
        "1..2",
    ] {
        assert_eq!(object_identifier(text), None, "{text}");
    }
}
