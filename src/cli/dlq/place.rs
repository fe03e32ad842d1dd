//! Where dead letters are: in a running engine, which is asked page by page, or in the folder of a stopped one.

use std::collections::BTreeMap;
use std::path::Path;

use engine::dead_letter::{Archive, By, FILE};
use engine::event::Event;
use engine::event::json::encode_line;
use engine::port::{Clock, SystemClock};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::super::Failure;
use super::super::remote::Remote;
use super::{PATIENCE, Pair, Where, selection};
use crate::admin::client::{self, Request};
use crate::run::{Folder, StateError};

/// Where they are.
pub(super) enum Place<'w> {
    Engine(&'w Remote),
    Folder(Box<Stopped>),
}

/// The folder of a stopped engine, while nobody else may run on it.
pub(super) struct Stopped {
    runtime: Runtime,
    archive: Archive,
    // Dropped last, so that nobody begins to run on a file that is open.
    _folder: Folder,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Everything that was said to be done is on the disk; this only spares the next start a repair.
        drop(self.runtime.block_on(self.archive.close()));
    }
}

/// Sees one letter, as one line of JSON; answers whether to go on.
pub(super) type Visit<'v> = dyn FnMut(&str) -> Result<bool, Failure> + 'v;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    dead_letters: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// What became of one piece of an export.
#[derive(Clone, Copy, Default, Deserialize)]
pub(super) struct Imported {
    pub(super) imported: u64,
    pub(super) duplicates: u64,
}

/// What became of one piece of a replay.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece {
    replayed: u64,
    handed_back: u64,
    skipped: BTreeMap<String, u64>,
    next: Option<String>,
    upto: Option<String>,
}

