//! The data plane: listeners, ClientHello peek, passthrough relay, drain.

pub mod client_hello;
pub mod postgres;
pub mod preface;
pub mod proxy_protocol;
pub mod relay;
