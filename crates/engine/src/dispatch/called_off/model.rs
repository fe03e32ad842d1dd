//! Every interleaving of a line that calls a job off with the slot that has it, as loom explores them.

use std::future::poll_fn;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::*;

const KEY: Key = Key { slot: 0, serial: 1 };

/// How a slot ended a job.
#[derive(Debug, PartialEq)]
enum Ended {
    NotBegun,
    CalledOff,
    Answered,
}

/// What a slot does with a job whose call never answers by itself.
fn endless(called_off: &CalledOff) -> Ended {
    if called_off.has(KEY) {
        return Ended::NotBegun;
    }
    let mut watch = called_off.watch(KEY);
    loom::future::block_on(poll_fn(|context| watch.poll(context)));
    Ended::CalledOff
}

#[test]
fn a_call_that_waits_always_learns_that_it_is_called_off() {
    loom::model(|| {
        let called_off = Arc::new(CalledOff::new());
        let slot = thread::spawn({
            let called_off = Arc::clone(&called_off);
            move || endless(&called_off)
        });
        called_off.add([KEY]);
        assert_ne!(slot.join().unwrap(), Ended::Answered);
        called_off.forget([KEY]);
        assert!(called_off.is_empty() && called_off.book.lock().waiting.is_empty());
    });
}

#[test]
fn a_job_that_is_put_back_is_found_by_one_of_both() {
    loom::model(|| {
        let called_off = Arc::new(CalledOff::new());
        // The queue of a pool, with or without the job.
        let queue = Arc::new(loom::sync::Mutex::new(false));
        let slot = thread::spawn({
            let (called_off, queue) = (Arc::clone(&called_off), Arc::clone(&queue));
            move || {
                let mut queued = queue.lock().unwrap();
                let seen = called_off.has(KEY);
                *queued = !seen;
                seen
            }
        });
        called_off.add([KEY]);
        let taken = std::mem::take(&mut *queue.lock().unwrap());
        let seen = slot.join().unwrap();
        assert!(taken || seen, "nobody would answer for it");
        assert!(!*queue.lock().unwrap() || !taken);
    });
}

#[test]
fn a_call_that_answers_in_the_same_moment_ends_once() {
    loom::model(|| {
        let called_off = Arc::new(CalledOff::new());
        let answer = Arc::new((AtomicBool::new(false), crate::sync::AtomicWaker::default()));
        let slot = thread::spawn({
            let (called_off, answer) = (Arc::clone(&called_off), Arc::clone(&answer));
            move || {
                let mut watch = called_off.watch(KEY);
                loom::future::block_on(poll_fn(|context| {
                    // The call first, as a slot polls it.
                    answer.1.register(context.waker());
                    if answer.0.load(Ordering::Acquire) {
                        return Poll::Ready(Ended::Answered);
                    }
                    watch.poll(context).map(|()| Ended::CalledOff)
                }))
            }
        });
        let world = thread::spawn({
            let answer = Arc::clone(&answer);
            move || {
                answer.0.store(true, Ordering::Release);
                answer.1.wake();
            }
        });
        called_off.add([KEY]);
        assert_ne!(slot.join().unwrap(), Ended::NotBegun);
        world.join().unwrap();
        assert!(called_off.book.lock().waiting.is_empty());
    });
}
