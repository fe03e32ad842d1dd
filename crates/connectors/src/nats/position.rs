//! Where a message stands in its stream: what JetStream says in the subject that acknowledgements go to.
//!
//! `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, and since 2.10 with a domain and
//! an account in front of the stream, and one more token at the end.

/// Which message of a stream it is. A stream that was restored from a backup, or has lost its end with its server's
/// machine, gives the same sequences to other messages; only the time that the server wrote beside them tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The place in the stream, from 1.
    pub(super) sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub(super) time: i64,
}

/// What one delivery says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) place: Place,
    /// How often it was delivered, this time included.
    pub(super) delivered: u64,
}

impl Position {
    /// Reads the subject that a message is acknowledged to.
    pub(super) fn read(reply: &[u8]) -> Option<Position> {
        let text = std::str::from_utf8(reply).ok()?.strip_prefix("$JS.ACK.")?;
        let count = text.split('.').count();
        let before = match count {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let mut tokens = text.split('.').skip(before);
        let delivered = tokens.next()?.parse().ok()?;
        let sequence = tokens.next()?.parse().ok()?;
        let time = tokens.nth(1)?.parse().ok()?;
        Some(Position { place: Place { sequence, time }, delivered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_of_servers_are_understood() {
        let place = Place { sequence: 42, time: 1_700_000_000_000_000_000 };
        let wanted = Some(Position { place, delivered: 3 });
        assert_eq!(Position::read(b"$JS.ACK.TELEMETRY.mill.3.42.17.1700000000000000000.5"), wanted);
        assert_eq!(Position::read(b"$JS.ACK.hub.AccountHash.TELEMETRY.mill.3.42.17.1700000000000000000.5.x"), wanted);
        assert_eq!(Position::read(b"$JS.ACK._.AccountHash.TELEMETRY.mill.3.42.17.1700000000000000000.5"), wanted);
        for other in [&b""[..], b"_INBOX.1", b"$JS.ACK.a.b.c.d.e.f.g", b"$JS.ACK.a.b.1.2", b"\xff"] {
            assert_eq!(Position::read(other), None);
        }
    }
}
