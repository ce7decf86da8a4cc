//! Any bytes are refused or opened, by one password only; what was made with any alias and password opens with them.
//!
//! Up to the first zero byte the input is an alias, which is the password too; the rest is a store.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealway_api::{Password, Pkcs12Profile, SecretBytes, Timestamp};
use sealway_issuer::keystore::{KeyParts, derived_salts, jks, pkcs12, subject_text};

const PROFILES: [Pkcs12Profile; 4] = [
    Pkcs12Profile::LegacyRc2,
    Pkcs12Profile::LegacyDes,
    Pkcs12Profile::Modern2023,
    Pkcs12Profile::Modern2026,
];

fuzz_target!(|input: &[u8]| {
    let (alias, store) = match input.iter().position(|byte| *byte == 0) {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[][..]),
    };
    let alias = String::from_utf8_lossy(alias).into_owned();
    let (password, another) = (Password::new(alias.clone()), Password::new(format!("{alias}?")));
    let _ = subject_text(store);
    assert!(!(jks::opens_with(store, &alias, &password) && jks::opens_with(store, &alias, &another)));
    for profile in &PROFILES {
        assert!(!(pkcs12::opens_with(store, profile, &password) && pkcs12::opens_with(store, profile, &another)));
    }

    let parts = KeyParts {
        key: &SecretBytes::new(store.to_vec()),
        chain: &[store.to_vec()],
        authorities: &[],
        created: Timestamp::UNIX_EPOCH,
    };
    if let Ok(made) = jks::key_store(&alias, &parts, &password, &mut derived_salts(input)) {
        assert!(jks::opens_with(made.expose(), &alias, &password));
    }
    let profile = &PROFILES[store.len() % PROFILES.len()];
    let made = pkcs12::key_store(profile, &parts, &password, &mut derived_salts(input)).expect("small enough");
    assert!(pkcs12::opens_with(made.expose(), profile, &password));
});
