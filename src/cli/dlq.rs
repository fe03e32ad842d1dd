//! `tidemill dlq`: what was given up and why; put right, sent on its way again, or away with it.
//!
//! Decision: **the folder's lock decides where it is looked up**. With `--state` the folder is opened if nobody runs on it,
//! and whoever does is asked otherwise; so a script need not know whether the engine is up, and nobody reads a file that an
//! engine writes to.

mod edit;
mod export;
mod import;
mod place;
mod progress;
mod shown;

use std::path::PathBuf;
use std::time::Duration;

use engine::config::Period;
use engine::dead_letter::{Selection, ago};
use engine::port::{Clock, SystemClock};
use engine::supervisor::Drive;

use super::remote::Remote;
use super::{Exit, Failure, data, note};
use place::Place;
use progress::Progress;

/// List, show, count, edit, replay, export, import and remove dead letters: what was given up, and why
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tidemill dlq list --since 2h
  tidemill dlq list --group reason
  tidemill dlq list --rule telemetry/battery --where type=org.example.alert --json
  tidemill dlq show 01m7zsytm000
  tidemill dlq export --state /var/lib/tidemill dead.jsonl
  tidemill dlq replay --rule telemetry/battery --since 2h --dry-run
  tidemill dlq replay --reason exhausted --through router --rate 50
  tidemill dlq edit 01m7zsytm000 --merge @fix.json
  tidemill dlq import --state /var/lib/tidemill dead.jsonl
  tidemill dlq purge --reason undecodable --until 2026-11-01T00:00:00Z --dry-run

