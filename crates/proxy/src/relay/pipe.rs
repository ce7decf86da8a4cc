//! Pipes for splice(2), borrowed only while bytes are on their way.
//!
//! Each thread keeps a few; together there are never more than [`MOST_PIPES`], since each takes two descriptors and an ordinary user
//! gets few large ones (`/proc/sys/fs/pipe-user-pages-soft`). Who gets none copies. The pipe counts what is in it: EAGAIN from
//! splice(2) does not say whether the socket is empty or the pipe full.

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

pub(super) use platform::Pipe;

#[cfg(target_os = "linux")]
mod platform {
    use std::cell::RefCell;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::ready;

    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
    use tokio::io::Interest;

    use super::{Context, Poll, TcpStream, io};

    /// A borrowed pipe; goes back to its thread when dropped empty, and is closed otherwise.
    pub(in crate::relay) struct Pipe {
        ends: Option<Box<Ends>>,
        held: usize,
    }

    struct Ends {
        read: OwnedFd,
        write: OwnedFd,
        capacity: usize,
    }

    impl Pipe {
        /// A pipe that is large enough to be worth it, or `None`.
        pub(in crate::relay) fn borrow() -> Option<Self> {
            let ends = KEPT.with_borrow_mut(Vec::pop).or_else(Ends::open)?;
            Some(Self {
                ends: Some(ends),
                held: 0,
            })
        }

        pub(in crate::relay) fn is_empty(&self) -> bool {
            self.held == 0
        }

        /// Moves bytes of `source` into the pipe, which must be empty; 0 at the end of the source.
        pub(in crate::relay) fn poll_fill(&mut self, context: &mut Context<'_>, source: &TcpStream) -> Poll<io::Result<usize>> {
            let Some(ends) = &self.ends else { return Poll::Ready(Ok(0)) };
            loop {
                ready!(source.poll_read_ready(context))?;
                let filled = source.try_io(Interest::READABLE, || {
                    Ok(splice(source, None, &ends.write, None, ends.capacity, FLAGS)?)
                });
                match filled {
                    Ok(bytes) => {
                        self.held += bytes;
                        return Poll::Ready(Ok(bytes));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }

        /// Moves bytes of the pipe, which must hold some, into `destination`.
        pub(in crate::relay) fn poll_drain(
            &mut self,
            context: &mut Context<'_>,
            destination: &TcpStream,
        ) -> Poll<io::Result<usize>> {
            let Some(ends) = &self.ends else { return Poll::Ready(Ok(0)) };
            loop {
                ready!(destination.poll_write_ready(context))?;
                let drained = destination.try_io(Interest::WRITABLE, || {
                    Ok(splice(&ends.read, None, destination, None, self.held, FLAGS)?)
                });
                match drained {
                    Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Ok(bytes) => {
                        self.held = self.held.saturating_sub(bytes);
                        return Poll::Ready(Ok(bytes));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        }
    }

    impl Drop for Pipe {
        fn drop(&mut self) {
            if self.held > 0 {
                return;
            }
            if let Some(ends) = self.ends.take() {
                // At the end of a thread the place to keep it is gone already.
                let _ = KEPT.try_with(|kept| {
                    let mut kept = kept.borrow_mut();
                    if kept.len() < KEPT_PER_THREAD {
                        kept.push(ends);
                    }
                });
            }
        }
    }

    impl Ends {
        fn open() -> Option<Box<Self>> {
            if OPEN.fetch_add(1, Ordering::Relaxed) >= MOST_PIPES {
                OPEN.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            let Ok((read, write)) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC) else {
                OPEN.fetch_sub(1, Ordering::Relaxed);
                return None;
            };
            // From here on `Drop` counts it.
            let mut ends = Box::new(Self {
                read,
                write,
                capacity: 0,
            });
            let enlarged = SIZES.iter().find_map(|size| fcntl_setpipe_size(&ends.write, *size).ok());
            ends.capacity = enlarged.or_else(|| fcntl_getpipe_size(&ends.write).ok())?;
            (ends.capacity >= SMALLEST).then_some(ends)
        }
    }

    impl Drop for Ends {
        fn drop(&mut self) {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }

    const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);
    /// Tried in this order.
    const SIZES: [usize; 2] = [1024 * 1024, 256 * 1024];
    /// What every pipe has by default; beyond its share a user gets two pages, which is worse than copying.
    const SMALLEST: usize = 64 * 1024;
    const KEPT_PER_THREAD: usize = 8;
    /// In the whole process.
    const MOST_PIPES: usize = 256;

    static OPEN: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        #[expect(clippy::vec_box, reason = "a borrowed pipe is part of every connection's future, and the box keeps that small")]
        static KEPT: RefCell<Vec<Box<Ends>>> = const { RefCell::new(Vec::new()) };
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::{Context, Poll, TcpStream, io};

    /// There are none: splice(2) is Linux'.
    pub(in crate::relay) enum Pipe {}

    impl Pipe {
        pub(in crate::relay) fn borrow() -> Option<Self> {
            None
        }

        pub(in crate::relay) fn is_empty(&self) -> bool {
            match *self {}
        }

        pub(in crate::relay) fn poll_fill(&mut self, _: &mut Context<'_>, _: &TcpStream) -> Poll<io::Result<usize>> {
            match *self {}
        }

        pub(in crate::relay) fn poll_drain(&mut self, _: &mut Context<'_>, _: &TcpStream) -> Poll<io::Result<usize>> {
            match *self {}
        }
    }
}
