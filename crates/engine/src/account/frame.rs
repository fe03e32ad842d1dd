//! What lies in a file of the ledger: frames one behind the other, each with its length and a CRC32C.
//!
//! Decision: **a page of records is one frame**, so that a checksum costs a record four instructions and not forty.

use super::record::{Record, SIZE};
use super::trouble::{Trouble, chunk};
use crate::event::{Text, Unreadable, pack_text, unpack_text};
use crate::store::Stamp;

/// What every file begins with; the last character is the version of the format.
pub(super) const MAGIC: &[u8; 16] = b"tidemill-ledger1";
/// Bytes before a frame's content: length and checksum.
pub(super) const HEADER: usize = 8;
/// The largest content of a frame.
pub(super) const MAX: usize = 1 << 20;

const HEAD: u8 = 1;
const RECORDS: u8 = 2;
const TROUBLE: u8 = 3;
const END: u8 = 4;

/// What stands at the beginning of a run, of a file, and wherever more names are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Which run of an engine writes from here on.
    pub(super) run: u64,
    /// When this was written.
    pub(super) time: Stamp,
    /// What the numbers of rules mean.
    pub(super) names: Vec<Name>,
}

/// Who a record belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// `trigger/rule`; or the name of a source, of events that no rule wanted.
    pub name: Text,
    /// Whether it is a source.
    pub is_source: bool,
    /// The rule's function, if it has one.
    pub function: Option<Text>,
    /// The rule's outputs.
    pub outputs: Vec<Text>,
}

/// Records as they were written together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Records {
    /// When.
    pub(super) time: Stamp,
    /// The number of the first in its run.
    pub(super) first: u64,
    pub(super) records: Vec<Record>,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Head(Head),
    Records(Records),
    Trouble(Trouble),
    /// The engine has ended in order, then.
    End(Stamp),
}

/// Records that are laid out at once.
const BLOCK: usize = 32;

/// Appends a frame of what `content` writes.
fn put(into: &mut Vec<u8>, kind: u8, content: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[0; HEADER]);
    into.push(kind);
    content(into);
    let body = &into[start + HEADER..];
    let (length, sum) = (u32::try_from(body.len()).unwrap_or(u32::MAX), crc32c::crc32c(body));
    into[start..start + 4].copy_from_slice(&length.to_le_bytes());
    into[start + 4..start + HEADER].copy_from_slice(&sum.to_le_bytes());
}

pub(super) fn head(head: &Head, into: &mut Vec<u8>) {
    put(into, HEAD, |into| {
        into.extend_from_slice(&head.run.to_le_bytes());
        into.extend_from_slice(&head.time.0.to_le_bytes());
        into.extend_from_slice(&u32::try_from(head.names.len()).unwrap_or(u32::MAX).to_le_bytes());
        head.names.iter().for_each(|name| name.write(into));
    });
}

pub(super) fn records(time: Stamp, first: u64, records: &[Record], into: &mut Vec<u8>) {
    put(into, RECORDS, |into| {
        into.extend_from_slice(&time.0.to_le_bytes());
        into.extend_from_slice(&first.to_le_bytes());
        let mut block = [[0; SIZE]; BLOCK];
        for some in records.chunks(BLOCK) {
            block.iter_mut().zip(some).for_each(|(place, record)| *place = record.bytes());
            into.extend_from_slice(&block.as_flattened()[..some.len() * SIZE]);
        }
    });
}

pub(super) fn trouble(trouble: &Trouble, into: &mut Vec<u8>) {
    put(into, TROUBLE, |into| trouble.write(into));
}

pub(super) fn end(time: Stamp, into: &mut Vec<u8>) {
    put(into, END, |into| into.extend_from_slice(&time.0.to_le_bytes()));
}

