//! A connection that publishes: every message is mandatory and confirmed by its number, and one that reached no queue
//! comes back.

use bytes::{BufMut, Bytes, BytesMut};
use engine::event::Text;

use super::access::Terms;
use super::connection::{CONSUMING as CHANNEL, Connection, answered};
use super::fault::Fault;
use super::message::{Assembly, Incoming, Properties};
use super::table::{self, Argument};
use super::wire::{self, AROUND, FRAME, Frame, Method};

/// What a frame with properties has besides them.
const HEADER: usize = AROUND + 12;

/// A channel that publishes to one exchange.
pub struct Posting {
    connection: Connection,
    exchange: Text,
    assembly: Assembly,
    /// Why the message that comes back does.
    reason: String,
}

/// What a broker says to somebody who publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The message of this number, counted from one, is the broker's, or was refused by a queue.
    Confirmed {
        /// Its number.
        tag: u64,
        /// Whether every one before it is meant too.
        multiple: bool,
        /// Whether it was taken.
        taken: bool,
    },
    /// A message reached no queue. It is confirmed all the same, later.
    Returned(Returned),
    /// Publishing has to wait, and why, in the broker's words; or it may go on.
    Blocked(Option<String>),
}

/// A message that came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Its routing key.
    pub routing_key: Bytes,
    /// Its id, if it has one.
    pub message_id: Option<Bytes>,
    /// Its payload.
    pub payload: Bytes,
    /// The broker's words.
    pub reason: String,
}

/// What a message says of itself besides its headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp<'m> {
    /// The media type of the payload, at most 255 bytes.
    pub content_type: Option<&'m str>,
    /// The message's id, at most 255 bytes.
    pub message_id: Option<&'m str>,
}

impl Stamp<'_> {
    /// The properties of a persistent message with these headers, which are texts. Nothing when they do not fit into one
    /// frame, which is as much as AMQP carries.
    #[must_use]
    pub fn properties(&self, headers: Vec<(String, String)>) -> Option<Bytes> {
        let mut out = BytesMut::new();
        let text = |present: Option<&str>, bit: u16| present.map_or(0, |_| 1 << bit);
        let flags: u16 = text(self.content_type, 15) | 1 << 13 | 1 << 12 | text(self.message_id, 7);
        out.put_u16(flags);
        if let Some(content_type) = self.content_type {
            wire::put_short(&mut out, content_type);
        }
        let headers: Vec<_> = headers.into_iter().map(|(name, text)| (name, Argument::Text(text))).collect();
        table::write(&mut out, &headers);
        out.put_u8(2);
        if let Some(message_id) = self.message_id {
            wire::put_short(&mut out, message_id);
        }
        (out.len() + HEADER <= FRAME).then(|| out.freeze())
    }
}

impl Posting {
    /// Connects, and makes sure that the exchange is there; the default one, without a name, always is.
    ///
    /// # Errors
    /// [`Fault`] when the broker is away or refuses something.
    pub async fn open(terms: &Terms, name: &Text, exchange: &Text) -> Result<Posting, Fault> {
        let opening = async {
            let mut connection = Connection::open(terms, name, CHANNEL).await?;
            if !exchange.is_empty() {
                wire::exchange_there(&mut connection.out, CHANNEL, exchange);
                let there = |method: &Method| matches!(method, Method::ExchangeThere).then_some(());
                connection.answer(there).await?.map_err(|refusal| Fault::of_exchange(refusal, exchange))?;
            }
            wire::confirm_select(&mut connection.out, CHANNEL);
            connection.answer(|method| matches!(method, Method::Selected).then_some(())).await??;
            Ok(connection)
        };
        Ok(Posting::over(answered(opening).await?, exchange))
    }

    /// Publishes on a connection whose channel confirms already.
    pub(super) fn over(connection: Connection, exchange: &Text) -> Posting {
        Posting { connection, exchange: exchange.clone(), assembly: Assembly::new(u64::MAX), reason: String::new() }
    }

