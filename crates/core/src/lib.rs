//! The compiler: resources in, snapshots, statuses and problems out. No I/O, no clock.
