//! The block of headers of a message, read in place.
//!
//! `NATS/1.0`, perhaps a status, then `Name: value` lines. Names are compared in any case, because clients in the field
//! spell `Content-Type` and `ce-` in several.

use std::borrow::Cow;
use std::str::from_utf8;

use smallvec::SmallVec;

use crate::normalise::{Hop, NoEvent, percent};

/// How the headers of attributes begin.
const PREFIX: &str = "ce-";

/// The headers of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers<'h> {
    /// What the server says instead of a message, such as 408 for a request whose time is over.
    pub(super) status: Option<Status<'h>>,
    /// The media type of the payload.
    pub(super) content_type: Option<&'h str>,
    /// Whether an attribute is called `specversion`.
    pub(super) binary: bool,
    /// Names without their prefix, values as they stand.
    attributes: SmallVec<[(Cow<'h, str>, &'h [u8]); 8]>,
    /// The trace context that stands beside them.
    pub(super) hop: Hop<'h>,
    /// Messages that a request had still to come, where a status says so.
    pub(super) pending: Option<u64>,
}

/// A status and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status<'h> {
    pub(super) code: u16,
    pub(super) text: &'h str,
}

/// What is wrong with a block of headers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("its headers do not begin with NATS/1.0")]
    Version,
    #[error("a line of its headers has no colon")]
    Colon,
    #[error("its headers are not UTF-8 text")]
    Text,
    #[error("its headers have two different content types")]
    ContentTypes,
}

impl<'h> Headers<'h> {
    /// Reads a block; an empty one has no headers.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub(super) fn read(block: &'h [u8]) -> Result<Headers<'h>, Flaw> {
        let mut headers = Headers::default();
        if block.is_empty() {
            return Ok(headers);
        }
        let mut lines = block.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = lines.next().and_then(|line| line.strip_prefix(b"NATS/1.0")).ok_or(Flaw::Version)?;
        headers.status = status(first)?;
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = memchr::memchr(b':', line).ok_or(Flaw::Colon)?;
            let name = from_utf8(&line[..colon]).map_err(|_| Flaw::Text)?.trim();
            headers.note(name, line[colon + 1..].trim_ascii())?;
        }
        Ok(headers)
    }

    fn note(&mut self, name: &'h str, value: &'h [u8]) -> Result<(), Flaw> {
        if let Some((start, rest)) = name.split_at_checked(PREFIX.len())
            && start.eq_ignore_ascii_case(PREFIX)
        {
            let upper = rest.bytes().any(|byte| byte.is_ascii_uppercase());
            let name = if upper { Cow::Owned(rest.to_ascii_lowercase()) } else { Cow::Borrowed(rest) };
            self.binary |= name == "specversion";
            self.attributes.push((name, value));
        } else if name.eq_ignore_ascii_case("content-type") {
            let value = from_utf8(value).map_err(|_| Flaw::Text)?;
            if self.content_type.replace(value).is_some_and(|before| before != value) {
                return Err(Flaw::ContentTypes);
            }
        } else if name == "Nats-Pending-Messages" {
            self.pending = from_utf8(value).ok().and_then(|text| text.parse().ok());
        } else {
            self.hop.note(name.as_bytes(), value);
        }
        Ok(())
    }

    /// The attributes in the order in which they were sent, their values decoded.
    pub(super) fn attributes(&self) -> impl Iterator<Item = Result<(&str, Cow<'_, str>), NoEvent>> {
        self.attributes.iter().map(|(name, value)| match percent::decode(value) {
            Ok(text) => Ok((&**name, text)),
            Err(cause) => Err(NoEvent::Header { name: format!("{PREFIX}{name}").into(), problem: cause.to_string() }),
        })
    }
}

fn status(line: &[u8]) -> Result<Option<Status<'_>>, Flaw> {
    let line = from_utf8(line).map_err(|_| Flaw::Text)?.trim();
    let (code, text) = line.split_once(' ').unwrap_or((line, ""));
    // A publisher may write anything here; only a number is a server's status.
    Ok(code.parse().ok().map(|code| Status { code, text: text.trim() }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attributes(headers: &Headers<'_>) -> Vec<(String, String)> {
        headers.attributes().map(|pair| pair.unwrap()).map(|(name, value)| (name.into(), value.into_owned())).collect()
    }

    #[test]
    fn attributes_are_known_in_any_case_and_decoded() {
        let block = b"NATS/1.0\r\nce-specversion: 1.0\r\nCe-Subject:caf%C3%A9%20au lait\r\nNats-Msg-Id: 7\r\nCONTENT-TYPE: text/csv\r\nTraceparent:  00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 \r\n\r\n";
        let headers = Headers::read(block).unwrap();
        let parent = headers.hop.trace().map(|trace| trace.parent());
        assert_eq!(parent, Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(headers.binary && headers.status.is_none());
        assert_eq!(headers.content_type, Some("text/csv"));
        let wanted = [("specversion", "1.0"), ("subject", "café au lait")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(attributes(&headers), wanted);
        assert_eq!(Headers::read(b"").unwrap(), Headers::default());
    }

    #[test]
    fn a_status_has_a_number() {
        let block = b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 17\r\nNats-Pending-Bytes: 0\r\n\r\n";
        let headers = Headers::read(block).unwrap();
        assert_eq!(headers.status, Some(Status { code: 408, text: "Request Timeout" }));
        assert_eq!(headers.pending, Some(17));
        assert_eq!(Headers::read(b"NATS/1.0 503\r\n\r\n").unwrap().status.unwrap().code, 503);
        assert_eq!(Headers::read(b"NATS/1.0 hello\r\n\r\n").unwrap().status, None);
    }

    #[test]
    fn garbage_is_a_flaw_and_nothing_worse() {
        for (block, flaw) in [
            (&b"\xff\xfe\x00"[..], Flaw::Version),
            (b"NATS/2.0\r\n", Flaw::Version),
            (b"NATS/1.0\r\nno colon\r\n\r\n", Flaw::Colon),
            (b"NATS/1.0\r\n\xff: x\r\n\r\n", Flaw::Text),
            (b"NATS/1.0\r\nContent-Type: a/b\r\ncontent-type: c/d\r\n\r\n", Flaw::ContentTypes),
        ] {
            assert_eq!(Headers::read(block), Err(flaw), "{}", String::from_utf8_lossy(block));
        }
        assert!(Headers::read(b"NATS/1.0\r\nContent-Type: a/b\r\nContent-Type: a/b\r\n\r\n").is_ok());
        let block = b"NATS/1.0\r\nce-id: %C0%A0\r\n\r\n";
        let refused = Headers::read(block).unwrap().attributes().next().unwrap().unwrap_err();
        assert!(refused.to_string().starts_with("header 'ce-id' cannot be read"), "{refused}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for block in [bytes.clone(), [b"NATS/1.0\r\n", &bytes[..]].concat()] {
                if let Ok(headers) = Headers::read(&block) {
                    headers.attributes().for_each(drop);
                }
            }
        }
    }
}
