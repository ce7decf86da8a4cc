//! Stores against those that go-pkcs12 0.7.2 and keystore-go 4.5.0 wrote with the salts 0, 1, 2, …: `testdata/keystore/README.md`.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sealway_api::{Password, Pkcs12Profile, SecretBytes, Timestamp};

use super::{KeyParts, StoreFault, Trusted, derived_salts, jks, pkcs12, random_salts, subject_text};

const PROFILES: [Pkcs12Profile; 4] = [
    Pkcs12Profile::LegacyRc2,
    Pkcs12Profile::LegacyDes,
    Pkcs12Profile::Modern2023,
    Pkcs12Profile::Modern2026,
];

/// Where the content begins that the MAC is made of: behind the headers of a PKCS#12 file of less than 64 KiB.
const AUTHENTICATED_FROM: usize = 30;

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/keystore/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn certificates(name: &str) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(&file(name))
        .map(|certificate| certificate.expect("PEM").to_vec())
        .collect()
}

fn key() -> SecretBytes {
    let key = PrivatePkcs8KeyDer::from_pem_slice(&file("key.pem")).expect("a key");
    SecretBytes::new(key.secret_pkcs8_der().to_vec())
}

fn created() -> Timestamp {
    "2026-11-28T12:00:00.123Z".parse().expect("a time")
}

fn password() -> Password {
    Password::new("pass word!".to_owned())
}

fn authorities(alias: impl Fn(usize, &[u8]) -> String) -> Vec<Trusted> {
    let certificates = certificates("ca.pem");
    let authorities = certificates.into_iter().enumerate().map(|(index, certificate)| Trusted {
        alias: alias(index, &certificate),
        certificate,
        created: created(),
    });
    authorities.collect()
}

fn numbered() -> Vec<Trusted> {
    authorities(|index, _| if index == 0 { "ca".to_owned() } else { format!("ca-{index}") })
}

fn named() -> Vec<Trusted> {
    authorities(|_, certificate| subject_text(certificate).expect("a subject"))
}

fn counting() -> impl FnMut(&mut [u8]) -> Result<(), StoreFault> {
    let mut next = 0_u8;
    move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
        Ok(())
    }
}

