//! What counts as a trace header, and that nothing else does.

use proptest::prelude::*;

use super::*;

fn headers(name: &HeaderName, values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn parent_of(values: &[&str]) -> Option<Parent> {
    parent(&headers(&TRACEPARENT, values))
}

fn state_of(values: &[&str]) -> Option<String> {
    tracestate(&headers(&TRACESTATE, values))
}

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn the_specifications_own_example_is_read() {
    let read = parent_of(&[GOOD]).unwrap();
    assert_eq!(read.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(read.span, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert!(read.sampled);
    // Other flags say nothing here.
    assert!(!parent_of(&[&GOOD.replace("-01", "-02")]).unwrap().sampled);
    assert!(parent_of(&[&GOOD.replace("-01", "-ff")]).unwrap().sampled);
}

#[test]
fn what_is_not_well_formed_is_none() {
    let wrong = [
        "",
        "00",
        &GOOD[..54],
        &format!("{GOOD}-00"),
        &format!("{GOOD} "),
        &GOOD.to_uppercase(),
        &GOOD.replacen("00-", "ff-", 1),
        &GOOD.replacen("00-", "0g-", 1),
        &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
        &GOOD.replacen('-', "_", 3),
        &GOOD.replace("-01", "-0x"),
    ];
    for text in wrong {
        assert_eq!(parent_of(&[text]), None, "{text}");
    }
    assert_eq!(parent_of(&[GOOD, GOOD]), None);
}

#[test]
fn a_later_version_may_say_more() {
    let later = GOOD.replacen("00-", "cc-", 1);
    assert_eq!(parent_of(&[&later]), parent_of(&[GOOD]));
    assert_eq!(parent_of(&[&format!("{later}-what-comes")]), parent_of(&[GOOD]));
    assert_eq!(parent_of(&[&format!("{later}.what")]), None);
}

#[test]
fn tracestate_is_joined_and_kept_as_it_is() {
    assert_eq!(
        state_of(&["rojo=00f067aa0ba902b7, ,congo=t61rcWkgMzE", "1t@v=x y"]).as_deref(),
        Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,1t@v=x y")
    );
    assert_eq!(state_of(&[]), None);
    assert_eq!(state_of(&[" , "]), None);
}

#[test]
fn a_member_that_is_wrong_spoils_all() {
    let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
    for text in [
        "a=1,a=2",
        "A=1",
        "a",
        "a=",
        "a=b=c",
        "1a=b",
        "a@1=b",
        "@a=b",
        "a@=b",
        "a =b",
        &many.join(","),
        &format!("{}=v", "k".repeat(257)),
    ] {
        assert_eq!(state_of(&["ok=1", text]), None, "{text}");
    }
    assert!(state_of(&[&many[..32].join(",")]).is_some());
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), sampled: bool) {
        prop_assume!(trace != [0; 16] && span != [0; 8]);
        let written = Parent { trace, span, sampled };
        let headers = HeaderMap::from_iter([(TRACEPARENT, traceparent(&written).unwrap())]);
        prop_assert_eq!(parent(&headers), Some(written));
    }

    #[test]
    fn one_byte_more_or_less_or_other_is_another_or_none(at in 0..55_usize, byte in 0x20..0x7f_u8) {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        if let Some(read) = parent_of(&[&changed]) {
            // What was understood is what stands there, the version and the flags that mean nothing apart.
            let written = traceparent(&read).unwrap();
            prop_assert_eq!(&written.to_str().unwrap()[3..52], &changed[3..52]);
        }
        let mut shorter = GOOD.to_owned();
        shorter.remove(at);
        prop_assert_eq!(parent_of(&[&shorter]), None);
    }
}
