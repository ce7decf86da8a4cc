//! Gateway API, cert-manager and core resources as data.
//!
//! Job: read every object that Sealway looks at, in whatever served version, into one type per kind, and spell conditions and
//! statuses as the specification does. Input: JSON values that a provider has read. Output: [`Resources`] for the compiler, and the
//! shapes that it fills in return ([`Statuses`]).
//! Invariant: reading is lenient. Unknown enum values survive as text, unknown fields do no harm, and nothing here does I/O.

mod certificate;
mod condition;
mod core_v1;
mod gateway;
mod grant;
mod grpc_route;
mod http_route;
mod meta;
mod open_enum;
mod policy;
mod resources;
mod route;
mod session;
mod status;
mod x_backend;
mod x_backend_traffic_policy;
mod x_telemetry_policy;

pub use certificate::*;
pub use condition::*;
pub use core_v1::*;
pub use gateway::*;
pub use grant::*;
pub use grpc_route::*;
pub use http_route::*;
pub use meta::*;
pub use policy::*;
pub use resources::*;
pub use route::*;
pub use session::*;
pub use status::*;
pub use x_backend::*;
pub use x_backend_traffic_policy::*;
pub use x_telemetry_policy::*;
