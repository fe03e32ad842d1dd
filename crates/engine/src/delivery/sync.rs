//! The atomics and the waker of the seat table, exchanged for loom's when its interleavings are explored.

#[cfg(not(tidemill_loom))]
pub(super) use {
    futures_util::task::AtomicWaker,
    parking_lot::{Mutex, MutexGuard},
    std::sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

#[cfg(tidemill_loom)]
pub(super) use loom_types::*;

#[cfg(tidemill_loom)]
mod loom_types {
    //! Loom's types behind the names and shapes that the table uses.

    pub(in crate::delivery) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    pub(in crate::delivery) use loom::sync::{Arc, MutexGuard};

    /// `futures_util::task::AtomicWaker` in loom's world.
    #[derive(Debug, Default)]
    pub(in crate::delivery) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(in crate::delivery) fn register(&self, waker: &std::task::Waker) {
            self.0.register_by_ref(waker);
        }

        pub(in crate::delivery) fn wake(&self) {
            self.0.wake();
        }
    }

    /// `parking_lot::Mutex` in loom's world.
    #[derive(Debug, Default)]
    pub(in crate::delivery) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in crate::delivery) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no test panics while it holds the lock")
        }
    }
}