impl<'w> Place<'w> {
    pub(super) fn find(place: &'w Where) -> Result<Place<'w>, Failure> {
        let Some(path) = &place.state else { return Ok(Place::Engine(&place.remote)) };
        if !path.join(FILE).is_file() {
            let sentence = format!("there are no dead letters in '{}': it has no file '{FILE}'", path.display());
            return Err(Failure::failed(sentence));
        }
        match Folder::open(path, Some("tidemill-dlq")) {
            Ok(folder) => Stopped::open(path, folder).map(|stopped| Place::Folder(Box::new(stopped))),
            Err(StateError::Held { instance, .. }) => {
                place.remote.answers_for(path, instance.as_deref(), PATIENCE)?;
                Ok(Place::Engine(&place.remote))
            }
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// Shows the letters that are meant, the oldest first.
    pub(super) fn each(&self, pairs: &[Pair], limit: Option<u64>, visit: &mut Visit<'_>) -> Result<(), Failure> {
        let mut left = limit.unwrap_or(u64::MAX);
        let mut after = None;
        while left > 0 {
            let page = self.page(pairs, after.as_deref(), left)?;
            for letter in &page.dead_letters {
                left = left.saturating_sub(1);
                if !visit(letter.get())? {
                    return Ok(());
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn page(&self, pairs: &[Pair], after: Option<&str>, limit: u64) -> Result<Page, Failure> {
        match self {
            Place::Engine(remote) => {
                let limit = limit.to_string();
                let after = after.iter().map(|after| ("after", *after));
                let path = path("/v1/dead-letters", pairs, after.chain([("limit", limit.as_str())]));
                let body = remote.fetch(Request { method: "GET", path: &path, body: b"" }, PATIENCE)?;
                serde_json::from_slice(&body).map_err(Failure::failed)
            }
            Place::Folder(stopped) => {
                let after = after.map(str::parse).transpose().map_err(Failure::failed)?;
                let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(1000);
                let page = stopped.archive.page(&selection(pairs)?, after, limit).map_err(Failure::failed)?;
                let letter = |(id, letter): &(_, engine::dead_letter::Letter)| {
                    let mut text = Vec::new();
                    letter.write_json(*id, &mut text);
                    let text = String::from_utf8(text).map_err(Failure::failed)?;
                    RawValue::from_string(text).map_err(Failure::failed)
                };
                let dead_letters = page.letters.iter().map(letter).collect::<Result<_, _>>()?;
                Ok(Page { dead_letters, next: page.next.map(|id| id.to_string()) })
            }
        }
    }

    /// How many there are of each sort: `{name, count, oldest, newest}`.
    pub(super) fn groups(&self, pairs: &[Pair], by: &str) -> Result<Vec<Value>, Failure> {
        let groups = match self {
            Place::Engine(remote) => {
                remote.ask("GET", &path("/v1/dead-letters", pairs, [("group", by)]), PATIENCE)?["groups"].take()
            }
            Place::Folder(stopped) => {
                let by = By::read(by).map_err(Failure::refused)?;
                json!(stopped.archive.groups(&selection(pairs)?, by).map_err(Failure::failed)?)
            }
        };
        serde_json::from_value(groups).map_err(Failure::failed)
    }

    /// How many are meant.
    pub(super) fn total(&self, pairs: &[Pair]) -> Result<u64, Failure> {
        Ok(self.groups(pairs, "reason")?.iter().filter_map(|group| group["count"].as_u64()).sum())
    }

    /// Has what is meant run again, piece by piece, and says after each how many were: `{replayed, handedBack, skipped}`; no
    /// pairs mean everything.
    pub(super) fn replay(&self, pairs: &[Pair], drive: &[Pair], said: &mut dyn FnMut(u64)) -> Result<Value, Failure> {
        let Place::Engine(remote) = self else {
            return Err(Failure::failed(
                "a replay needs the engine whose rules run them again; start it with 'tidemill run'",
            ));
        };
        let (mut replayed, mut handed_back, mut skipped) = (0, 0, BTreeMap::<String, u64>::new());
        let (mut after, mut upto) = (None, None);
        loop {
            let all = pairs.is_empty().then_some(("all", "true"));
            let options = drive.iter().map(|(name, text)| (*name, text.as_str())).chain(all);
            let span = [("after", after.as_deref()), ("upto", upto.as_deref())];
            let span = span.into_iter().filter_map(|(name, id)| Some((name, id?)));
            let path = path("/v1/dead-letters/replay", pairs, options.chain(span));
            let piece: Piece =
                serde_json::from_value(remote.ask("POST", &path, PATIENCE * 10)?).map_err(Failure::failed)?;
            replayed += piece.replayed;
            handed_back += piece.handed_back;
            said(replayed);
            piece.skipped.into_iter().for_each(|(reason, count)| *skipped.entry(reason).or_default() += count);
            if piece.next.is_none() || handed_back > 0 {
                return Ok(json!({ "replayed": replayed, "handedBack": handed_back, "skipped": skipped }));
            }
            (after, upto) = (piece.next, piece.upto);
        }
    }

    /// Adds lines of an export; how many were added, and how many were there.
    pub(super) fn import(&self, lines: &str) -> Result<Imported, Failure> {
        match self {
            Place::Engine(remote) => {
                let request = Request { method: "POST", path: "/v1/dead-letters/import", body: lines.as_bytes() };
                serde_json::from_value(remote.tell(request, PATIENCE)?).map_err(Failure::failed)
            }
            Place::Folder(stopped) => {
                let now = SystemClock.now().into();
                let imported = stopped.runtime.block_on(stopped.archive.import(lines, now)).map_err(Failure::failed)?;
                Ok(Imported { imported: imported.imported, duplicates: imported.duplicates })
            }
        }
    }

    /// Puts an event in the place of a letter's own, if that was edited `edits` times until now.
    pub(super) fn edit(&self, id: &str, edits: u32, event: Event) -> Result<(), Failure> {
        match self {
            Place::Engine(remote) => {
                let (mut body, path) = (Vec::new(), format!("/v1/dead-letters/{}?edits={edits}", client::segment(id)));
                encode_line(&event, &mut body);
                remote.tell(Request { method: "PUT", path: &path, body: &body }, PATIENCE).map(drop)
            }
            Place::Folder(stopped) => {
                let id = id.parse().map_err(Failure::refused)?;
                let edited = stopped.runtime.block_on(stopped.archive.edit(id, edits, event));
                edited.map(drop).map_err(Failure::failed)
            }
        }
    }

    /// Removes what is meant, or only counts it; no pairs mean everything.
    pub(super) fn purge(&self, pairs: &[Pair], dry_run: bool) -> Result<u64, Failure> {
        match self {
            Place::Engine(remote) => {
                let options = [("all", pairs.is_empty()), ("dryRun", dry_run)];
                let options = options.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (name, "true"));
                let answer = remote.ask("POST", &path("/v1/dead-letters/purge", pairs, options), PATIENCE * 10)?;
                let key = if dry_run { "wouldPurge" } else { "purged" };
                answer[key].as_u64().ok_or_else(|| Failure::failed("the answer says no number"))
            }
            Place::Folder(stopped) => {
                let selection = selection(pairs)?;
                let count = match dry_run {
                    true => stopped.archive.count(&selection),
                    false => stopped.runtime.block_on(stopped.archive.purge(&selection)),
                };
                count.map_err(Failure::failed)
            }
        }
    }
}

impl Stopped {
    fn open(path: &Path, folder: Folder) -> Result<Stopped, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Failure::failed)?;
        Ok(Stopped { runtime, archive: Archive::open(path).map_err(Failure::failed)?, _folder: folder })
    }
}

/// A path with its query.
fn path<'p>(path: &str, pairs: &'p [Pair], options: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let pairs = pairs.iter().map(|(name, text)| (*name, text.as_str())).chain(options);
    let query: Vec<String> = pairs.map(|(name, text)| format!("{name}={}", client::segment(text))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}
