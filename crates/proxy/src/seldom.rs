//! Futures that hardly ever have news, beside others that have them all the time.
//!
//! A connection waits for its next bytes and for the end of its listener in one task, so every byte would poll both, and a poll of the
//! latter takes a lock that all connections share. [`Seldom`] polls its future only when that was woken itself.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::scope::lock;

/// A future that is polled at first, and then when it was woken.
pub(crate) struct Seldom<F> {
    future: F,
    wakes: Arc<Wakes>,
    /// Of `wakes`, as the future sees it.
    waker: Waker,
    /// Whom `wakes` wakes.
    task: Option<Waker>,
}

struct Wakes {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        if let Some(task) = &*lock(&self.task) {
            task.wake_by_ref();
        }
    }
}

impl<F: Future + Unpin> Seldom<F> {
    pub(crate) fn new(future: F) -> Self {
        let wakes = Arc::new(Wakes {
            woken: AtomicBool::new(true),
            task: Mutex::default(),
        });
        Self {
            future,
            waker: Waker::from(Arc::clone(&wakes)),
            wakes,
            task: None,
        }
    }
}

impl<F: Future + Unpin> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let same_task = this.task.as_ref().is_some_and(|task| task.will_wake(context.waker()));
        if !same_task {
            this.task = Some(context.waker().clone());
            lock(&this.wakes.task).clone_from(&this.task);
        }
        if !this.wakes.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn neighbours_do_not_poll_it_and_its_own_news_do() {
        let sender = watch::Sender::new(0);
        let mut receiver = sender.subscribe();
        let polls = AtomicUsize::new(0);
        let mut news = pin!(async {
            let mut inner = pin!(receiver.wait_for(|value| *value == 2));
            poll_fn(|context| {
                polls.fetch_add(1, Ordering::Relaxed);
                inner.as_mut().poll(context).map(|found| *found.unwrap())
            })
            .await
        });
        let mut seldom = Seldom::new(news.as_mut());
        let mut rounds = 0;
        let found = poll_fn(|context| {
            if let Poll::Ready(found) = Pin::new(&mut seldom).poll(context) {
                return Poll::Ready(found);
            }
            rounds += 1;
            match rounds {
                50 => sender.send_replace(1),
                100 => sender.send_replace(2),
                // It wakes itself from now on.
                101.. => return Poll::Pending,
                _ => 0,
            };
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!(found.await, 2);
        assert_eq!(polls.load(Ordering::Relaxed), 3);
    }
}
