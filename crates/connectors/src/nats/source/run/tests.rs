//! What a run owes the server for each message, without a server.

use engine::config::{Check, EventTemplate, Spanned};
use engine::delivery::{Inbox, Ledger, Receipt};
use engine::metric::Link;
use tokio::sync::mpsc;

use super::*;
use crate::capture::{self, Filters};
use crate::given::{Given, Keep};
use crate::nats::address::Address;
use crate::nats::auth::Proof;
use crate::nats::connection::Terms;
use crate::nats::options::{Durable, Reading};
use crate::nats::subject;
use crate::normalise::{Origin, Template};

const SEATS: usize = 10;
const NOW: &str = "2026-11-21T06:58:00Z";

fn ingredients() -> Ingredients {
    let mut check = Check::default();
    let subjects: Filters =
        capture::checked(&[Spanned::new("a".into(), Default::default())], subject::parse, &mut check);
    let origin = Origin { whole: "subject", r#type: "t", source: "/{subject}" };
    Ingredients {
        name: "fleet".into(),
        terms: Terms {
            address: Address::parse("nats://localhost:4222").unwrap(),
            trust: None,
            proof: Proof::None,
            name: "fleet".into(),
            keep_alive: Duration::from_secs(60),
        },
        reading: Reading::Stream(Durable {
            subjects: vec!["a".to_owned()],
            stream: "S".to_owned(),
            durable: "mill".to_owned(),
            domain: None,
            create: None,
        }),
        subjects,
        template: Template::compile(&EventTemplate::default(), &[], &origin, &mut check),
        ids: Ids::new(1),
        ack: AckPoint::Processed,
        link: Link::default(),
    }
}

/// The subject that the message with this sequence and time is acknowledged to.
fn reply(delivered: u64, sequence: u64, time: u64) -> Bytes {
    format!("$JS.ACK.S.mill.{delivered}.{sequence}.1.{time}.0").into()
}

fn message(delivered: u64, sequence: u64, time: u64) -> Message {
    Message { subject: "a".into(), reply: reply(delivered, sequence, time), ..Message::default() }
}

/// The seats of a run, and what is in them in the order in which it came.
struct Room {
    intake: Option<Intake>,
    settlements: Settlements,
    given: mpsc::Receiver<Given>,
    receipts: Vec<Option<Receipt>>,
}

impl Room {
    fn new() -> Room {
        let (keep, given, _) = Keep::new();
        let (intake, settlements) = Inbox::new(SEATS, Ledger::default(), Box::new(keep)).split();
        Room { intake: Some(intake), settlements, given, receipts: Vec::new() }
    }

    /// Gives what is staged a seat each.
    async fn seat(&mut self, run: &mut Run<'_>) {
        run.hand_over(&mut self.intake).await.unwrap();
        while let Ok(given) = self.given.try_recv() {
            self.receipts.push(Some(given.event().1));
        }
    }

    /// What came at this place is done.
    async fn settle(&mut self, run: &mut Run<'_>, number: usize) {
        self.receipts[number].take().expect("it was not settled before").settle(Outcome::Ack);
        let mut settled = Vec::new();
        assert!(self.settlements.next(&mut settled).await);
        run.settle(&mut settled);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_known_while_it_runs_and_after() {
    let mut made_of = ingredients();
    let (mut run, mut room) = (Run::new(&mut made_of, SEATS), Room::new());
    run.found("S", NOW);
    run.delivered(message(1, 1, 7), Instant::now());
    room.seat(&mut run).await;
    let stands = room.receipts[0].as_ref().unwrap().position().unwrap();
    assert_eq!((stands.stream.as_str(), stands.made.as_str(), stands.sequence), ("S", NOW, 1));
    run.delivered(message(2, 1, 7), Instant::now());
    assert!(run.staged.is_empty() && run.owed.is_empty(), "it runs already");
    room.settle(&mut run, 0).await;
    assert_eq!(run.owed, [(reply(2, 1, 7), Verb::Ack)], "where the copy wants it");
    run.delivered(message(3, 1, 7), Instant::now());
    assert!(run.staged.is_empty());
    assert_eq!(run.owed.last(), Some(&(reply(3, 1, 7), Verb::Ack)));
}

#[tokio::test(start_paused = true)]
async fn another_message_with_the_same_sequence_is_run_and_not_acknowledged_for_the_one_before() {
    let mut made_of = ingredients();
    let (mut run, mut room) = (Run::new(&mut made_of, SEATS), Room::new());
    run.found("S", NOW);
    for sequence in [1, 2, 3] {
        run.delivered(message(1, sequence, 7), Instant::now());
    }
    room.seat(&mut run).await;
    room.settle(&mut run, 0).await;
    run.owed.clear();
    // The stream lost its end: one has settled, one runs, and one was acknowledged without a connection.
    room.settle(&mut run, 2).await;
    assert_eq!(run.owed.len(), 1);
    for sequence in [1, 2, 3] {
        run.delivered(message(1, sequence, 8), Instant::now());
    }
    assert_eq!((run.staged.len(), run.owed.len()), (3, 0), "none of them was ever run");
    room.seat(&mut run).await;
    room.settle(&mut run, 1).await;
    assert_eq!(run.owed, [], "the one before would acknowledge the one that runs");
    room.settle(&mut run, 4).await;
    assert_eq!(run.owed, [(reply(1, 2, 8), Verb::Ack)]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_stream_that_was_made_anew_is_acknowledged() {
    let mut made_of = ingredients();
    let (mut run, mut room) = (Run::new(&mut made_of, SEATS), Room::new());
    run.found("S", NOW);
    for sequence in [1, 2] {
        run.delivered(message(1, sequence, 7), Instant::now());
    }
    room.seat(&mut run).await;
    room.settle(&mut run, 0).await;
    run.last = Some(reply(1, 1, 7));
    run.delivered(message(1, 3, 7), Instant::now());
    run.found("S", NOW);
    assert_eq!((run.owed.len(), run.last.is_some()), (1, true), "it is the same stream");
    let anew = "2026-11-21T07:00:00Z";
    run.found("S", anew);
    assert_eq!((run.owed.len(), run.last.is_some(), run.staged.len()), (0, false, 1));
    run.delivered(message(1, 1, 9), Instant::now());
    room.seat(&mut run).await;
    let made: Vec<_> = room.receipts[2..].iter().map(|receipt| receipt.as_ref().unwrap().position()).collect();
    assert_eq!(made[0], None, "it is nobody's any more");
    assert_eq!(made[1].as_ref().map(|position| position.made.as_str()), Some(anew));
    for number in [1, 2] {
        room.settle(&mut run, number).await;
    }
    assert_eq!(run.owed, [], "neither what ran nor what waited");
    room.settle(&mut run, 3).await;
    assert_eq!(run.owed, [(reply(1, 1, 9), Verb::Ack)]);
    run.delivered(message(1, 2, 9), Instant::now());
    run.found("S", "2026-11-21T08:00:00Z");
    run.close(None);
    assert_eq!(run.owed, [], "what is nobody's cannot be given back");
}

#[test]
fn why_nothing_comes_is_in_the_status() {
    let mut made_of = ingredients();
    let link = made_of.link.clone();
    let mut run = Run::new(&mut made_of, SEATS);
    let Reading::Stream(durable) = run.made_of.reading.clone() else { panic!() };
    run.refused_pull(409, "Exceeded MaxWaiting", &durable);
    let said = link.read().last_error.unwrap();
    assert!(
        said.contains("consumer 'mill' of stream 'S'") && said.contains("Exceeded MaxWaiting (code 409)"),
        "{said}"
    );
}
