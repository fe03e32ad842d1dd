//! What is to go to outputs besides, beside the letters themselves: for each output an index of the letters that wait for it,
//! and one table of what became of the others; and for each output that is told of failures, what it is to be told.
//!
//! Decisions: a letter and its place in the index are **written together**, so that none is forgotten, whoever is killed when;
//! the index holds names only, so that whoever forwards reads what waits and nothing else; and forwarding **never writes a
//! letter**, so that one which is removed meanwhile cannot come back. What outlives its letter is found where it is come upon.
//! A notice is written whole: it is owed whatever becomes of its letter. It takes room beside the letters, and counts as they do.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Archive, PAGE_BYTES, Page, TABLE};
use crate::dead_letter::{Content, Id, Letter, Progress};
use crate::event::{Event, Text};
use crate::router::returns;
use crate::store::{Batch, Error, Quota, Spec, Stamp, Store, Table};

/// What the tables of outputs begin with.
const WAITING: &str = "outbox/";
/// What the tables of outputs begin with that are told of failures.
const TOLD: &str = "told/";
/// The table of what does not wait any more.
const MARKS: &str = "forwarded";

/// What goes to an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Post {
    /// Dead letters themselves.
    Letters,
    /// What is told of deliveries that were given up.
    Notices,
}

/// The outputs to which something goes besides: names, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressees {
    /// Those that get letters.
    pub letters: Vec<Text>,
    /// Those that get notices.
    pub notices: Vec<Text>,
}

impl Addressees {
    fn all(&self) -> impl Iterator<Item = (Post, &Text)> {
        let letters = self.letters.iter().map(|output| (Post::Letters, output));
        letters.chain(self.notices.iter().map(|output| (Post::Notices, output)))
    }
}

impl Post {
    /// The name of an output's table.
    fn table(self, output: &str) -> Text {
        match self {
            Post::Letters => format!("{WAITING}{output}").into(),
            Post::Notices => format!("{TOLD}{output}").into(),
        }
    }

    /// What it is called in sentences.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Post::Letters => "dead letters",
            Post::Notices => "notices of failures",
        }
    }
}

/// What waits for one output.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    pub(crate) post: Post,
    output: Text,
    table: Table,
    /// Told when something was added.
    news: Arc<Notify>,
}

/// Something that waits.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: Id,
    /// When it was given up.
    pub(crate) last: Stamp,
    /// What is to be sent. Nothing if its letter has been removed; a sentence where it cannot be read.
    pub(crate) event: Option<Result<Event, String>>,
}

/// What became of something that waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not there any more.
    Gone,
    /// It waits no more.
    Over(Progress),
}

impl Outbox {
    /// Waits for a letter that was added since this was last asked. Cancel safe.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

impl Archive {
    /// What has to be asked of a store that holds dead letters, some of which go to these outputs.
    #[must_use]
    pub fn specs(quota: Quota, outputs: &Addressees) -> Vec<Spec> {
        let letters = Spec { name: Text::new_static(TABLE), quota };
        // As old as their letters, and never more.
        let beside = Quota { max_age: quota.max_age, ..Quota::default() };
        let marks = Spec { name: Text::new_static(MARKS), quota: beside };
        let waiting = |(post, output): (Post, &Text)| {
            let quota = if post == Post::Letters { beside } else { quota };
            Spec { name: post.table(output), quota }
        };
        [letters, marks].into_iter().chain(outputs.all().map(waiting)).collect()
    }

    /// The dead letters in a store that was opened with [`Archive::specs`] for these outputs.
    #[must_use]
    pub fn of(store: &Store, quota: Quota, outputs: &Addressees) -> Option<Archive> {
        let outbox = |(post, output): (Post, &Text)| {
            let table = store.table(&post.table(output))?;
            Some(Outbox { post, output: output.clone(), table, news: Arc::default() })
        };
        let outboxes = outputs.all().map(outbox).collect::<Option<Arc<[Outbox]>>>()?;
        let (table, marks) = (store.table(TABLE)?, store.table(MARKS)?);
        Some(Archive { store: store.clone(), table, marks, outboxes, quota })
    }

    /// Outputs that nobody opened the store for, and how much waits for each.
    #[must_use]
    pub fn stranded(&self, post: Post) -> Vec<(Text, u64)> {
        let prefix = post.table("");
        let strangers = self.store.strangers().iter().filter(|(_, rows)| *rows > 0);
        strangers.filter_map(|(name, rows)| Some((name.strip_prefix(&*prefix)?.into(), *rows))).collect()
    }

    pub(crate) fn outbox(&self, post: Post, output: &str) -> Option<&Outbox> {
        self.outboxes.iter().find(|outbox| outbox.post == post && outbox.output == output)
    }

    /// How much waits for this output, as of the last transaction.
    #[must_use]
    pub fn waiting(&self, post: Post, output: &str) -> u64 {
        self.outbox(post, output).map_or(0, |outbox| self.store.usage(outbox.table).rows)
    }

