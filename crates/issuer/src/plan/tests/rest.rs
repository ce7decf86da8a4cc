//! Whatever happens, a plan comes to rest.

use super::super::lab::{Lab, ROOT, key, leaf};
use crate::settings::Behaviour;

#[derive(Clone, Debug)]
enum Event {
    /// Seconds, to and fro.
    Clock(i64),
    Leaf(usize, &'static str),
    NoLeaf(usize),
    Root(&'static str),
    Renew(&'static str),
    Tamper(&'static str, &'static str, Option<&'static str>),
    Lost(&'static str),
    Behaviour(Behaviour),
}

/// PEM that holds something else.
const NO_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n";

fn events() -> impl proptest::strategy::Strategy<Value = Vec<Event>> {
    use proptest::prelude::*;
    let secret = || prop::sample::select(vec!["root", "leaf-0", "leaf-1", "leaf-2"]);
    let spec = prop::sample::select(vec![
        "",
        "  duration: 1h\n",
        "  duration: 1h\n  renewBefore: 59m59s\n",
        "  renewBeforePercentage: 99\n",
        "  renewal: {policy: Disabled}\n",
        "  renewal: {policy: RenewBefore, windows: [{cron: '0 3 * * 6', windowDuration: 2h, timezone: Europe/Berlin}]}\n",
        "  isCA: true\n  commonName: sub\n",
        "  secretTemplate: {labels: {a: b}}\n",
        "  additionalOutputFormats: [{type: DER}]\n  keystores: {jks: {create: true, password: secret}}\n",
    ]);
    let root = prop::sample::select(vec!["87600h", "720h", "1h", "20h"]);
    let behaviour = prop::sample::select(vec![Behaviour::Sealway, Behaviour::CertManager]);
    let second = prop_oneof![-40_000_000..40_000_000_i64, -20..4000_i64, 0..2_000_000_i64];
    let part = prop::sample::select(vec!["tls.crt", "tls.key", "ca.crt", "key.der", "keystore.jks"]);
    let content = prop::sample::select(vec![None, Some(""), Some("nonsense"), Some(NO_CERTIFICATE)]);
    let event = prop_oneof![
        5 => second.prop_map(Event::Clock),
        4 => (0..3_usize, spec).prop_map(|(number, spec)| Event::Leaf(number, spec)),
        1 => (0..3_usize).prop_map(Event::NoLeaf),
        1 => root.prop_map(Event::Root),
        1 => secret().prop_map(Event::Renew),
        1 => (secret(), part, content).prop_map(|(secret, part, content)| Event::Tamper(secret, part, content)),
        1 => secret().prop_map(Event::Lost),
        1 => behaviour.prop_map(Event::Behaviour),
    ];
    prop::collection::vec(event, 1..25)
}

fn happen(lab: &mut Lab, event: &Event) {
    match event {
        Event::Clock(seconds) => {
            let span = jiff::SignedDuration::from_secs(*seconds);
            lab.now = lab.now.checked_add(span).unwrap_or(lab.now);
        }
        Event::Leaf(number, spec) => lab.add(&leaf(&format!("leaf-{number}"), spec)),
        Event::NoLeaf(number) => drop(lab.resources.certificates.remove(&key(&format!("shop/leaf-{number}")))),
        Event::Root(duration) => lab.add(&ROOT.replace("87600h", duration)),
        Event::Renew(name) => {
            let asked = crate::issued::Attempt {
                renewal_asked: Some(lab.now),
                ..Default::default()
            };
            lab.issued.attempts.insert(key(&format!("shop/{name}")), asked.into());
        }
        Event::Tamper(name, part, content) => {
            let name = format!("shop/{name}");
            if lab.issued.secrets.contains_key(&key(&name)) {
                lab.tamper(&name, part, *content);
            }
        }
        Event::Lost(name) => drop(lab.issued.secrets.remove(&key(&format!("shop/{name}")))),
        Event::Behaviour(behaviour) => lab.settings.behaviour = *behaviour,
    }
}

proptest::proptest! {
    /// Whatever happens: the same input gives the same plan, its actions lead to a plan without any at the same moment, and it wants to be made
    /// again in the future only.
    #[test]
    fn every_plan_comes_to_rest(events in events()) {
        let mut lab = Lab::new(ROOT);
        for event in events {
            happen(&mut lab, &event);
            let (one, two) = (lab.plan(), lab.plan());
            proptest::prop_assert_eq!(format!("{one:?}"), format!("{two:?}"));
            lab.settle();
        }
    }
}
