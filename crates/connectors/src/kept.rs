//! What is kept of a message that is no event, beside its raw payload: its headers, as one fact for the reject record.
//!
//! Decision: in binary mode the headers are the event, so a record without them would keep only half of it. They stand in
//! one text, a line each in the order in which they came, because a message may name one twice, which may be the very
//! reason why it is no event. Every byte can be told from the text: what is not printable UTF-8 is escaped, and so is the
//! backslash. Credentials are for whoever calls this to leave out.

use std::fmt::Write as _;

use engine::event::Text;

/// How many bytes of headers are kept at most.
const MOST: usize = 64 << 10;

/// The headers of one message.
#[derive(Debug, Default)]
pub struct Headers {
    lines: String,
    /// Headers that had no room.
    left_out: usize,
}

impl Headers {
    /// Adds one; a value that is null leaves a line without a colon.
    pub fn add(&mut self, name: &[u8], value: Option<&[u8]>) {
        if self.lines.len() + name.len() + value.map_or(0, <[u8]>::len) > MOST {
            self.left_out += 1;
            return;
        }
        if !self.lines.is_empty() {
            self.lines.push('\n');
        }
        escape(name, &mut self.lines);
        if let Some(value) = value {
            self.lines.push_str(": ");
            escape(value, &mut self.lines);
        }
    }

    /// The fact; nothing without headers.
    #[must_use]
    pub fn fact(mut self) -> Option<(Text, Text)> {
        if self.left_out > 0 {
            // Nothing is refused by a text in memory.
            let _ = write!(self.lines, "\n({} more, which were too long to be kept)", self.left_out);
        }
        (!self.lines.is_empty()).then(|| ("headers".into(), Text::new(self.lines)))
    }
}

fn escape(bytes: &[u8], into: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for sign in chunk.valid().chars() {
            match sign {
                '\\' | '\n' | '\r' | '\t' => into.extend(sign.escape_default()),
                _ if sign.is_control() => into.extend(sign.escape_unicode()),
                _ => into.push(sign),
            }
        }
        for byte in chunk.invalid() {
            // The same.
            let _ = write!(into, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(headers: &[(&[u8], Option<&[u8]>)]) -> Option<String> {
        let mut kept = Headers::default();
        headers.iter().for_each(|(name, value)| kept.add(name, *value));
        kept.fact().map(|(name, lines)| {
            assert_eq!(name, "headers");
            lines.to_string()
        })
    }

    #[test]
    fn every_header_has_a_line_and_every_byte_its_sign() {
        assert_eq!(fact(&[]), None);
        let odd: &[(&[u8], Option<&[u8]>)] = &[
            (b"ce_id", Some(b"1")),
            (b"ce_id", Some(b"caf\xc3\xa9 \xff\\x")),
            (b"gone", None),
            (b"a\nb", Some(b"\0")),
        ];
        let lines = fact(odd).unwrap();
        assert_eq!(lines, "ce_id: 1\nce_id: caf\u{e9} \\xff\\\\x\ngone\na\\nb: \\u{0}");
    }

    #[test]
    fn what_is_too_long_is_counted() {
        let long = vec![b'x'; MOST];
        let lines = fact(&[(b"a", Some(b"1")), (b"b", Some(&long)), (b"c", Some(b"3"))]).unwrap();
        assert_eq!(lines, "a: 1\nc: 3\n(1 more, which were too long to be kept)");
    }
}
