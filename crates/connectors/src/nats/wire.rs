//! The frames of NATS's text protocol, cut out of a byte stream without copying payloads.
//!
//! Decision: a message is cut by its lengths alone and its headers stay bytes, so that nothing a publisher can write
//! breaks the stream; only a server that speaks another protocol does.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

/// The longest line that a server can send; `INFO` of a large cluster is the longest in practice.
const LINE: usize = 1 << 20;
/// The longest message: a server's `max_payload`, headers included, is at most 64 MiB. What announces more is no message,
/// and room must not be made for it.
const LONGEST: usize = 64 << 20;

/// One frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// What the server says of itself, in JSON.
    Info(Bytes),
    Message(Message),
    Ping,
    Pong,
    Ok,
    /// Something was refused, in the server's words.
    Refused(String),
}

/// A message as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// The subscription that it is for.
    pub(super) sid: u64,
    pub(super) subject: Bytes,
    /// Where an answer goes; empty if nobody waits for one.
    pub(super) reply: Bytes,
    /// The block of headers with its version line, empty without headers.
    pub(super) headers: Bytes,
    pub(super) payload: Bytes,
}

/// What came is not NATS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub(super) String);

/// Cuts frames out of what was read.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    pub(super) buffer: BytesMut,
    /// The head of a message whose body is not whole yet, so that it is read once.
    begun: Option<(Message, usize, usize)>,
}

impl Decoder {
    /// The next whole frame.
    ///
    /// # Errors
    /// [`Broken`] when the bytes are not NATS.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Broken> {
        let (mut message, head, total) = match self.begun.take() {
            Some(begun) => begun,
            None => {
                let Some(line) = self.line()? else { return Ok(None) };
                match frame(&line)? {
                    Begin::Whole(frame) => return Ok(Some(frame)),
                    Begin::Message(message, head, total) => (message, head, total),
                }
            }
        };
        if self.buffer.len() < total + 2 {
            self.buffer.reserve(total + 2 - self.buffer.len());
            self.begun = Some((message, head, total));
            return Ok(None);
        }
        message.headers = self.buffer.split_to(head).freeze();
        message.payload = self.buffer.split_to(total - head).freeze();
        if &self.buffer[..2] != b"\r\n" {
            return Err(Broken("a message is longer than it says".to_owned()));
        }
        self.buffer.advance(2);
        Ok(Some(Frame::Message(message)))
    }

    /// One line without its end.
    fn line(&mut self) -> Result<Option<Bytes>, Broken> {
        let Some(end) = memmem::find(&self.buffer, b"\r\n") else {
            if self.buffer.len() > LINE {
                return Err(Broken("a line has no end".to_owned()));
            }
            return Ok(None);
        };
        let line = self.buffer.split_to(end).freeze();
        self.buffer.advance(2);
        Ok(Some(line))
    }
}

/// What a line begins.
enum Begin {
    Whole(Frame),
    /// A message, the length of its headers, and the length of both.
    Message(Message, usize, usize),
}

fn frame(line: &Bytes) -> Result<Begin, Broken> {
    let (word, rest) = match line.iter().position(|byte| *byte == b' ' || *byte == b'\t') {
        Some(at) => (line.slice(..at), line.slice(at + 1..)),
        None => (line.clone(), Bytes::new()),
    };
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is("MSG") || is("HMSG") {
        return message(&rest, is("HMSG"));
    }
    Ok(Begin::Whole(if is("PING") {
        Frame::Ping
    } else if is("PONG") {
        Frame::Pong
    } else if is("+OK") {
        Frame::Ok
    } else if is("INFO") {
        Frame::Info(rest)
    } else if is("-ERR") {
        Frame::Refused(String::from_utf8_lossy(&rest).trim().trim_matches('\'').to_owned())
    } else {
        let word: String = String::from_utf8_lossy(&word).chars().take(40).collect();
        return Err(Broken(format!("a line begins with {word:?}")));
    }))
}

/// `<subject> <sid> [reply] [headers] <total>`
fn message(line: &Bytes, headed: bool) -> Result<Begin, Broken> {
    let words: smallvec::SmallVec<[&[u8]; 5]> =
        line.split(|byte| *byte == b' ' || *byte == b'\t').filter(|word| !word.is_empty()).collect();
    let numbers = if headed { 2 } else { 1 };
    let broken = || Broken("the head of a message cannot be read".to_owned());
    let number = |word: &[u8]| std::str::from_utf8(word).ok().and_then(|text| text.parse().ok()).ok_or_else(broken);
    let reply = match words.len().checked_sub(2 + numbers) {
        Some(0) => Bytes::new(),
        Some(1) => line.slice_ref(words[2]),
        _ => return Err(broken()),
    };
    let total: usize = number(words[words.len() - 1])?;
    let head = if headed { number(words[words.len() - 2])? } else { 0 };
    if head > total {
        return Err(broken());
    }
    if total > LONGEST {
        return Err(Broken(format!(
            "a message of {total} bytes is announced, and a server takes none above {LONGEST}"
        )));
    }
    let sid = number(words[1])? as u64;
    let subject = line.slice_ref(words[0]);
    Ok(Begin::Message(Message { sid, subject, reply, ..Message::default() }, head, total))
}

