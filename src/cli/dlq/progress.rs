//! How far a replay is, on a terminal and nowhere else.

use std::io::{IsTerminal, Write, stderr};

use super::super::Failure;

/// Characters of the bar.
const WIDTH: u64 = 30;

/// A bar in the last line of the terminal.
pub(super) struct Progress {
    /// How many there are to do, where somebody sees it.
    total: Option<u64>,
}

impl Progress {
    /// Nothing is shown.
    pub(super) fn silent() -> Progress {
        Progress { total: None }
    }

    /// What there is to do is only asked for where it is shown.
    pub(super) fn of(total: impl FnOnce() -> Result<u64, Failure>) -> Result<Progress, Failure> {
        Ok(Progress { total: stderr().is_terminal().then(total).transpose()?.filter(|total| *total > 0) })
    }

    /// Shows how many are done.
    pub(super) fn show(&mut self, done: u64) {
        if let Some(total) = self.total {
            // A terminal that is gone is no reason to stop.
            let _ = write!(stderr(), "\r{}", bar(done, total));
        }
    }

    /// Takes it away.
    pub(super) fn end(&mut self) {
        if self.total.take().is_some() {
            let _ = write!(stderr(), "\r{:80}\r", "");
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let (done, total) = (done.min(total), total.max(1));
    let filled = done.saturating_mul(WIDTH) / total;
    let (full, rest) = ("#".repeat(filled as usize), " ".repeat((WIDTH - filled) as usize));
    format!("[{full}{rest}] {done} of {total} replayed")
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_grows_and_never_beyond_its_end() {
        assert_eq!(bar(0, 10), format!("[{}] 0 of 10 replayed", " ".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}] 5 of 10 replayed", "#".repeat(15), " ".repeat(15)));
        assert_eq!(bar(11, 10), format!("[{}] 10 of 10 replayed", "#".repeat(30)));
        assert_eq!(bar(0, 0), format!("[{}] 0 of 1 replayed", " ".repeat(30)));
    }
}
