//! A reader for JSON of a known, usual shape, several times as quick as a general one.
//!
//! Decision: it reads only what needs no copy and no exception, and answers `None` to everything else: an escape in a
//! string, a shape that was not expected, any mistake. Whoever uses it then reads the whole text again with `serde_json`,
//! so that what is accepted, what is refused and with which sentence is decided in one place, and quick is only a road to
//! the same end.
//!
//! ```
//! use engine::json::Scanner;
//!
//! fn speed(text: &str) -> Option<f64> {
//!     let mut scanner = Scanner::new(text);
//!     scanner.eat(b'{')?;
//!     (scanner.string()? == "speed").then_some(())?;
//!     scanner.eat(b':')?;
//!     let speed = scanner.number()?.parse().ok()?;
//!     scanner.eat(b'}')?;
//!     scanner.end().then_some(speed)
//! }
//! assert_eq!(speed(r#"{ "speed": 27.5 }"#), Some(27.5));
//! assert_eq!(speed(r#"{"sp\u0065ed":27.5}"#), None, "for serde_json to read");
//! ```

/// A place in a text.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    /// The next byte that is no space, without passing it.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
        None
    }

    /// Passes `byte`, if it is the next one.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Passes a string without escapes.
    #[inline]
    pub fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let begin = self.at;
        let rest = self.text.as_bytes().get(begin..)?;
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
        if rest.get(length) != Some(&b'"') {
            return None;
        }
        self.at = begin + length + 1;
        self.text.get(begin..begin + length)
    }

    /// Passes a number and answers how it is written.
    #[inline]
    pub fn number(&mut self) -> Option<&'a str> {
        self.peek()?;
        let begin = self.at;
        self.pass(b'-');
        match self.digits() {
            0 => return None,
            1 => {}
            _ if self.text.as_bytes().get(begin..)?.iter().find(|byte| **byte != b'-') == Some(&b'0') => return None,
            _ => {}
        }
        if self.pass(b'.') && self.digits() == 0 {
            return None;
        }
        if self.pass(b'e') || self.pass(b'E') {
            let _sign = self.pass(b'-') || self.pass(b'+');
            if self.digits() == 0 {
                return None;
            }
        }
        self.text.get(begin..self.at)
    }

    /// Passes the separator behind a member: `Some(true)` for a comma, `Some(false)` for the `end` of the list.
    #[inline]
    pub fn more(&mut self, end: u8) -> Option<bool> {
        let next = self.peek()?;
        self.at += 1;
        if next == b',' { Some(true) } else { (next == end).then_some(false) }
    }

    /// Passes a string, a number or a word.
    pub fn skip_scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => {
                let rest = self.text.get(self.at..)?;
                let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word))?;
                self.at += word.len();
                Some(())
            }
        }
    }

    /// Whether nothing but spaces is left.
    pub fn end(&mut self) -> bool {
        self.peek().is_none()
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> bool {
        let there = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let begin = self.at;
        while self.text.as_bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - begin
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A whole text as one scalar.
    fn scalar(text: &str) -> Option<()> {
        let mut scanner = Scanner::new(text);
        scanner.skip_scalar()?;
        scanner.end().then_some(())
    }

    #[test]
    fn numbers_are_those_of_json() {
        for good in ["0", "-0", "12", "-7.50", "1e5", "1E-5", "1.5e+300", " 3 "] {
            assert!(scalar(good).is_some(), "{good}");
        }
        for bad in ["", "-", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "0x1", "1 2", "inf", "NaN"] {
            assert!(scalar(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn strings_with_anything_unusual_are_left_to_others() {
        assert_eq!(Scanner::new(" \"häh\" ").string(), Some("häh"));
        for other in ["\"a\\n\"", "\"a\nb\"", "\"open", "bare", "\"a\u{1}\""] {
            assert_eq!(Scanner::new(other).string(), None, "{other}");
        }
    }

    #[test]
    fn members_are_separated_as_json_separates_them() {
        let mut scanner = Scanner::new("[ 1 , true ] ");
        scanner.eat(b'[').unwrap();
        scanner.number().unwrap();
        assert_eq!(scanner.more(b']'), Some(true));
        scanner.skip_scalar().unwrap();
        assert_eq!((scanner.more(b']'), scanner.end()), (Some(false), true));
        assert_eq!(Scanner::new("}").more(b']'), None);
    }

    proptest! {
        /// Whatever it passes is JSON to `serde_json`, too, and means the same.
        #[test]
        fn nothing_is_accepted_that_is_no_json(text in "[-+0-9.eE\" \\\\a-c\u{0}-\u{20}tfnulrs]{0,12}") {
            if scalar(&text).is_some() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{:?}", text);
            }
        }

        #[test]
        fn strings_mean_the_same(text in "\\PC{0,20}") {
            let written = serde_json::to_string(&text).unwrap();
            let mut scanner = Scanner::new(&written);
            if let Some(read) = scanner.string() {
                prop_assert_eq!(read, text);
            }
        }
    }
}
