//! A connection that publishes: every message of quality of service 1 has a number until the broker has confirmed it.
//!
//! Decisions. The session is clean: one that only publishes keeps nothing at the broker that somebody could use, and what
//! a lost connection leaves unconfirmed is published again as a new message, which quality of service 1 allows as much as
//! a repetition. So the flag for a repetition (DUP) is never set: it speaks about packet identifiers of a session that is
//! gone. No topic alias is used, although a broker may offer some, so that every message stands for itself. What the
//! broker does not take is said when the connection is opened, and not by a broker that throws us out over it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::access::Terms;
use super::dialect::{Control, Dialect, Welcome};
use super::fault::Fault;
use super::greeting::{Purpose, greet};
use super::pipe::Pipe;
use super::wire::{self, Decoder, Frame, HEAD};

/// An alarm that does not matter now.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What every message of a connection has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The quality of service, 0 or 1.
    pub quality: u8,
    /// Whether the broker keeps the last message of each topic for whoever comes later.
    pub retain: bool,
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// A text without what [`super::topic_flaw`] finds.
    pub topic: &'m str,
    /// As [`super::properties`] writes them; empty on MQTT 3.1.1.
    pub properties: &'m [u8],
    /// Any bytes.
    pub payload: &'m [u8],
}

/// What a broker says about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number that it was published with.
    pub packet: u16,
    /// Why it was not taken, if so.
    pub refused: Option<Refused>,
}

/// A message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason code of MQTT 5, 0x80 or more.
    pub code: u8,
    /// The broker's own words.
    pub reason: Option<String>,
}

/// An open connection.
pub struct Posting {
    pipe: Pipe,
    decoder: Decoder,
    dialect: &'static dyn Dialect,
    manner: Manner,
    welcome: Welcome,
    keep_alive: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl Posting {
    /// Connects. An output that has several connections numbers them from zero, which becomes a part of the client id.
    ///
    /// # Errors
    /// [`Fault`] when the broker is away or refuses something.
    pub async fn open(terms: &Terms, number: usize, manner: Manner) -> Result<Posting, Fault> {
        let client_id = match number {
            0 => terms.client_id.clone(),
            more => format!("{}-{more}", terms.client_id),
        };
        let purpose = Purpose { client_id: &client_id, clean: true, expiry: 0, receive_maximum: u16::MAX, limit: HEAD };
        let (stream, input, welcome) = greet(terms, &purpose).await?;
        let mut pipe = Pipe::new(stream, input);
        let refused = match (welcome.quality < manner.quality, manner.retain && !welcome.retains) {
            (true, _) => Some(Fault::Quality),
            (false, true) => Some(Fault::Retain),
            (false, false) => None,
        };
        if let Some(fault) = refused {
            terms.dialect.disconnect(false, &mut pipe.out)?;
            pipe.send_off().await;
            return Err(fault);
        }
        Ok(Posting {
            pipe,
            decoder: Decoder::new(terms.dialect.has_properties(), HEAD),
            dialect: terms.dialect,
            manner,
            welcome,
            keep_alive: Duration::from_secs(welcome.keep_alive.unwrap_or(terms.keep_alive).into()),
            alarm: Box::pin(tokio::time::sleep_until(Instant::now())),
        })
    }

    /// How many messages may be on their way.
    #[must_use]
    pub fn receive_maximum(&self) -> usize {
        self.welcome.receive_maximum.into()
    }

    /// The size that a message would have, and the largest that the broker takes, if it is larger than that.
    #[must_use]
    pub fn too_large(&self, message: Message<'_>) -> Option<(usize, usize)> {
        let (size, limit) = (wire::publish_size(self.manner, message), self.welcome.packet);
        (size > limit).then_some((size, limit))
    }

    /// Writes a message into memory; [`Posting::poll_exchange`] sends it. `packet` is any number but zero that is not on
    /// its way, and means nothing with quality of service 0.
    pub fn publish(&mut self, packet: u16, message: Message<'_>) {
        wire::write_publish(self.manner, packet, message, &mut self.pipe.out);
    }

    /// Bytes that were published and have not left.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.pipe.out.len()
    }

    /// Where the bytes end that were published so far; once [`Posting::left`] is there, they have left.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.pipe.mark()
    }

    /// How far the bytes are that have left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.pipe.left()
    }

    /// Reads and writes what there is; ready when something was read, or everything has left.
    pub fn poll_exchange(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.check_clock(context)?;
        let before = self.pipe.left();
        if let Poll::Ready(Err(fault)) = self.pipe.poll_write(context) {
            return Poll::Ready(Err(fault));
        }
        let moved = self.pipe.left() > before;
        match self.pipe.poll_read(context) {
            Poll::Ready(read) => Poll::Ready(read.map(|_| ())),
            Poll::Pending if moved => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Pings when it is time, and gives up on a broker that does not answer.
    fn check_clock(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        while self.alarm.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            if self.pipe.pong_by.is_some_and(|by| by <= now) {
                return Err(Fault::Silent(now - self.pipe.last_received));
            }
            let mut next = now + NEVER;
            if !self.keep_alive.is_zero() {
                next = next.min(self.pipe.ping(self.keep_alive));
            }
            self.alarm.as_mut().reset(self.pipe.pong_by.map_or(next, |by| by.min(next)));
        }
        Ok(())
    }

    /// The next answer of what was read.
    ///
    /// # Errors
    /// [`Fault`] when the broker has ended the connection, or what it says is not MQTT.
    pub fn answer(&mut self) -> Result<Option<Answer>, Fault> {
        while let Some(frame) = self.decoder.next(&mut self.pipe.input)? {
            let Frame::Control(frame) = frame else {
                return Err(Fault::Protocol("a message that nobody subscribed to".to_owned()));
            };
            match self.dialect.read(frame)? {
                Control::Taken(answer) => return Ok(Some(answer)),
                Control::Pong => {}
                Control::Goodbye(refusal) => return Err(Fault::Ended(refusal)),
                _ => return Err(Fault::Protocol("an answer to what was never asked".to_owned())),
            }
        }
        Ok(None)
    }

    /// Says goodbye and waits until the broker has read it. Tells whether it took everything that was published.
    pub async fn close(mut self) -> bool {
        let said = self.dialect.disconnect(false, &mut self.pipe.out).is_ok() && self.pipe.send_off().await;
        if said {
            self.pipe.finish().await;
        }
        said
    }
}
