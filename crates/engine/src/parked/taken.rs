//! What of a message need not run again when its broker delivers it again, as it lies on the disk: a key for each fork that was
//! parked, and for each that was done beside one, until the broker has accepted that the message is settled.
//!
//! Decision: **a key is written in the transaction that writes the row**, and goes with those of all older messages at once. It
//! outlives its row, for a row that has ended is no reason to run its delivery again.

use std::ops::ControlFlow;

use super::Yard;
use crate::delivery::{Position, Print, Spot, Taken};
use crate::event::{Text, Unreadable, pack_text, unpack_text};
use crate::store::{Batch, Error};

/// What every key of a stream begins with.
fn prefix(position: &Position) -> Vec<u8> {
    let mut key = Vec::new();
    [&position.source, &position.stream, &position.made].into_iter().for_each(|text| pack_text(text, &mut key));
    key
}

fn key(position: &Position, rule: &str) -> Vec<u8> {
    let mut key = prefix(position);
    key.extend_from_slice(&position.sequence.to_be_bytes());
    key.extend_from_slice(rule.as_bytes());
    key
}

/// What such a key says.
fn read(key: &[u8]) -> Result<(Position, Text), Unreadable> {
    let rest = &mut &*key;
    let mut text = || unpack_text(rest).map(Text::from);
    let [source, stream, made] = [text()?, text()?, text()?];
    let (sequence, rule) = rest.split_first_chunk::<8>().ok_or(Unreadable)?;
    let rule = std::str::from_utf8(rule).map_err(|_| Unreadable)?;
    Ok((Position { source, stream, made, sequence: u64::from_be_bytes(*sequence) }, rule.into()))
}

impl Yard {
    /// Notes that the fork of a rule is taken over, here and in what is written. Says whether that is of use.
    pub(super) fn take(&self, spot: &Spot, rule: &Text, print: Print, taken: Taken, into: &mut Batch) -> bool {
        let useful = spot.note(rule, print, taken);
        if useful {
            let key = key(&spot.position(), rule);
            into.put(self.0.taken, &key, self.now(), |into| into.extend_from_slice(&print.to_le_bytes()));
            self.0.tracks.bound(&spot.track);
        }
        useful
    }

    /// Takes over what an earlier run has left, and forgets from now on what brokers have accepted. Blocks for as long as the
    /// disk takes.
    ///
    /// # Errors
    /// [`Error`] of the store.
    pub fn remember(&self) -> Result<(), Error> {
        let (store, table, mut damaged) = (&self.0.store, self.0.taken, None);
        store.scan(table, &[], None, |key, record| {
            let print = <[u8; 8]>::try_from(record.value).map(u64::from_le_bytes);
            let (Ok((position, rule)), Ok(print)) = (read(key), print) else {
                damaged = Some(key.to_vec());
                return ControlFlow::Break(());
            };
            self.0.tracks.recover(&position, &rule, print);
            ControlFlow::Continue(())
        })?;
        if let Some(key) = damaged {
            return Err(store.damaged(table, key));
        }
        let store = store.clone();
        self.0.tracks.forget_with(move |track, below| {
            let stream = prefix(&track.at(0));
            let to = [&stream[..], &below.to_be_bytes()].concat();
            let mut batch = Batch::default();
            batch.delete_range(table, &stream, &to);
            // A store that has ended is remembered as it is, and asked again after the next start.
            drop(store.free(&mut batch));
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_and_stands_with_its_stream_in_the_order_of_messages() {
        let at = |stream: &str, sequence| {
            let (source, stream, made) = ("fleet".into(), stream.into(), "2026".into());
            Position { source, stream, made, sequence }
        };
        let keys = [at("S", 1), at("S", 255), at("S", 256), at("T", 0)].map(|position| key(&position, "t/r"));
        assert!(keys.is_sorted());
        assert_eq!(read(&keys[2]), Ok((at("S", 256), "t/r".into())));
        for cut in 0..keys[0].len() - 3 {
            assert_eq!(read(&keys[0][..cut]), Err(Unreadable), "up to {cut}");
        }
    }
}
