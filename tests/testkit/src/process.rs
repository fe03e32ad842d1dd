//! A child process of a test: its lines are kept, its end can be awaited, and it dies with the test
//! that started it. Every signal goes to its own process id, so that tests which run side by side,
//! or a broker that the machine itself runs, are never hit.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::patience::within;

/// A running child. Dropping it kills it; if a test is failing then, its lines are printed first.
pub struct Process {
    name: String,
    child: Child,
    lines: Lines,
    readers: Vec<JoinHandle<()>>,
}

/// What a process has printed so far, on both streams.
#[derive(Clone)]
pub struct Lines {
    kept: Arc<Mutex<Vec<String>>>,
    count: watch::Sender<usize>,
}

/// Enough for any test; a process that prints more is not kept whole.
const LINES_MAX: usize = 100_000;

/// Of a process whose test fails, this many lines are shown.
const SHOWN_MAX: usize = 100;

impl Process {
    /// Starts the command with its output piped here and no input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("`{name}` cannot be started: {error}"));
        let lines = Lines { kept: Arc::default(), count: watch::Sender::new(0) };
        let readers = vec![
            lines.read(child.stdout.take().expect("the output is piped")),
            lines.read(child.stderr.take().expect("the errors are piped")),
        ];
        Self { name: name.to_owned(), child, lines, readers }
    }

    /// Its process id, as long as it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has printed.
    #[must_use]
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Whether it has ended, without waiting.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Asks it to stop with SIGTERM, and does not wait.
    pub fn ask(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask();
        self.wait().await
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub async fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Stops it where it is with SIGSTOP: its sockets stay open and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Process::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it has ended and everything it printed has been read.
    pub async fn wait(&mut self) -> ExitStatus {
        let what = format!("`{}` to end", self.name);
        let status = within(&what, self.child.wait()).await.expect("a child can be awaited");
        for reader in self.readers.drain(..) {
            within("the end of its output", reader).await.expect("the reader does not panic");
        }
        status
    }

    /// Waits for a line that `is_it` accepts, or for the end of the process.
    ///
    /// # Panics
    /// When the process ends without such a line, with everything it printed.
    pub async fn line(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let lines = self.lines.clone();
        tokio::select! {
            biased;
            line = lines.wait_for(what, &is_it) => return line,
            _ = self.child.wait() => {}
        }
        self.wait().await;
        let printed = self.lines.all();
        printed
            .iter()
            .find(|line| is_it(line))
            .cloned()
            .unwrap_or_else(|| panic!("`{}` ended before {what}; it printed:\n{}", self.name, printed.join("\n")))
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        // A process that has just ended by itself cannot be signalled, and need not be.
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines.all();
            let last = &lines[lines.len().saturating_sub(SHOWN_MAX)..];
            eprintln!(
                "--- `{}` printed last:
{}
---",
                self.name,
                last.join(
                    "
"
                )
            );
        }
        self.signal(Signal::KILL);
    }
}

impl Lines {
    /// Every line so far; the two streams are mixed in the order in which they were read.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.kept.lock().clone()
    }

    /// Waits for a line that `is_it` accepts, among those printed before too.
    pub async fn wait_for(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut count = self.count.subscribe();
        let found = || self.kept.lock().iter().find(|line| is_it(line)).cloned();
        within(what, count.wait_for(|_| found().is_some())).await.expect("the lines are kept");
        found().expect("a kept line stays")
    }

    fn read(&self, stream: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream).lines();
            // An unreadable line ends the reading; the process itself is what the test watches.
            while let Ok(Some(line)) = stream.next_line().await {
                let mut kept = lines.kept.lock();
                if kept.len() < LINES_MAX {
                    kept.push(line);
                }
                drop(kept);
                lines.count.send_modify(|count| *count += 1);
            }
        })
    }
}

#[cfg(test)]
mod tests;
