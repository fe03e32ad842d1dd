//! Attribute values in protocol headers that carry ASCII only: HTTP and NATS.
//!
//! Space, `"`, `%` and everything that is not printable ASCII is written as `%XX`. Reading is more lenient than writing:
//! a value may be quoted, a `%` that begins no code stands for itself, and text beyond ASCII may stand as it is; but what
//! is not UTF-8 in the end is refused, because an attribute is text. Segments of an HTTP path are read the same way.

use std::borrow::Cow;

/// A header value is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not UTF-8 text once it is percent-decoded")]
pub struct NotText;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `text` as a header carries it.
#[must_use]
pub fn encode(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'%';
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(encoded)
}

/// What a header's value says.
///
/// # Errors
/// [`NotText`] when the decoded bytes are not UTF-8.
pub fn decode(value: &[u8]) -> Result<Cow<'_, str>, NotText> {
    let value = value.trim_ascii();
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => unescape(inner),
        _ => Cow::Borrowed(value),
    };
    match unquoted {
        Cow::Borrowed(bytes) => text(bytes),
        Cow::Owned(bytes) => text(&bytes).map(|text| Cow::Owned(text.into_owned())),
    }
}

/// The text that bytes with codes in them stand for, such as a segment of a path.
///
/// # Errors
/// [`NotText`] when the decoded bytes are not UTF-8.
pub fn text(coded: &[u8]) -> Result<Cow<'_, str>, NotText> {
    if !coded.contains(&b'%') {
        return std::str::from_utf8(coded).map(Cow::Borrowed).map_err(|_| NotText);
    }
    let mut decoded = Vec::with_capacity(coded.len());
    let mut rest = coded;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, code(after)) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            _ => decoded.push(*first),
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| NotText)
}

/// The byte that two hexadecimal digits at the start stand for.
fn code(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// The inside of a quoted string without its backslashes.
fn unescape(inner: &[u8]) -> Cow<'_, [u8]> {
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            other => plain.push(*other),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_must_be_is_encoded() {
        for (text, encoded) in [
            ("/fleet/demo#1?a=b", "/fleet/demo#1?a=b"),
            ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("100%", "100%25"),
            ("say \"x\"\n", "say%20%22x%22%0A"),
            ("a\r\n\0\u{7f}", "a%0D%0A%00%7F"),
            ("", ""),
        ] {
            assert_eq!(encode(text), encoded);
            assert_eq!(decode(encoded.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn reading_forgives_what_writing_never_does() {
        for (value, text) in [
            ("%e2%82%ac", "€"),
            ("€", "€"),
            ("  padded ", "padded"),
            ("\"quoted \\\"text\\\"\"", "quoted \"text\""),
            ("\"%41\"", "A"),
            ("{\"othervalue\": 5}", "{\"othervalue\": 5}"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("%+F", "%+F"),
            ("%2541", "%41"),
            ("\"", "\""),
        ] {
            assert_eq!(decode(value.as_bytes()).unwrap(), text, "{value}");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for value in [&b"%C0%A0"[..], b"%ED%A0%80", b"\xff", b"\"\\\xff\"", b"%ff"] {
            assert_eq!(decode(value), Err(NotText), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
            let decoded = decode(encoded.as_bytes()).unwrap();
            prop_assert_eq!(&decoded, &text);
        }

        #[test]
        fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode(&value);
        }
    }
}
