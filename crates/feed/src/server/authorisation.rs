//! For how long a connection may go on: ten minutes at most, until its next token has been reviewed.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Authorised, End, Peer, Review, Shared, Unauthorised};
use crate::message::{Rejection, Token};

/// However long a token is good for, its pod may have lost its Gateway by then.
const REVIEWED_FOR: Duration = Duration::from_secs(600);
/// A token that comes sooner after the last one is not reviewed: reviews are the API server's work.
const REVIEW_PAUSE: Duration = Duration::from_secs(20);

/// For how long a connection may go on, as its tokens say.
pub(super) struct Authorisation {
    peer: Peer,
    until: Instant,
    review: Option<Review>,
    reviewed: Instant,
}

impl Authorisation {
    pub(super) fn new(authorised: Authorised) -> Self {
        Self {
            until: Instant::now() + authorised.lasts(),
            peer: authorised.peer,
            review: None,
            reviewed: Instant::now(),
        }
    }

    /// Has a new token reviewed.
    pub(super) fn renew(&mut self, shared: &Shared, token: Token) {
        if self.review.is_none() && self.reviewed.elapsed() >= REVIEW_PAUSE {
            self.reviewed = Instant::now();
            self.review = Some(shared.review(token));
        }
    }

    /// Comes when it ends; never otherwise. May be dropped and called again. The token must go on to be the same peer's; while nobody can
    /// say so, what was said before holds until it is too old.
    pub(super) async fn end(&mut self) -> End {
        loop {
            let review = async {
                match &mut self.review {
                    Some(review) => review.await,
                    None => std::future::pending().await,
                }
            };
            let outcome = tokio::select! {
                outcome = review => outcome,
                () = sleep_until(self.until) => return End::Rejected(Rejection::Expired),
            };
            self.review = None;
            match outcome {
                Ok(authorised) if authorised.peer == self.peer => self.until = Instant::now() + authorised.lasts(),
                Ok(_) | Err(Unauthorised::Refused) => return End::Rejected(Rejection::Unauthorised),
                Err(Unauthorised::Unavailable) => {}
            }
        }
    }
}

impl Authorised {
    fn lasts(&self) -> Duration {
        self.valid_for.unwrap_or(REVIEWED_FOR).min(REVIEWED_FOR)
    }
}
