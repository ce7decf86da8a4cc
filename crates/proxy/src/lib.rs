//! The data plane: listeners, ClientHello peek, passthrough relay, drain.
