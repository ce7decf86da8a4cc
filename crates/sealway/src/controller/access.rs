//! Who gets what over the feed: a pod's token, reviewed by the API server, leads to its Gateway by the service account.
//!
//! Input: tokens, and the Gateways that there are. Output: what [`sealway_feed::Server`] asks for. Invariant: what a peer says of itself
//! decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use sealway_api::ObjectKey;
use sealway_feed::{Authenticate, Authorised, Peer, Token, Unauthorised};
use sealway_provider::kube::{Client, TokenOwner, Unanswered, review_token};

/// For whom tokens of proxies and controllers are made.
pub(crate) const AUDIENCE: &str = "sealway.dev/feed";

/// Gateways by the service account of their proxies; `None` before they are known.
#[derive(Clone, Default)]
pub(crate) struct Access {
    accounts: Arc<RwLock<Option<BTreeMap<ObjectKey, ObjectKey>>>>,
}

impl Access {
    /// Says which Gateways there are.
    pub(crate) fn set(&self, accounts: BTreeMap<ObjectKey, ObjectKey>) {
        if let Ok(mut known) = self.accounts.write() {
            *known = Some(accounts);
        }
    }

    /// What the feed asks. `controllers`: the service account of this installation's controllers.
    pub(crate) fn authenticate(&self, client: Client, controllers: ObjectKey) -> Authenticate {
        let access = self.clone();
        Arc::new(move |token: Token| {
            let (access, client, controllers) = (access.clone(), client.clone(), controllers.clone());
            Box::pin(async move {
                match review_token(&client, token.expose(), AUDIENCE).await {
                    Ok(Some(owner)) => access.peer(owner, &controllers),
                    Ok(None) => Err(Unauthorised::Refused),
                    Err(Unanswered::Unreachable(error)) => {
                        tracing::warn!(error, "a token cannot be reviewed; its pod tries again");
                        Err(Unauthorised::Unavailable)
                    }
                    Err(error) => {
                        tracing::warn!(%error, "tokens cannot be reviewed: may the controller create TokenReviews?");
                        Err(Unauthorised::Unavailable)
                    }
                }
            })
        })
    }

    fn peer(&self, owner: TokenOwner, controllers: &ObjectKey) -> Result<Authorised, Unauthorised> {
        let TokenOwner { service_account, pod } = owner;
        let peer = if service_account == *controllers {
            Peer::Controller { pod }
        } else {
            let accounts = self.accounts.read().map_err(|_| Unauthorised::Unavailable)?;
            let accounts = accounts.as_ref().ok_or(Unauthorised::Unavailable)?;
            let Some(gateway) = accounts.get(&service_account).cloned() else {
                tracing::warn!(%service_account, pod, "a pod that is no Gateway's asks for a configuration");
                return Err(Unauthorised::Refused);
            };
            Peer::Proxy { gateway, pod }
        };
        Ok(Authorised { peer, valid_for: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(namespace: &str, name: &str) -> TokenOwner {
        TokenOwner {
            service_account: ObjectKey::new(namespace, name),
            pod: "p".to_owned(),
        }
    }

    #[test]
    fn a_service_account_leads_to_its_gateway_and_to_no_other() {
        let access = Access::default();
        let controllers = ObjectKey::new("sealway-system", "sealway-controller");
        let peer = |namespace: &str, name: &str| access.peer(owner(namespace, name), &controllers).map(|it| it.peer);
        assert_eq!(
            peer("a", "sealway-edge"),
            Err(Unauthorised::Unavailable),
            "nothing is known yet"
        );
        access.set(BTreeMap::from([(
            ObjectKey::new("a", "sealway-edge"),
            ObjectKey::new("a", "edge"),
        )]));
        let proxy = Peer::Proxy {
            gateway: ObjectKey::new("a", "edge"),
            pod: "p".to_owned(),
        };
        assert_eq!(peer("a", "sealway-edge"), Ok(proxy));
        assert_eq!(peer("b", "sealway-edge"), Err(Unauthorised::Refused));
        assert_eq!(peer("a", "sealway-controller"), Err(Unauthorised::Refused));
        let controller = Peer::Controller { pod: "p".to_owned() };
        assert_eq!(peer("sealway-system", "sealway-controller"), Ok(controller));
    }
}