Without --state the running engine is asked. Exit codes: 0 well, 1 failed, 2 wrong usage.";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List dead letters, the oldest first, or count them by what they have in common
    List(List),
    /// Show one dead letter with its event
    Show(Show),
    /// Send dead letters to the rules that gave them up again; needs an id, a filter, or --all
    ///
    /// Asks the running engine. A letter goes to its own rule only, unless --through says otherwise, and is removed once that has
    /// settled it; what fails again is a new dead letter, which says so in 'redrives'. After 16 of those it stays. Interrupted, it
    /// loses nothing.
    Replay(Replay),
    /// Put right the event of one dead letter: its payload or its attributes
    Edit(edit::Edit),
    /// Remove dead letters for good; needs an id, a filter, or --all
    Purge(Chosen),
    /// Write dead letters as JSON lines, one object each, to a file or to standard output
    Export(Export),
    /// Bring dead letters back that `export` has written, under their old ids; those that are there stay as they are
    Import(import::Import),
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct List {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Where,
    /// Count by reason, rule or function instead of listing
    #[arg(long, value_name = "WHAT", value_parser = ["reason", "rule", "function"])]
    group: Option<String>,
    /// How many at most; 100 by default, and with --json all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "group")]
    limit: Option<u64>,
    /// Not available yet: what has gone to an output is read with the broker's own client
    #[arg(long, value_name = "OUTPUT", hide = true)]
    from: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Show {
    /// Which one, as `tidemill dlq list` names it
    id: String,
    #[command(flatten)]
    place: Where,
    /// Print the JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Chosen {
    /// Which ones, as `tidemill dlq list` names them
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// Every dead letter
    #[arg(long)]
    all: bool,
    /// Only say how many are meant
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Where,
    /// Print {purged}, {wouldPurge}, or {replayed, handedBack, skipped}, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Replay {
    #[command(flatten)]
    chosen: Chosen,
    /// To whom: to the rule that gave it up, or to every rule of its trigger that matches it now
    #[arg(long, value_name = "WAY", value_parser = ["rule", "router"], default_value = "rule")]
    through: String,
    /// How many in a second at most; as many as the rules take by default
    #[arg(long, value_name = "N", value_parser = Drive::read_rate)]
    rate: Option<f64>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct Export {
    /// The file, which must not be there yet; standard output without one
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    place: Where,
}

/// Which ones; everything that is said has to fit.
#[derive(Debug, clap::Args)]
struct Filters {
    /// Died for this reason: exhausted, rejected, expired, undecodable or unmatched; may be repeated, and means any of them
    #[arg(long)]
    reason: Vec<String>,
    /// Given up by this rule; may be repeated, and means any of them
    #[arg(long, value_name = "TRIGGER/RULE")]
    rule: Vec<String>,
    /// Given up then or later: a time such as 2026-11-21T06:58:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Given up before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Has this attribute, as `show` shows it; may be repeated, and means all of them
    #[arg(long, value_name = "NAME=VALUE")]
    r#where: Vec<String>,
}

/// Where they are.
#[derive(Debug, clap::Args)]
struct Where {
    #[command(flatten)]
    remote: Remote,
    /// The state folder of an engine that may be stopped; if one runs on it, that is asked with --admin
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// A name and a text, as [`Selection::read`] takes them.
type Pair = (&'static str, String);

pub(super) fn dlq(arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::List(list) => list.run(),
        Command::Show(show) => show.run(),
        Command::Replay(replay) => replay.run(),
        Command::Edit(edit) => edit.run(),
        Command::Purge(chosen) => chosen.purge(),
        Command::Export(export) => export::run(export),
        Command::Import(import) => import.run(),
    }
}

impl Filters {
    /// The pairs, of which something can be meant.
    fn pairs(&self, ids: &[String]) -> Result<Vec<Pair>, Failure> {
        let of =
            |name: &'static str, texts: &[String]| texts.iter().map(|text| (name, text.clone())).collect::<Vec<_>>();
        let mut pairs = of("id", ids);
        pairs.extend(of("reason", &self.reason));
        pairs.extend(of("rule", &self.rule));
        pairs.extend(self.since.iter().map(|text| ("since", text.clone())));
        pairs.extend(self.until.iter().map(|text| ("until", text.clone())));
        pairs.extend(of("where", &self.r#where));
        selection(&pairs)?;
        Ok(pairs)
    }
}

fn selection(pairs: &[Pair]) -> Result<Selection, Failure> {
    Selection::read(pairs.iter().map(|(name, text)| (*name, text.as_str()))).map_err(Failure::refused)
}

/// A time, or how long ago it was.
fn moment(text: &str) -> Result<String, String> {
    if let Ok(Period(length)) = Period::parse(text) {
        return Ok(ago(SystemClock.now(), length));
    }
    let time = Selection::read([("since", text)]).map(|_| text.to_owned());
    time.map_err(|sentence| format!("{sentence}, or how long ago it was, such as 2h"))
}

impl List {
    fn run(&self) -> Result<Exit, Failure> {
        if let Some(output) = &self.from {
            return Err(Failure::refused(format!(
                "'--from {output}' is not available yet; leave it out to see what is kept here, and read what has gone to the output with \
                 its broker's own client: the attributes 'dlq...' say why"
            )));
        }
        let pairs = self.filters.pairs(&[])?;
        let place = Place::find(&self.place)?;
        if let Some(by) = &self.group {
            let groups = place.groups(&pairs, by)?;
            match self.json {
                true => groups.iter().try_for_each(|group| data(&group.to_string()))?,
                false => data(&shown::groups(by, &groups))?,
            }
            return Ok(Exit::Well);
        }
        if self.json {
            place.each(&pairs, self.limit, &mut |line| data(line).map(|()| true))?;
            return Ok(Exit::Well);
        }
        let limit = self.limit.unwrap_or(100);
        let mut table = shown::Letters::default();
        // One more than is shown, to know whether there are more.
        place.each(&pairs, Some(limit.saturating_add(1)), &mut |line| table.add(line, limit).map(|()| true))?;
        data(&table.render())?;
        if table.more() {
            note("there are more; --limit says how many to show, and --group counts them");
        }
        Ok(Exit::Well)
    }
}

/// The letter of this name, as one line of JSON.
fn one(place: &Place<'_>, id: &str) -> Result<String, Failure> {
    let pairs = vec![("id", id.to_owned())];
    selection(&pairs)?;
    let mut found = None;
    place.each(&pairs, Some(1), &mut |line| {
        found = Some(line.to_owned());
        Ok(false)
    })?;
    found.ok_or_else(|| {
        Failure::failed(format!(
            "there is no dead letter '{id}'; it may have been removed, and 'tidemill dlq list' shows those that there are"
        ))
    })
}

impl Show {
    fn run(&self) -> Result<Exit, Failure> {
        selection(&[("id", self.id.clone())])?;
        let line = one(&Place::find(&self.place)?, &self.id)?;
        data(&if self.json { line } else { shown::letter(&line)? })?;
        Ok(Exit::Well)
    }
}

impl Replay {
    fn run(&self) -> Result<Exit, Failure> {
        let Replay { chosen, through, rate } = self;
        let pairs = chosen.pairs()?;
        let place = Place::find(&chosen.place)?;
        let mut drive = vec![("through", through.clone())];
        drive.extend(chosen.dry_run.then(|| ("dryRun", "true".to_owned())));
        drive.extend(rate.map(|rate| ("rate", rate.to_string())));
        let mut progress = match chosen.dry_run {
            true => Progress::silent(),
            false => Progress::of(|| place.total(&pairs))?,
        };
        let found = place.replay(&pairs, &drive, &mut |done| progress.show(done));
        progress.end();
        let found = found?;
        data(&if chosen.json { found.to_string() } else { shown::replayed(&found, chosen.dry_run) })?;
        Ok(if found["handedBack"] == 0 { Exit::Well } else { Exit::Failed })
    }
}

impl Chosen {
    /// The pairs, if it was said in words which letters are meant.
    fn pairs(&self) -> Result<Vec<Pair>, Failure> {
        let pairs = self.filters.pairs(&self.ids)?;
        if pairs.is_empty() != self.all {
            return Err(Failure::refused(match self.all {
                true => "--all goes with no id and no filter; leave one of them out",
                false => "say which dead letters are meant: an id, a filter such as --reason, or --all",
            }));
        }
        Ok(pairs)
    }

    fn purge(&self) -> Result<Exit, Failure> {
        let pairs = self.pairs()?;
        let count = Place::find(&self.place)?.purge(&pairs, self.dry_run)?;
        let (key, text) = match self.dry_run {
            true => ("wouldPurge", format!("{count} dead letters would be removed")),
            false => ("purged", format!("removed {count} dead letters")),
        };
        data(&if self.json { serde_json::json!({ key: count }).to_string() } else { text })?;
        Ok(Exit::Well)
    }
}

/// How long one page may take to come: the disk may be slow.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
