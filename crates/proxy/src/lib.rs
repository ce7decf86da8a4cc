//! The data plane: listeners, ClientHello peek, passthrough relay, drain.

pub mod relay;