fn with_key<T>(run: impl FnOnce(&KeyParts<'_>) -> T) -> T {
    run(&KeyParts {
        key: &key(),
        chain: &certificates("chain.pem"),
        authorities: &numbered(),
        created: created(),
    })
}

#[test]
fn pkcs12_has_the_bytes_of_go_pkcs12() {
    for profile in PROFILES {
        let store = with_key(|parts| pkcs12::key_store(&profile, parts, &password(), &mut counting())).expect("a store");
        assert!(
            store.expose() == file(&format!("{profile}.keystore.p12")),
            "{profile} keystore"
        );
        let store = pkcs12::trust_store(&profile, &named(), &password(), &mut counting()).expect("a store");
        assert!(store == file(&format!("{profile}.truststore.p12")), "{profile} truststore");
    }
    let none = Password::new(String::new());
    let store = pkcs12::trust_store(&Pkcs12Profile::Modern2023, &named(), &none, &mut random_salts).expect("a store");
    assert!(store == file("passwordless.truststore.p12"));
}

#[test]
fn an_unknown_profile_is_the_default() {
    let unknown = Pkcs12Profile::Other("Modern2099".to_owned());
    let store = with_key(|parts| pkcs12::key_store(&unknown, parts, &password(), &mut counting())).expect("a store");
    assert!(store.expose() == file("LegacyRC2.keystore.p12"));
}

#[test]
fn jks_has_the_bytes_of_keystore_go() {
    let store = with_key(|parts| jks::key_store("My-Alias", parts, &password(), &mut counting())).expect("a store");
    assert!(store.expose() == file("keystore.jks"));
    assert!(jks::trust_store(&numbered(), &password()).expect("a store") == file("truststore.jks"));
}

#[test]
fn a_store_opens_with_its_own_password_alias_and_profile_only() {
    let other = Password::new("pass word?".to_owned());
    for profile in PROFILES {
        let store = with_key(|parts| pkcs12::key_store(&profile, parts, &password(), &mut random_salts)).expect("a store");
        for asked in PROFILES {
            assert_eq!(
                pkcs12::opens_with(store.expose(), &asked, &password()),
                asked == profile,
                "{asked}"
            );
        }
        assert!(!pkcs12::opens_with(store.expose(), &profile, &other));
    }
    let store = with_key(|parts| jks::key_store("alias", parts, &password(), &mut random_salts)).expect("a store");
    assert!(jks::opens_with(store.expose(), "ALIAS", &password()));
    assert!(!jks::opens_with(store.expose(), "alias", &other));
    assert!(!jks::opens_with(store.expose(), "ca", &password()), "an authority is no key");
}

/// Where Go would lose the key, or refuse.
#[test]
fn odd_aliases_and_passwords_are_taken() {
    let password = Password::new("pässwörd 🔑".to_owned());
    for alias in ["ca", "🔑", "\0"] {
        let store = with_key(|parts| jks::key_store(alias, parts, &password, &mut random_salts)).expect("a store");
        assert!(jks::opens_with(store.expose(), alias, &password), "{alias:?}");
    }
    for profile in PROFILES {
        let store = with_key(|parts| pkcs12::key_store(&profile, parts, &password, &mut random_salts)).expect("a store");
        assert!(pkcs12::opens_with(store.expose(), &profile, &password), "{profile}");
    }
    let long = "x".repeat(usize::from(u16::MAX) + 1);
    let refused = with_key(|parts| jks::key_store(&long, parts, &password, &mut random_salts));
    assert_eq!(refused, Err(StoreFault::Alias(long)));
}

#[test]
fn a_store_that_was_cut_or_changed_does_not_open() {
    for profile in PROFILES {
        let store = file(&format!("{profile}.keystore.p12"));
        assert!(pkcs12::opens_with(&store, &profile, &password()));
        for place in (0..store.len()).step_by(13) {
            assert!(!pkcs12::opens_with(&store[..place], &profile, &password()), "cut at {place}");
            let mut changed = store.clone();
            changed[place] ^= 1;
            let opens = pkcs12::opens_with(&changed, &profile, &password());
            // Before it stands only what kind of data follows, which is not looked at.
            assert!(!opens || place < AUTHENTICATED_FROM, "changed at {place}");
        }
    }
    let store = file("keystore.jks");
    for place in 0..store.len() {
        assert!(!jks::opens_with(&store[..place], "my-alias", &password()), "cut at {place}");
        let mut changed = store.clone();
        changed[place] ^= 1;
        assert!(!jks::opens_with(&changed, "my-alias", &password()), "changed at {place}");
    }
}

#[test]
fn derived_salts_depend_on_the_content_alone() {
    let draw = |content: &[u8]| {
        let mut salts = derived_salts(content);
        let (mut first, mut second) = ([0; 40], [0; 16]);
        salts(&mut first).and_then(|()| salts(&mut second)).expect("salts");
        (first, second)
    };
    assert_eq!(draw(b"a"), draw(b"a"));
    assert_ne!(draw(b"a"), draw(b"b"));
    let (first, second) = draw(b"a");
    assert_ne!(first[..16], second);
    assert_ne!(first[..8], first[32..]);
}

#[test]
fn subjects_read_as_in_go() {
    let subjects: Vec<String> = [certificates("chain.pem"), certificates("ca.pem"), certificates("bare.pem")]
        .concat()
        .iter()
        .map(|certificate| subject_text(certificate).expect("a subject"))
        .collect();
    assert_eq!(
        subjects,
        [
            "SERIALNUMBER=12345678,CN=cert-manager,OU=Unit \\\"1\\\"+OU=\\ leading,\
             O=Example Organization 1+O=Example Organization 2,POSTALCODE=12345+POSTALCODE=55555,\
             STREET=123 Example St+STREET=1725 Slough Avenue\\, Suite 200\\, Scranton Business Park,\
             L=City 1,ST=Province 1+ST=Province 2,C=DE+C=FR",
            "CN=Intermediate",
            "CN=Root\\, of all,O=Example \\<Org\\>+O=Zweite Ölmühle,C=DE",
            "SERIALNUMBER=42,CN=Next root,0.9.2342.19200300.100.1.25=#13076578616d706c65",
            "",
        ]
    );
    assert_eq!(subject_text(b"no certificate"), Err(StoreFault::Certificate));
}
