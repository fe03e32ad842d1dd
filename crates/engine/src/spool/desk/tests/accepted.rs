//! Up to where a spool says that nothing of it comes again.

use super::*;
use crate::delivery::{Taken, Tracks};

#[tokio::test]
async fn what_is_known_of_an_event_is_forgotten_once_that_is_removed() {
    let mut mill = Mill::on(&Platter::new(Vec::new()), Policy::default(), &Hand::default());
    mill.send(0..2).await;
    let (tracks, mut feeder) = (Tracks::default(), mill.feeder.take().unwrap());
    let ledger = Ledger::of("s".into(), tracks.clone());
    let inbox = Inbox::durable(2, ledger, Box::new(Hold(Arc::clone(&mill.given))));
    let (_stop, shutdown) = Shutdown::channel();
    let run = tokio::spawn(async move { feeder.run(inbox, shutdown).await.map_err(|error| error.to_string()) });
    mill.given(2).await;
    for (_, receipt) in &*mill.given.lock() {
        assert!(receipt.spot().unwrap().note(&"t/r".into(), 1, Taken::Over));
    }
    assert_eq!(tracks.remembered(), 2);
    let later = mill.given.lock().pop().unwrap();
    later.1.settle(Outcome::Ack);
    until(|| mill.gauge.read().books.settled == 1).await;
    assert_eq!(tracks.remembered(), 2, "one below is not settled");
    mill.settle(Outcome::Ack);
    // It is told when the feeder has something to do, once it is on the disk that they are gone.
    for number in 2.. {
        if tracks.remembered() == 0 {
            break;
        }
        mill.send(number..number + 1).await;
        mill.given(1).await;
        mill.settle(Outcome::Ack);
    }
    run.abort();
}