    /// Writes a message into memory; [`Posting::exchange`] sends it. `properties` are those of [`Stamp::properties`].
    pub fn publish(&mut self, routing_key: &str, properties: &[u8], payload: &[u8]) {
        let target = (self.exchange.as_str(), routing_key);
        wire::publish(&mut self.connection.out, CHANNEL, target, properties, payload);
    }

    /// Bytes that were published and have not left.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.connection.out.len()
    }

    /// Reads and writes what there is, until something was read or all was written. Cancel safe.
    ///
    /// # Errors
    /// [`Fault`] when the connection is gone.
    pub async fn exchange(&mut self) -> Result<(), Fault> {
        self.connection.exchange(true).await
    }

    /// The next answer of what was read.
    ///
    /// # Errors
    /// [`Fault`] when the broker has closed the channel or the connection.
    pub fn answer(&mut self) -> Result<Option<Answer>, Fault> {
        while let Some(frame) = self.connection.next()? {
            let whole = match frame {
                Frame::Method(_, Method::Confirmed { tag, multiple, taken }) => {
                    return Ok(Some(Answer::Confirmed { tag, multiple, taken }));
                }
                Frame::Method(_, Method::Blocked(reason)) => return Ok(Some(Answer::Blocked(reason))),
                Frame::Method(_, Method::Flow(active)) => {
                    let reason = "it stopped the flow of this channel";
                    return Ok(Some(Answer::Blocked((!active).then(|| reason.to_owned()))));
                }
                Frame::Method(_, Method::ChannelClose(refusal)) => {
                    return Err(Fault::of_exchange(refusal, &self.exchange));
                }
                Frame::Method(_, Method::Return(delivery, reason)) => {
                    self.reason = reason;
                    self.assembly.begin(delivery);
                    None
                }
                Frame::Header { size, properties } => self.assembly.header(properties, size)?,
                Frame::Body(part) => self.assembly.body(part)?,
                Frame::Method(..) | Frame::Heartbeat => None,
            };
            if let Some(incoming) = whole {
                return Ok(Some(Answer::Returned(self.returned(&incoming))));
            }
        }
        Ok(None)
    }

    fn returned(&mut self, incoming: &Incoming) -> Returned {
        let properties = Properties::read(&incoming.properties).ok();
        let message_id = properties.and_then(Properties::message_id);
        Returned {
            routing_key: incoming.delivery.routing_key.clone(),
            message_id: message_id.map(|id| incoming.properties.slice_ref(id)),
            payload: incoming.payload.clone(),
            reason: std::mem::take(&mut self.reason),
        }
    }

    /// Says goodbye and waits until the broker has read it.
    ///
    /// # Errors
    /// [`Fault`] when it did not answer properly.
    pub async fn close(self) -> Result<(), Fault> {
        answered(self.connection.close()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_read_as_they_were_written() {
        let stamp = Stamp { content_type: Some("text/csv"), message_id: Some("e-1") };
        let headers = vec![("cloudEvents:id".to_owned(), "e-1".to_owned())];
        let bytes = stamp.properties(headers).unwrap();
        let read = Properties::read(&bytes).unwrap();
        assert_eq!((read.content_type, read.message_id()), (Some(&b"text/csv"[..]), Some(&b"e-1"[..])));
        let headers: Vec<_> = read.headers.collect();
        assert_eq!(headers, [(&b"cloudEvents:id"[..], crate::normalise::Field::Text(b"e-1"))]);
        let bare = Stamp::default().properties(Vec::new()).unwrap();
        let read = Properties::read(&bare).unwrap();
        assert_eq!((read.content_type, read.message_id(), read.headers.count()), (None, None, 0));
    }

    #[test]
    fn what_does_not_fit_into_one_frame_is_no_message() {
        let stamp = Stamp::default();
        assert!(stamp.properties(vec![("a".to_owned(), "x".repeat(FRAME))]).is_none());
        assert!(stamp.properties(vec![("a".to_owned(), "x".repeat(FRAME - 64))]).is_some());
    }
}