    /// Bytes of what outputs are still to be told.
    pub(in crate::dead_letter) fn untold(&self) -> u64 {
        let boxes = self.outboxes.iter().filter(|outbox| outbox.post == Post::Notices);
        boxes.map(|outbox| self.store.usage(outbox.table).bytes).sum()
    }

    /// Adds what these outputs are to be told of a letter.
    pub(in crate::dead_letter) fn tell(&self, batch: &mut Batch, id: Id, letter: &Letter, outputs: &[Text]) {
        let (Some(notice), Content::Event(event)) = (letter.notice(id), &letter.content) else { return };
        for outbox in outputs.iter().filter_map(|output| self.outbox(Post::Notices, output)) {
            let goes_back = returns::is(&outbox.output).then(|| returns::returned(notice.clone(), event));
            batch.put(outbox.table, &id.key(), letter.last, |into| goes_back.as_ref().unwrap_or(&notice).pack(into));
        }
    }

    /// Adds a letter to what is to be written, and to what waits.
    pub(in crate::dead_letter) fn add(&self, batch: &mut Batch, id: Id, letter: &Letter) {
        batch.put(self.table, &id.key(), letter.last, |into| letter.pack(into));
        if let Some(outbox) = letter.forward.as_ref().and_then(|forward| self.outbox(Post::Letters, &forward.output)) {
            batch.put(outbox.table, &id.key(), letter.last, |_| ());
        }
    }

    /// Says that something for this output is on the disk.
    pub(in crate::dead_letter) fn wake(&self, post: Post, output: &str) {
        if let Some(outbox) = self.outbox(post, output) {
            outbox.news.notify_one();
        }
    }

    /// Takes everything of a letter away.
    pub(super) fn take_away(&self, batch: &mut Batch, id: Id, output: Option<&str>) {
        batch.delete(self.table, &id.key());
        if let Some(output) = output {
            batch.delete(self.marks, &id.key());
            if let Some(outbox) = self.outbox(Post::Letters, output) {
                batch.delete(outbox.table, &id.key());
            }
        }
    }

    /// Fills in how far the letters of a page are.
    pub(super) fn look_up(&self, page: &mut Page) -> Result<(), Error> {
        for (id, letter) in &mut page.letters {
            let Some(forward) = &mut letter.forward else { continue };
            let key = id.key();
            if let Some((_, value)) = self.store.get(self.marks, &key)? {
                forward.progress =
                    Progress::unpack(&value).map_err(|_| self.store.damaged(self.marks, key.to_vec()))?;
            }
        }
        Ok(())
    }

    /// What waits next, the oldest first; fewer where they are large. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Unreadable`] or [`Error::Away`].
    pub(crate) fn next(&self, outbox: &Outbox, limit: usize) -> Result<Vec<Found>, Error> {
        let mut waiting = Vec::new();
        self.store.scan(outbox.table, &[], None, |key, record| {
            waiting.extend(Id::of(key).map(|id| (id, record.stamp)));
            if waiting.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let (mut found, mut bytes) = (Vec::with_capacity(waiting.len()), 0);
        let table = if outbox.post == Post::Letters { self.table } else { outbox.table };
        for (id, last) in waiting {
            let event = match self.store.get(table, &id.key()) {
                Ok(None) => None,
                Ok(Some((_, value))) => {
                    bytes += value.len();
                    let damaged = || self.store.damaged(table, id.key().to_vec()).to_string();
                    Some(match outbox.post {
                        Post::Letters => Letter::unpack(&value)
                            .map_err(|_| damaged())
                            .and_then(|letter| letter.event(id).map_err(|error| error.to_string())),
                        Post::Notices => Event::unpack(&value.into()).map_err(|_| damaged()),
                    })
                }
                Err(error @ Error::Damaged { .. }) => Some(Err(error.to_string())),
                Err(error) => return Err(error),
            };
            found.push(Found { id, last, event });
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Ok(found)
    }

    /// Adds to what is to be written what became of something that waited. A notice that waits no more is gone.
    pub(crate) fn settle(&self, batch: &mut Batch, outbox: &Outbox, id: Id, last: Stamp, fate: &Fate) {
        batch.delete(outbox.table, &id.key());
        if let (Fate::Over(progress), Post::Letters) = (fate, outbox.post) {
            batch.put(self.marks, &id.key(), last, |into| progress.pack(into));
        }
    }

    /// Takes away what is known of letters that a quota has removed, or somebody while they were on their way. Blocks for as
    /// long as the disk takes, which is rarely asked for.
    ///
    /// # Errors
    /// As [`Archive::next`], or [`Error::Ended`].
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        if self.store.usage(self.marks).rows <= self.usage().rows {
            return Ok(());
        }
        let mut oldest = None;
        self.store.scan(self.table, &[], None, |key, _| {
            oldest = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        let oldest = oldest.or_else(|| Some(self.newest()?.behind().to_vec())).unwrap_or_default();
        let mut batch = Batch::default();
        batch.delete_range(self.marks, &[], &oldest);
        self.store.free(&mut batch).map(drop)
    }
}
