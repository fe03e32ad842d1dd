//! What stands under `file:`, and its check.

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::config::{ByteSize, Check, Period, Spanned};
use engine::journal::{Policy, Sync};
use schemars::JsonSchema;
use serde::Deserialize;

/// Appends every event to a file, one CloudEvent in JSON per line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The file; relative paths begin at the working directory. It is created, its folder is not.
    pub path: Spanned<PathBuf>,
    /// When lines are forced to the disk, and with that what a confirmation means.
    #[serde(default)]
    pub fsync: Fsync,
    /// How often `fsync: interval` forces lines to the disk; 1s unless given.
    pub interval: Option<Spanned<Period>>,
    /// When the file is full and what is kept.
    #[serde(default)]
    pub rotate: Rotate,
}

/// When lines are forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Fsync {
    /// Before an event is confirmed; events that wait together share one fsync.
    #[default]
    Always,
    /// Every `interval`; an event is confirmed once the operating system has it.
    Interval,
    /// When the operating system likes; an event is confirmed once it has it.
    Never,
}

/// Full files become `PATH.1`, the newest, to `PATH.keep`, the oldest.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotate {
    /// How large a file may be; 64MiB unless given.
    pub size: Option<Spanned<ByteSize>>,
    /// How many full files are kept beside the current one; 4 unless given. The oldest is removed, its lines are counted.
    pub keep: Option<Spanned<u16>>,
}

const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_MIN: Duration = Duration::from_millis(10);
const SIZE_MIN: u64 = 4 << 10;

impl Options {
    /// The path and the policy, if nothing is wrong.
    pub(super) fn meaning(self, check: &mut Check) -> Option<(PathBuf, Policy)> {
        let mut own = Check::default();
        if self.path.file_name().is_none() {
            own.error(self.path.span, "the path names no file", "write a path such as events.jsonl");
        } else if Path::new("/dev") == self.path.ancestors().nth(1).unwrap_or(&self.path) {
            own.error(self.path.span, "a device is no file", "write a file's path, or use the output kind 'log'");
        }
        let sync = match (self.fsync, &self.interval) {
            (Fsync::Interval, None) => Sync::Interval(INTERVAL),
            (Fsync::Interval, Some(interval)) => {
                if interval.0 < INTERVAL_MIN {
                    own.error(interval.span, "the interval is too short", "write at least 10ms, or fsync: always");
                }
                Sync::Interval(interval.0)
            }
            (fsync, interval) => {
                if let Some(interval) = interval {
                    own.error(
                        interval.span,
                        "only fsync: interval has an interval",
                        "remove it, or write fsync: interval",
                    );
                }
                if fsync == Fsync::Always { Sync::Always } else { Sync::Never }
            }
        };
        let usual = Policy::default();
        let size = self.rotate.size.map_or(usual.size, |size| {
            if size.0 < SIZE_MIN {
                own.error(size.span, "files this small rotate all the time", "write at least 4KiB");
            }
            size.0
        });
        let keep = self.rotate.keep.map_or(usual.keep, |keep| {
            if keep.value == 0 {
                own.error(keep.span, "a full file would be removed with all its events", "keep at least 1");
            }
            usize::from(keep.value)
        });
        let failed = own.failed();
        own.finish().into_iter().for_each(|diagnostic| check.note(diagnostic));
        (!failed).then_some((self.path.value, Policy { sync, size, keep }))
    }
}
