//! How many connections there may be: in all, and from one source.
//!
//! Guards count down when dropped; an entry whose count is 0 is gone. Accepting stops at the most connections that the process has
//! descriptors for, says so once, and goes on when there is room.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::scope::lock;

/// All connections of the data plane.
#[derive(Debug)]
pub(crate) struct Live {
    count: AtomicUsize,
    most: usize,
    /// Somebody waits for connections to end.
    awaited: AtomicBool,
    full: AtomicBool,
    ended: Notify,
}

/// One live connection.
pub(crate) struct LiveGuard(Arc<Live>);

impl Live {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            count: AtomicUsize::new(0),
            most,
            awaited: AtomicBool::new(false),
            full: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    pub(crate) fn enter(self: &Arc<Self>) -> LiveGuard {
        self.count.fetch_add(1, Ordering::SeqCst);
        LiveGuard(Arc::clone(self))
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until one more connection may come. `on_full` is called by the first to find that it may not.
    pub(crate) async fn room(&self, on_full: impl FnOnce()) {
        if self.count() < self.most {
            return;
        }
        if !self.full.swap(true, Ordering::SeqCst) {
            on_full();
            tracing::warn!(
                connections = self.most,
                "as many connections as open descriptors allow: accepting stops until some end (raise the limit: ulimit -n)"
            );
        }
        self.below(self.most).await;
        if self.full.swap(false, Ordering::SeqCst) {
            tracing::info!("accepting connections again");
        }
    }

    /// Waits until there are fewer connections than `number`.
    pub(crate) async fn below(&self, number: usize) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            self.awaited.store(true, Ordering::SeqCst);
            if self.count() < number {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        if self.0.awaited.load(Ordering::SeqCst) {
            self.0.ended.notify_waiters();
        }
    }
}

/// Connections by source address.
#[derive(Debug)]
pub(crate) struct Sources {
    most: Option<usize>,
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
    hasher: std::hash::RandomState,
}

/// One connection of a source.
pub(crate) struct SourceGuard {
    sources: Arc<Sources>,
    source: IpAddr,
}

impl Sources {
    pub(crate) fn new(most: Option<usize>) -> Self {
        Self {
            most,
            shards: Default::default(),
            hasher: std::hash::RandomState::new(),
        }
    }

    /// A place for one more connection of `source`; `Err` when it has as many as it may, `Ok(None)` when nothing is counted.
    pub(crate) fn enter(self: &Arc<Self>, source: IpAddr) -> Result<Option<SourceGuard>, SourceFull> {
        let Some(most) = self.most else { return Ok(None) };
        let source = counted_as(source);
        if let Some(shard) = self.shard(source) {
            let mut shard = lock(shard);
            let count = shard.get(&source).copied().unwrap_or(0);
            if count >= most {
                return Err(SourceFull);
            }
            shard.insert(source, count + 1);
        }
        Ok(Some(SourceGuard {
            sources: Arc::clone(self),
            source,
        }))
    }

    fn shard(&self, source: IpAddr) -> Option<&Mutex<HashMap<IpAddr, usize>>> {
        let hash = usize::try_from(self.hasher.hash_one(source) % SHARDS as u64).unwrap_or(0);
        self.shards.get(hash)
    }
}

/// The source has as many connections as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceFull;

impl Drop for SourceGuard {
    fn drop(&mut self) {
        let Some(shard) = self.sources.shard(self.source) else {
            return;
        };
        let mut shard = lock(shard);
        match shard.get_mut(&self.source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                shard.remove(&self.source);
            }
        }
    }
}

/// One customer of an IPv6 network has a /64 at least, so that is what counts as one source.
fn counted_as(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(sources: &Sources) -> usize {
        sources.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
    }

    #[test]
    fn source_is_full_at_its_limit_and_forgotten_at_zero() {
        let sources = Arc::new(Sources::new(Some(2)));
        let (one, two): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = sources.enter(one).ok().flatten().unwrap();
        let second = sources.enter("::ffff:192.0.2.1".parse().unwrap()).ok().flatten().unwrap();
        assert!(sources.enter(one).is_err());
        let other = sources.enter(two).ok().flatten().unwrap();
        drop(first);
        let third = sources.enter(one).ok().flatten().unwrap();
        assert_eq!(entries(&sources), 2);
        drop((second, third, other));
        assert_eq!(entries(&sources), 0);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let sources = Arc::new(Sources::new(Some(1)));
        let _held = sources.enter("2001:db8::1".parse().unwrap()).ok().flatten().unwrap();
        assert!(sources.enter("2001:db8::ffff:2".parse().unwrap()).is_err());
        assert!(sources.enter("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn nothing_is_counted_without_a_limit() {
        let sources = Arc::new(Sources::new(None));
        assert!(matches!(sources.enter("192.0.2.1".parse().unwrap()), Ok(None)));
        assert_eq!(entries(&sources), 0);
    }

    #[tokio::test]
    async fn full_house_is_said_once_and_room_is_found_when_one_leaves() {
        let live = Arc::new(Live::new(1));
        let guest = live.enter();
        let said = AtomicUsize::new(0);
        let (first, second) = (
            live.room(|| _ = said.fetch_add(1, Ordering::SeqCst)),
            live.room(|| _ = said.fetch_add(1, Ordering::SeqCst)),
        );
        tokio::pin!(first, second);
        for _ in 0..2 {
            assert!(futures_poll(first.as_mut()).is_pending());
            assert!(futures_poll(second.as_mut()).is_pending());
        }
        assert_eq!(said.load(Ordering::SeqCst), 1);
        drop(guest);
        tokio::join!(first, second);
        assert_eq!(live.count(), 0);
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
