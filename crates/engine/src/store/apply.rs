//! The writes of one transaction in one table of redb, and the counts that they leave.

use std::iter::Peekable;
use std::ops::Bound;

use redb::ReadableTable;

use super::batch::{Act, Write};
use super::broken::Broken;
use super::medium::Counts;
use super::record::HEADER;

type Rows<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// Does writes in their order. Keys beyond every earlier one are appended, which costs a third of inserting them.
pub(super) fn apply<'w>(
    table: &mut Rows<'_>,
    mut writes: Peekable<impl Iterator<Item = Write<'w>>>,
    counts: &mut Counts,
) -> Result<(), Broken> {
    while let Some(write) = writes.next() {
        match write.act {
            Act::Put if write.key > counts.highest.as_slice() => {
                let mut end = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
                let mut next = Some(write);
                while let Some(write) = next {
                    end.insert_before(write.key, write.value).map_err(redb::Error::from)?;
                    counts.rows += 1;
                    counts.bytes += (write.key.len() + write.value.len()) as u64;
                    counts.highest.clear();
                    counts.highest.extend_from_slice(write.key);
                    next = writes.next_if(|next| next.act == Act::Put && next.key > counts.highest.as_slice());
                }
                end.close().map_err(redb::Error::from)?;
            }
            Act::Put => {
                let before = table.insert(write.key, write.value)?;
                match before.map(|value| value.value().len()) {
                    Some(length) => counts.bytes = counts.bytes.saturating_sub((write.key.len() + length) as u64),
                    None => counts.rows += 1,
                }
                counts.bytes += (write.key.len() + write.value.len()) as u64;
            }
            Act::Delete => {
                let before = table.remove(write.key)?;
                if let Some(length) = before.map(|value| value.value().len()) {
                    counts.rows = counts.rows.saturating_sub(1);
                    counts.bytes = counts.bytes.saturating_sub((write.key.len() + length) as u64);
                }
            }
            Act::DeleteRange => {
                table.retain_in::<&[u8], _>(write.key..write.value, |key, value| {
                    counts.rows = counts.rows.saturating_sub(1);
                    counts.bytes = counts.bytes.saturating_sub((key.len() + value.len()) as u64);
                    false
                })?;
            }
        }
    }
    Ok(())
}

/// Removes from the front until `max_bytes` are left and nothing is older than `oldest`.
pub(super) fn cut(table: &mut Rows<'_>, counts: &mut Counts, max_bytes: u64, oldest: u64) -> Result<u64, Broken> {
    let mut dropped = 0;
    loop {
        // The time is read without its checksum: what is damaged goes in its turn like everything else.
        let aged = match table.first()? {
            Some((_, value)) => value
                .value()
                .get(4..HEADER)
                .is_none_or(|stamp| u64::from_le_bytes(stamp.try_into().unwrap_or_default()) < oldest),
            None => return Ok(dropped),
        };
        if counts.bytes <= max_bytes && !aged {
            return Ok(dropped);
        }
        if let Some((key, value)) = table.pop_first()? {
            counts.rows = counts.rows.saturating_sub(1);
            counts.bytes = counts.bytes.saturating_sub((key.value().len() + value.value().len()) as u64);
            dropped += 1;
        }
    }
}
