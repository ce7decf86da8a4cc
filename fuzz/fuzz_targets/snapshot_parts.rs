//! Whatever a peer says instead of parts or of a key is refused or obeyed without a panic, and what was refused changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealway_core::{Assembly, ContentHash, Delta, KeyMaterial, PartKey, Parts};

// Each line is a part: its name, a tab, its bytes. An empty line ends a delta, and a name without a tab is removed.
fuzz_target!(|bytes: &[u8]| {
    if let Some((content, key)) = bytes.split_first_chunk::<32>() {
        let content = ContentHash(*content);
        if let Ok(key) = KeyMaterial::decode(&content, key) {
            assert_eq!(KeyMaterial::decode(&content, &key.encode()).as_ref(), Ok(&key));
        }
    }
    let mut held = Assembly::default();
    let mut delta = Delta::default();
    for line in bytes.split(|byte| *byte == b'\n').chain([&[][..]]) {
        let (name, part) = match line.iter().position(|byte| *byte == b'\t') {
            Some(tab) => (&line[..tab], Some(&line[tab + 1..])),
            None => (line, None),
        };
        match (PartKey::parse(&String::from_utf8_lossy(name)), part) {
            (Some(key), Some(part)) => {
                delta.set.insert(key, part.into());
            }
            (Some(key), None) => {
                delta.remove.insert(key);
            }
            (None, _) => {
                if let Ok(next) = held.apply(&std::mem::take(&mut delta)) {
                    held = next;
                    if let Some(snapshot) = held.snapshot() {
                        // It is a snapshot like any other: it can be taken apart and put together.
                        let parts = Parts::of(snapshot, &Parts::default());
                        let again = Assembly::default().apply(&parts.since([])).expect("our own parts");
                        assert_eq!(again.snapshot(), Some(snapshot));
                    }
                }
            }
        }
    }
});
