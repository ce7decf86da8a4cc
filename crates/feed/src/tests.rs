//! Both ends together: over TLS on loopback, and over pipes in memory where time is passed in.

mod attacker;
mod both_ends;
mod kept;
mod kit;
mod over_tls;
mod relayed;
mod time;
