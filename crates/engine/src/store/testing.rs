//! A disk in memory that can lose its power: then it keeps what was synced, and of the rest nothing or a seeded part.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use redb::StorageBackend;
use tokio::sync::watch;

use super::disk::{Disk, Opener};
use super::{Schema, Settings, Spec, Store};

const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(crate) struct Platter(Arc<State>);

#[derive(Debug)]
struct State {
    inner: Mutex<Inner>,
    lost: watch::Sender<bool>,
    /// Told when whoever opens it may go on.
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    /// What reading shows.
    now: Vec<u8>,
    /// What is safe.
    synced: Vec<u8>,
    /// What happened since, in order.
    since: Vec<Change>,
    /// Operations until the power goes.
    fuse: Option<u64>,
    powered: bool,
    /// The mutation: a sync is confirmed and nothing is synced.
    ignore_syncs: bool,
    /// A sync fails.
    refuse_syncs: bool,
    /// Bytes that fit.
    capacity: Option<u64>,
    /// Reads that fail, from now on.
    bad_reads: usize,
    /// Whoever opens it waits.
    held: bool,
    /// Those who wait so.
    waiting: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Platter {
    pub(crate) fn new(image: Vec<u8>) -> Platter {
        let inner = Inner { now: image.clone(), synced: image, powered: true, ..Inner::default() };
        Platter(Arc::new(State { inner: Mutex::new(inner), lost: watch::Sender::new(false), let_go: Condvar::new() }))
    }

    pub(super) fn opener(&self) -> Opener {
        let platter = self.clone();
        Box::new(move || {
            let mut inner = platter.0.inner.lock();
            inner.waiting += 1;
            platter.0.let_go.wait_while(&mut inner, |inner| inner.held);
            inner.waiting -= 1;
            drop(inner);
            Ok(Box::new(platter.clone()))
        })
    }

    /// A store on it.
    pub(crate) fn store(&self, schema: Schema, specs: Vec<Spec>, settings: Settings) -> Result<Store, String> {
        let specs: Arc<[Spec]> = specs.into();
        let disk = Disk::open(self.opener(), schema, Arc::clone(&specs)).map_err(|failure| failure.to_string())?;
        Store::on("platter".into(), specs, disk, settings).map_err(|cause| cause.to_string())
    }

    /// The power goes at the operation of this number, counted from now.
    pub(crate) fn light(&self, fuse: u64) {
        self.0.inner.lock().fuse = Some(fuse);
    }

    pub(crate) fn ignore_syncs(&self) {
        self.0.inner.lock().ignore_syncs = true;
    }

    pub(crate) fn refuse_syncs(&self) {
        self.0.inner.lock().refuse_syncs = true;
    }

    pub(crate) fn fits(&self, capacity: u64) {
        self.0.inner.lock().capacity = Some(capacity);
    }

    /// So many reads fail.
    pub(crate) fn fail_reads(&self, count: usize) {
        self.0.inner.lock().bad_reads = count;
    }

    /// From now on whoever opens it waits until it is let go.
    pub(crate) fn hold(&self) {
        self.0.inner.lock().held = true;
    }

    pub(crate) fn let_go(&self) {
        self.0.inner.lock().held = false;
        self.0.let_go.notify_all();
    }

    /// Whether somebody waits to open it.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.0.inner.lock().waiting > 0
    }

    pub(crate) fn length(&self) -> u64 {
        self.0.inner.lock().now.len() as u64
    }

    /// Waits until the power is gone.
    pub(super) async fn lost(&self) {
        let _ = self.0.lost.subscribe().wait_for(|lost| *lost).await;
    }

    pub(crate) fn is_lost(&self) -> bool {
        !self.0.inner.lock().powered
    }

    /// Takes the power away.
    pub(crate) fn cut(&self) {
        self.0.inner.lock().powered = false;
        self.0.lost.send_replace(true);
    }

    /// What is found afterwards: what was synced and, of everything since, nothing or each sector as the dice fall.
    pub(crate) fn found(&self, dice: Option<&mut fastrand::Rng>) -> Vec<u8> {
        let inner = self.0.inner.lock();
        let mut image = inner.synced.clone();
        let Some(dice) = dice else { return image };
        // From all but nothing to all but everything.
        let share = dice.f64();
        for change in &inner.since {
            match change {
                Change::Length(length) if dice.f64() < share => image.resize(*length, 0),
                Change::Length(_) => {}
                Change::Write(offset, data) => {
                    for (at, sector) in data.chunks(SECTOR).enumerate() {
                        if dice.f64() < share {
                            overwrite(&mut image, offset + at * SECTOR, sector);
                        }
                    }
                }
            }
        }
        image
    }

    fn operate<T>(&self, work: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.0.inner.lock();
        if let Some(fuse) = &mut inner.fuse {
            *fuse = fuse.saturating_sub(1);
            if *fuse == 0 && inner.powered {
                inner.powered = false;
                self.0.lost.send_replace(true);
            }
        }
        if inner.powered { work(&mut inner) } else { Err(io::Error::other("the power is gone")) }
    }
}

fn overwrite(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if image.len() < offset + data.len() {
        image.resize(offset + data.len(), 0);
    }
    image[offset..offset + data.len()].copy_from_slice(data);
}

impl StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        self.operate(|inner| Ok(inner.now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.operate(|inner| {
            if let Some(left) = inner.bad_reads.checked_sub(1) {
                inner.bad_reads = left;
                return Err(io::Error::other("input/output error"));
            }
            let from = offset as usize;
            out.copy_from_slice(inner.now.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.operate(|inner| {
            inner.now.resize(length as usize, 0);
            inner.since.push(Change::Length(length as usize));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(|inner| {
            if inner.refuse_syncs {
                return Err(io::Error::other("input/output error"));
            }
            if !inner.ignore_syncs {
                inner.synced = inner.now.clone();
                inner.since.clear();
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(|inner| {
            let (offset, end) = (offset as usize, offset + data.len() as u64);
            if inner.capacity.is_some_and(|capacity| end > capacity) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            overwrite(&mut inner.now, offset, data);
            inner.since.push(Change::Write(offset, data.to_vec()));
            Ok(())
        })
    }
}
