//! A connection that is given up when its other end does not take what is written.
//!
//! A client that asks and never reads would hold its place for ever, and places are few: liveness is asked here, too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long one write may wait for the other end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream with bounded waiting for writes.
#[derive(Debug)]
pub(super) struct Impatient<S> {
    stream: S,
    /// Set while a write waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> Impatient<S> {
    pub(super) fn new(stream: S) -> Impatient<S> {
        Impatient { stream, until: None }
    }

    /// Bounds one step of writing.
    fn bounded<T>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        step: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let polled = step(Pin::new(&mut this.stream), context);
        if polled.is_ready() {
            this.until = None;
            return polled;
        }
        let until = this.until.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        until.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.bounded(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bounded(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bounded(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_is_waited_for_and_who_does_not_is_given_up() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = Impatient::new(ours);
        ours.write_all(b"1234").await.unwrap();
        let (written, read) = tokio::join!(ours.write_all(b"5678"), async {
            sleep(PATIENCE / 2).await;
            let mut read = [0; 8];
            theirs.read_exact(&mut read).await.map(|_| read)
        });
        written.unwrap();
        assert_eq!(&read.unwrap(), b"12345678");
        let given_up = ours.write_all(b"90123").await.unwrap_err();
        assert_eq!(given_up.kind(), io::ErrorKind::TimedOut);
    }
}