/// Appends a message to a server's input. `reply` is empty when no answer is wanted.
pub(super) fn publish(out: &mut BytesMut, subject: &[u8], reply: &[u8], payload: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject);
    out.extend_from_slice(b" ");
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.extend_from_slice(b" ");
    }
    let mut digits = itoa(payload.len());
    digits.extend_from_slice(b"\r\n");
    out.extend_from_slice(&digits);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// Appends a subscription; `group` is empty for one of its own.
pub(super) fn subscribe(out: &mut BytesMut, subject: &str, group: &str, sid: u64) {
    let space = if group.is_empty() { "" } else { " " };
    out.extend_from_slice(format!("SUB {subject}{space}{group} {sid}\r\n").as_bytes());
}

fn itoa(mut number: usize) -> smallvec::SmallVec<[u8; 24]> {
    let mut digits = smallvec::SmallVec::new();
    loop {
        digits.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits.reverse();
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(bytes: &[u8], cut: usize) -> Result<Vec<Frame>, Broken> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(cut.max(1)) {
            decoder.buffer.extend_from_slice(piece);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn message(subject: &'static str, reply: &'static str, headers: &'static [u8], payload: &'static [u8]) -> Frame {
        Frame::Message(Message {
            sid: 7,
            subject: subject.into(),
            reply: reply.into(),
            headers: Bytes::from_static(headers),
            payload: Bytes::from_static(payload),
        })
    }

    const STREAM: &[u8] =
        b"INFO {\"version\":\"2.9.10\"} \r\nPING\r\npong\r\n+OK\r\n-ERR 'Authorization Violation'\r\n\
        MSG a.b 7 5\r\nhel\r\n\r\nMSG  a.b  7  r.1  0\r\n\r\nHMSG c 7 8 10\r\n\xff\xfe: no\r\xff\n\xff\r\n";

    #[test]
    fn every_frame_is_cut_wherever_reads_end() {
        let wanted = vec![
            Frame::Info(Bytes::from_static(b"{\"version\":\"2.9.10\"} ")),
            Frame::Ping,
            Frame::Pong,
            Frame::Ok,
            Frame::Refused("Authorization Violation".into()),
            message("a.b", "", b"", b"hel\r\n"),
            message("a.b", "r.1", b"", b""),
            message("c", "", b"\xff\xfe: no\r\xff", b"\n\xff"),
        ];
        for cut in 1..STREAM.len() {
            assert_eq!(frames(STREAM, cut).as_ref(), Ok(&wanted), "in pieces of {cut}");
        }
    }

    #[test]
    fn only_another_protocol_breaks_the_stream() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"MSG a\r\n",
            b"MSG a x 3\r\n",
            b"MSG a 1 2 3 4\r\n",
            b"HMSG a 1 9 3\r\n",
            b"MSG a 1 18446744073709551615\r\n",
            b"MSG a 1 67108865\r\n",
            b"MSG a 1 1\r\nabc",
            b"\r\n",
        ] {
            assert!(frames(bytes, 1).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(frames(&vec![b'x'; LINE + 2], LINE + 2).is_err());
    }

    #[test]
    fn what_is_sent_is_what_a_server_reads() {
        let mut out = BytesMut::new();
        publish(&mut out, b"$JS.ACK.s.c.1", b"", b"+ACK");
        publish(&mut out, b"a", b"_INBOX.1", b"");
        publish(&mut out, b"a", b"", &[b'x'; 120][..]);
        subscribe(&mut out, "v1.*.t", "", 1);
        subscribe(&mut out, "v1.>", "mill", 12);
        let long = "x".repeat(120);
        let wanted = format!(
            "PUB $JS.ACK.s.c.1 4\r\n+ACK\r\nPUB a _INBOX.1 0\r\n\r\nPUB a 120\r\n{long}\r\nSUB v1.*.t 1\r\nSUB v1.> mill 12\r\n"
        );
        assert_eq!(String::from_utf8(out.to_vec()).unwrap(), wanted);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), cut in 1..9_usize) {
            let _ = frames(&bytes, cut);
            let _ = frames(&[b"MSG ", &bytes[..], b"\r\n"].concat(), cut);
        }
    }
}
