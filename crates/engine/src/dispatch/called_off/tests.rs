//! Who is told, and that nothing is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Order};
use std::task::Wake;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Order::SeqCst);
    }
}

fn key(serial: u64) -> Key {
    Key { slot: serial as usize % 3, serial }
}

#[test]
fn only_the_calls_that_are_meant_are_woken_and_nothing_stays() {
    let called_off = CalledOff::new();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let context = Context::from_waker(&waker);
    let (mut first, mut second) = (called_off.watch(key(1)), called_off.watch(key(2)));
    assert!(
        first.poll(&context).is_pending() && first.poll(&context).is_pending() && second.poll(&context).is_pending()
    );
    assert_eq!(called_off.book.lock().waiting.len(), 2, "a call waits in one place");
    called_off.add([key(2), key(4)]);
    assert_eq!(count.0.load(Order::SeqCst), 1);
    assert!(first.poll(&context).is_pending() && second.poll(&context).is_ready());
    assert!(called_off.has(key(4)) && !called_off.has(key(1)), "a slot's next owner is not meant");
    drop((first, second));
    called_off.forget([key(2), key(4), key(7)]);
    assert!(called_off.is_empty() && !called_off.has(key(2)) && called_off.book.lock().waiting.is_empty());
}