impl Name {
    fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[u8::from(self.is_source), u8::from(self.function.is_some())]);
        into.extend_from_slice(&u16::try_from(self.outputs.len()).unwrap_or(u16::MAX).to_le_bytes());
        pack_text(&self.name, into);
        let outputs = self.outputs.iter().take(usize::from(u16::MAX));
        self.function.iter().chain(outputs).for_each(|text| pack_text(text, into));
    }

    fn read(rest: &mut &[u8]) -> Result<Name, Unreadable> {
        let [is_source, has_function] = chunk(rest)?;
        let outputs = u16::from_le_bytes(chunk(rest)?);
        let mut text = || unpack_text(rest).map(Text::from);
        let name = text()?;
        let function = if has_function == 0 { None } else { Some(text()?) };
        let outputs = (0..outputs).map(|_| text()).collect::<Result<_, _>>()?;
        Ok(Name { name, is_source: is_source != 0, function, outputs })
    }
}

/// How long the content of a frame is, and its checksum.
pub(super) fn header(bytes: &[u8; HEADER]) -> (usize, u32) {
    let number = u64::from_le_bytes(*bytes);
    (number as u32 as usize, (number >> 32) as u32)
}

/// How many frames these are.
pub(super) fn count(mut frames: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(bytes) = frames.first_chunk() {
        frames = frames.get(HEADER + header(bytes).0..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Reads the content of a frame.
pub(super) fn read(body: &[u8], sum: u32) -> Result<Frame, Unreadable> {
    if crc32c::crc32c(body) != sum {
        return Err(Unreadable);
    }
    let rest = &mut { body };
    let [kind] = chunk(rest)?;
    match kind {
        HEAD => {
            let (run, time) = (u64::from_le_bytes(chunk(rest)?), Stamp(u64::from_le_bytes(chunk(rest)?)));
            let count = u32::from_le_bytes(chunk(rest)?);
            let names = (0..count).map(|_| Name::read(rest)).collect::<Result<_, _>>()?;
            Ok(Frame::Head(Head { run, time, names }))
        }
        RECORDS => {
            let (time, first) = (Stamp(u64::from_le_bytes(chunk(rest)?)), u64::from_le_bytes(chunk(rest)?));
            let (records, torn) = rest.as_chunks::<SIZE>();
            if !torn.is_empty() {
                return Err(Unreadable);
            }
            Ok(Frame::Records(Records { time, first, records: records.iter().map(Record::read).collect() }))
        }
        TROUBLE => Trouble::read(rest).map(Frame::Trouble),
        END => Ok(Frame::End(Stamp(u64::from_le_bytes(chunk(rest)?)))),
        _ => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::super::print::Print;
    use super::super::record::{End, Facts};
    use super::super::trouble::What;
    use super::super::trouble::tests::trouble as sample;
    use super::*;

    fn frames() -> Vec<(Frame, Vec<u8>)> {
        let names = vec![
            Name {
                name: "t/r".into(),
                is_source: false,
                function: Some("f".into()),
                outputs: vec!["a".into(), "b".into()],
            },
            Name { name: "s".into(), is_source: true, ..Name::default() },
        ];
        let start = Head { run: 7, time: Stamp(5), names };
        let record = Record::new(Print { id: 1, source: 2 }, 3, End::Done, Facts::default());
        let some = Records { time: Stamp(6), first: 9, records: vec![record; 3] };
        let failed = sample("1", What::Failed(None));
        let mut all = vec![Vec::new(); 4];
        head(&start, &mut all[0]);
        records(some.time, some.first, &some.records, &mut all[1]);
        trouble(&failed, &mut all[2]);
        end(Stamp(8), &mut all[3]);
        [Frame::Head(start), Frame::Records(some), Frame::Trouble(failed), Frame::End(Stamp(8))]
            .into_iter()
            .zip(all)
            .collect()
    }

    #[test]
    fn frames_come_back_and_no_flipped_bit_goes_unseen() {
        for (frame, bytes) in frames() {
            let (length, sum) = header(bytes.first_chunk().unwrap());
            let body = &bytes[HEADER..];
            assert_eq!((length, read(body, sum)), (body.len(), Ok(frame)));
            for bit in 0..body.len() * 8 {
                let mut flipped = body.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(&flipped, sum), Err(Unreadable), "bit {bit}");
            }
        }
    }
}
