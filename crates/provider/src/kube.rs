//! Kubernetes as a source of resources, and where statuses go.
//!
//! Job: watch the API server, write statuses as the lease holder, and tell problems as Events. Input: a [`Client`]. Output: the same
//! loads that manifests give. Invariant: nothing here is on the way of a connection; an API server that is slow or gone costs news only.

use std::path::Path;
use std::time::Duration;

pub use self::apply::{Applied, AppliedByGateway, Needed, Provisioner};
pub use self::discovery::Served;
pub use self::events::{EventSettings, Events};
pub use self::features::follow_features;
pub use self::lease::{Election, ElectionSettings, FEED_ADDRESS_ANNOTATION, Holder, Leadership, LeaseTiming};
pub use self::own::{OwnSecret, TokenOwner, Unanswered, pod_image, read_secret, review_token, service_addresses, write_secret};
use self::pause::Backoff;
pub use self::referenced::referenced;
pub use self::source::{Scope, Source};
pub use self::status::{StatusWriter, WriterSettings};
pub use self::stored::StoredStatuses;
pub use ::kube::Client;
use ::kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use ::kube::{Config, Error};

mod apply;
mod call;
mod discovery;
mod events;
mod features;
mod follow;
mod kinds;
mod lease;
mod own;
mod pause;
mod raw;
mod referenced;
#[cfg(test)]
mod rights;
mod source;
mod status;
mod store;
mod stored;

/// Waits between attempts to reach the API server.
const RECONNECT: Backoff = Backoff {
    first: Duration::from_millis(200),
    most: Duration::from_secs(10),
};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file is missing or broken.
    #[error("{path}: {error}; name another with KUBECONFIG or --kubeconfig", path = .path.display())]
    Kubeconfig {
        /// As it was given.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: Box<KubeconfigError>,
    },
    /// Neither a kubeconfig nor a service account.
    #[error("no API server to talk to: {0}; run in a pod with a service account, or name a file with --kubeconfig")]
    Nowhere(Box<InferConfigError>),
    /// Its certificates or credentials cannot be used.
    #[error("the API server's address, certificates or credentials cannot be used: {0}; mend the kubeconfig")]
    Unusable(Box<Error>),
}

/// A client of the API server that `kubeconfig` names; without one, as kubectl finds it, and then as pods do.
///
/// # Errors
/// When there is nothing to go by. The API server itself is not asked.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let mut config = match kubeconfig {
        Some(path) => {
            let unreadable = |error| ClientError::Kubeconfig {
                path: path.to_path_buf(),
                error: Box::new(error),
            };
            let file = Kubeconfig::read_from(path).map_err(unreadable)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options).await.map_err(unreadable)?
        }
        None => Config::infer().await.map_err(|error| ClientError::Nowhere(Box::new(error)))?,
    };
    // Who asks knows best when to ask again.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).map_err(|error| ClientError::Unusable(Box::new(error)))
}
