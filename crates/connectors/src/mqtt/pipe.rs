//! Both directions of an open connection, read and written in the poll of whoever owns it, and the pings.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::fault::Fault;
use super::transport::Stream;
use super::wire::write_ping;

/// How long the broker may take to close after goodbye; less than the engine grants a source after its grace time.
const GOODBYE: Duration = Duration::from_millis(1500);
/// The least and the most that one read asks for.
const READ: std::ops::RangeInclusive<usize> = 8 * 1024..=128 * 1024;

/// An open connection.
pub(super) struct Pipe {
    stream: Box<dyn Stream>,
    /// What was read and not cut into frames.
    pub(super) input: BytesMut,
    /// What is to be written.
    pub(super) out: BytesMut,
    /// How much the next read asks for.
    appetite: usize,
    /// Bytes written in all, and how many of them have surely left.
    written: u64,
    flushed: u64,
    last_sent: Instant,
    pub(super) last_received: Instant,
    last_ping: Instant,
    /// When something must have come, because a ping was sent.
    pub(super) pong_by: Option<Instant>,
}

impl Pipe {
    /// A connection whose greeting is over; `input` holds what came behind it.
    pub(super) fn new(stream: Box<dyn Stream>, input: BytesMut) -> Pipe {
        let now = Instant::now();
        Pipe {
            stream,
            input,
            out: BytesMut::new(),
            appetite: *READ.start(),
            written: 0,
            flushed: 0,
            last_sent: now,
            last_received: now,
            last_ping: now,
            pong_by: None,
        }
    }

    /// How many bytes have surely left.
    pub(super) fn left(&self) -> u64 {
        self.flushed
    }

    /// How many bytes will have left when everything has that is queued now.
    pub(super) fn mark(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    /// Pings when it is time, with `every` between two signs of life; answers when to look again.
    pub(super) fn ping(&mut self, every: Duration) -> Instant {
        let now = Instant::now();
        if self.ping_due(every) <= now {
            write_ping(&mut self.out);
            self.last_ping = now;
            self.pong_by.get_or_insert(now + every / 2);
        }
        self.ping_due(every)
    }

    /// A ping is due when one direction has been quiet for the whole interval: the broker wants to hear something, and a
    /// broker that says nothing may be gone.
    fn ping_due(&self, every: Duration) -> Instant {
        self.last_sent.min(self.last_received).max(self.last_ping) + every
    }

    /// Writes everything that is queued, in as few writes as the stream takes.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut stream = Pin::new(&mut *self.stream);
        while !self.out.is_empty() {
            match ready!(stream.as_mut().poll_write(context, &self.out)).map_err(Fault::Lost)? {
                0 => return Poll::Ready(Err(Fault::Closed)),
                written => {
                    self.out.advance(written);
                    self.written += written as u64;
                    self.last_sent = Instant::now();
                }
            }
        }
        if self.flushed < self.written {
            ready!(stream.poll_flush(context)).map_err(Fault::Lost)?;
            self.flushed = self.written;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once; answers whether there is more to read at once.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Fault>> {
        if self.input.capacity() - self.input.len() < self.appetite / 4 {
            self.input.reserve(self.appetite);
        }
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(context);
        let count = match ready!(read) {
            Ok(0) => return Poll::Ready(Err(Fault::Closed)),
            Ok(count) => count,
            Err(cause) => return Poll::Ready(Err(Fault::Lost(cause))),
        };
        self.last_received = Instant::now();
        self.pong_by = None;
        let full = count == room;
        // Blocks stay small while little comes, because one event in flight keeps its whole block alive.
        if full {
            self.appetite = (self.appetite * 2).min(*READ.end());
        } else if count < self.appetite / 8 {
            self.appetite = (self.appetite / 2).max(*READ.start());
        }
        Poll::Ready(Ok(full))
    }

    /// Writes what is queued, as far as a broker takes it in the time of a goodbye; tells whether it took everything.
    pub(super) async fn send_off(&mut self) -> bool {
        let told = async {
            self.stream.write_all_buf(&mut self.out).await?;
            self.stream.flush().await
        };
        matches!(tokio::time::timeout(GOODBYE, told).await, Ok(Ok(())))
    }

    /// Reads to the end of the stream after goodbye, so that the broker's last packets do not meet a closed socket,
    /// whose reset would overtake the acknowledgements.
    pub(super) async fn finish(mut self) {
        let rest = async {
            let _ = self.stream.shutdown().await;
            let mut discarded = BytesMut::with_capacity(*READ.start());
            while matches!(self.stream.read_buf(&mut discarded).await, Ok(1..)) {
                discarded.clear();
            }
        };
        let _ = tokio::time::timeout(GOODBYE, rest).await;
    }
}
