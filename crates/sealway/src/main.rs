//! A Kubernetes Gateway API gateway that specialises in TLS.
fn main() {}
