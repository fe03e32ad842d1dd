//! One log of the ledger: a file that grows to its bound, and the one before it.
//!
//! Decisions: **when the file is full, the older one goes**, so that no less than one file's worth is there and no more than
//! two, and nothing is ever written in the middle of a file; **what a crash has torn is cut off** when the file is opened, and
//! a frame in the middle that is not what was written is passed over and counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::frame::{self, Frame, HEADER, MAGIC, MAX};

/// A log that is written to.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Bytes of whole frames, with what stands before them.
    length: u64,
    /// A file is not made longer than so.
    bound: u64,
    /// A failed write may have left something behind `length`.
    soiled: bool,
}

/// The file before the one at this path.
pub(super) fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// What was passed over while a file was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Bytes up to the end of the last frame.
    pub(super) length: u64,
    /// Frames that are not what was written.
    pub(super) damaged: u64,
}

/// Shows every frame of the file, if it is there.
///
/// # Errors
/// When it cannot be read, or is no file of a ledger.
pub(super) fn scan(path: &Path, mut visit: impl FnMut(Frame)) -> io::Result<Scan> {
    let file = match File::open(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Scan::default()),
        opened => opened?,
    };
    let whole = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let mut magic = [0; MAGIC.len()];
    if whole < magic.len() as u64 {
        return Ok(Scan::default());
    }
    reader.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(io::Error::other("it is no ledger of this version; move it away, and a new one is begun"));
    }
    let mut scan = Scan { length: magic.len() as u64, damaged: 0 };
    let mut body = Vec::new();
    while whole - scan.length >= HEADER as u64 {
        let mut bytes = [0; HEADER];
        reader.read_exact(&mut bytes)?;
        let (length, sum) = frame::header(&bytes);
        let end = scan.length + (HEADER + length) as u64;
        if length == 0 || length > MAX || end > whole {
            break;
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        match frame::read(&body, sum) {
            Ok(frame) => visit(frame),
            Err(_) => scan.damaged += 1,
        }
        scan.length = end;
    }
    Ok(scan)
}

impl Log {
    /// Opens or makes the file, and cuts off what a crash has torn.
    ///
    /// # Errors
    /// As [`scan`], or when it cannot be written to.
    pub(super) fn open(path: &Path, bound: u64) -> io::Result<Log> {
        let found = scan(path, |_| ())?;
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let mut log = Log { path: path.to_owned(), file, length: found.length, bound, soiled: true };
        log.clean()?;
        Ok(log)
    }

    /// Whether nothing was ever written to it.
    pub(super) fn is_new(&self) -> bool {
        self.length <= MAGIC.len() as u64
    }

    /// Whether so many bytes would make it too long.
    pub(super) fn is_full(&self, bytes: usize) -> bool {
        !self.is_new() && self.length + bytes as u64 > self.bound
    }

    /// Begins a new file; the one that is full takes the place of the one before it.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        fs::rename(&self.path, before(&self.path))?;
        self.file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        (self.length, self.soiled) = (0, true);
        self.clean()
    }

    /// Appends frames, all of them or none, and has them forced to the disk where that is said.
    ///
    /// # Errors
    /// The operating system's, such as a full disk.
    pub(super) fn append(&mut self, frames: &[u8], force: bool) -> io::Result<()> {
        self.clean()?;
        self.soiled = true;
        self.file.write_all(frames)?;
        if force {
            self.file.sync_data()?;
        }
        self.length += frames.len() as u64;
        self.soiled = false;
        Ok(())
    }

    /// Leaves whole frames behind the beginning that every file has.
    fn clean(&mut self) -> io::Result<()> {
        if !self.soiled {
            return Ok(());
        }
        if self.length < MAGIC.len() as u64 {
            self.file.set_len(0)?;
            self.file.write_all(MAGIC)?;
            self.length = MAGIC.len() as u64;
        } else {
            self.file.set_len(self.length)?;
        }
        self.soiled = false;
        Ok(())
    }

    /// Bytes of the file, and of the one before it.
    pub(super) fn bytes(&self) -> u64 {
        self.length + fs::metadata(before(&self.path)).map_or(0, |file| file.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stamp;

    fn frame_of(time: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::end(Stamp(time), &mut bytes);
        bytes
    }

    fn times(path: &Path) -> (Vec<u64>, u64) {
        let mut times = Vec::new();
        let damaged = scan(path, |frame| {
            let Frame::End(Stamp(time)) = frame else { panic!("{frame:?}") };
            times.push(time);
        });
        (times, damaged.unwrap().damaged)
    }

    #[test]
    fn what_is_torn_is_cut_off_and_what_is_damaged_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        assert_eq!(scan(&path, |_| ()).unwrap(), Scan::default());
        let mut log = Log::open(&path, 1 << 20).unwrap();
        assert!(log.is_new());
        (1..=3).for_each(|time| log.append(&frame_of(time), time == 2).unwrap());
        drop(log);
        assert_eq!(times(&path), (vec![1, 2, 3], 0));
        let whole = fs::read(&path).unwrap();
        let one = frame_of(0).len();
        for cut in 1..one {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let mut log = Log::open(&path, 1 << 20).unwrap();
            log.append(&frame_of(4), false).unwrap();
            assert_eq!(times(&path), (vec![1, 2, 4], 0), "{cut}");
        }
        for byte in MAGIC.len() + one + HEADER..MAGIC.len() + 2 * one {
            let mut flipped = whole.clone();
            flipped[byte] ^= 4;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(times(&path), (vec![1, 3], 1), "{byte}");
        }
        for length in 0..MAGIC.len() {
            fs::write(&path, &whole[..length]).unwrap();
            Log::open(&path, 1 << 20).unwrap().append(&frame_of(5), false).unwrap();
            assert_eq!(times(&path), (vec![5], 0), "{length}");
        }
        fs::write(&path, "something else entirely").unwrap();
        assert!(Log::open(&path, 1 << 20).unwrap_err().to_string().contains("move it away"));
    }

    #[test]
    fn the_oldest_file_goes_when_there_are_two_and_a_third_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let one = frame_of(0).len() as u64;
        let mut log = Log::open(&path, MAGIC.len() as u64 + 3 * one).unwrap();
        for time in 0..20 {
            let bytes = frame_of(time);
            if log.is_full(bytes.len()) {
                log.turn().unwrap();
            }
            log.append(&bytes, false).unwrap();
            let (older, newer) = (times(&before(&path)).0, times(&path).0);
            let all: Vec<u64> = older.into_iter().chain(newer).collect();
            assert_eq!(all, (all[0]..=time).collect::<Vec<_>>());
            assert!(all.len() as u64 >= (time + 1).min(3) && all.len() <= 6, "{all:?}");
        }
        assert_eq!(log.bytes(), fs::metadata(&path).unwrap().len() + fs::metadata(before(&path)).unwrap().len());
    }
}
