//! The atomics, the lock and the waker of what several threads share, exchanged for loom's when interleavings are explored.

#[cfg(not(tidemill_loom))]
pub(crate) use {
    futures_util::task::AtomicWaker,
    parking_lot::{Mutex, MutexGuard},
    std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

#[cfg(tidemill_loom)]
pub(crate) use loom_types::*;

#[cfg(tidemill_loom)]
mod loom_types {
    //! Loom's types behind the names and shapes that are used here.

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
    pub(crate) use loom::sync::{Arc, MutexGuard};

    /// `futures_util::task::AtomicWaker` in loom's world.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn register(&self, waker: &std::task::Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }

    /// `parking_lot::Mutex` in loom's world.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no test panics while it holds the lock")
        }
    }
}
