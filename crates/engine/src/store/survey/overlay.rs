//! A file whose changes stay in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;
use redb::StorageBackend;

const PAGE: u64 = 4096;

/// A file as it is, under pages that were changed since it was opened.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    pages: HashMap<u64, Vec<u8>>,
    length: u64,
    /// Up to where the file below is still meant.
    below: u64,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Overlay> {
        let length = file.metadata()?.len();
        Ok(Overlay { file, changes: Mutex::new(Changes { pages: HashMap::new(), length, below: length }) })
    }

    /// One page of the file below; zeros where it has none.
    fn below(&self, page: u64, below: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; PAGE as usize];
        let start = page * PAGE;
        let there = below.saturating_sub(start).min(PAGE) as usize;
        self.file.read_exact_at(&mut bytes[..there], start)?;
        Ok(bytes)
    }
}

/// The pieces of `length` bytes from `offset` on: page, where in the page, and where in the piece.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let (page, within) = (at / PAGE, (at % PAGE) as usize);
        let piece = (length - done).min(PAGE as usize - within);
        let range = done..done + piece;
        done += piece;
        (piece > 0).then_some((page, within, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > changes.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (page, within, range) in pieces(offset, out.len()) {
            let piece = range.len();
            match changes.pages.get(&page) {
                Some(bytes) => out[range].copy_from_slice(&bytes[within..within + piece]),
                None => out[range].copy_from_slice(&self.below(page, changes.below)?[within..within + piece]),
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changes = self.changes.lock();
        if length < changes.length {
            let last = length / PAGE;
            // What is grown again later shall be zeros.
            let mut page = match changes.pages.remove(&last) {
                Some(page) => page,
                None => self.below(last, changes.below)?,
            };
            page[(length % PAGE) as usize..].fill(0);
            changes.pages.retain(|page, _| *page < last);
            changes.pages.insert(last, page);
            changes.below = changes.below.min(length);
        }
        changes.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes.lock();
        for (page, within, range) in pieces(offset, data.len()) {
            if !changes.pages.contains_key(&page) {
                let below = self.below(page, changes.below)?;
                changes.pages.insert(page, below);
            }
            if let Some(bytes) = changes.pages.get_mut(&page) {
                bytes[within..within + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stay_above_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let original: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        std::fs::write(&path, &original).unwrap();
        let overlay = Overlay::new(File::open(&path).unwrap()).unwrap();
        let mut model = original.clone();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            match random.u8(..10) {
                0 => {
                    let length = random.usize(1..20_000);
                    overlay.set_len(length as u64).unwrap();
                    model.resize(length, 0);
                }
                1..5 => {
                    let at = random.usize(..model.len());
                    let data = vec![random.u8(..); random.usize(..=(model.len() - at).min(9_000))];
                    overlay.write(at as u64, &data).unwrap();
                    model[at..at + data.len()].copy_from_slice(&data);
                }
                _ => {
                    let at = random.usize(..model.len());
                    let mut out = vec![1; random.usize(..=(model.len() - at).min(9_000))];
                    overlay.read(at as u64, &mut out).unwrap();
                    assert_eq!(out, &model[at..at + out.len()]);
                }
            }
            assert_eq!(overlay.len().unwrap(), model.len() as u64);
        }
        assert!(overlay.read(model.len() as u64, &mut [0]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), original);
    }
}
