//! What requests were answered, for `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use engine::event::Text;
use engine::metric::{Exposition, Page};
use hyper::StatusCode;
use parking_lot::Mutex;

/// The answers of every HTTP source of an engine.
#[derive(Default)]
pub(super) struct Tallies(Mutex<BTreeMap<Text, Arc<Tally>>>);

/// The answers of one source.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Clone, Debug, Default)]
struct Counts {
    answers: BTreeMap<u16, u64>,
    gone: u64,
}

impl Tally {
    /// The one of the source called `name`.
    pub(super) fn of(page: &Page, name: &Text) -> Arc<Tally> {
        Arc::clone(page.shared::<Tallies>().0.lock().entry(name.clone()).or_default())
    }

    pub(super) fn answered(&self, status: StatusCode) {
        *self.0.lock().answers.entry(status.as_u16()).or_default() += 1;
    }

    /// A client did not wait for its answer.
    pub(super) fn gone(&self) {
        self.0.lock().gone += 1;
    }

    #[cfg(test)]
    pub(super) fn count_of_gone(&self) -> u64 {
        self.0.lock().gone
    }
}

impl Exposition for Tallies {
    fn render(&self, _: &mut String) {}

    fn render_own(&self, page: &mut String) {
        let counts: Vec<_> = self.0.lock().iter().map(|(name, tally)| (label(name), tally.0.lock().clone())).collect();
        page.push_str("# HELP tidemill_http_answers_total Requests that HTTP sources have answered, by status.\n");
        page.push_str("# TYPE tidemill_http_answers_total counter\n");
        for (name, counts) in &counts {
            for (status, count) in &counts.answers {
                // Writing into a string cannot fail.
                let _ = writeln!(page, "tidemill_http_answers_total{{source=\"{name}\",status=\"{status}\"}} {count}");
            }
        }
        page.push_str("# HELP tidemill_http_clients_gone_total Clients that did not wait for their answer.\n");
        page.push_str("# TYPE tidemill_http_clients_gone_total counter\n");
        for (name, counts) in &counts {
            let _ = writeln!(page, "tidemill_http_clients_gone_total{{source=\"{name}\"}} {}", counts.gone);
        }
    }
}

fn label(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_shown_by_source_and_status() {
        let page = Page::default();
        let hook = Tally::of(&page, &"hook".into());
        Tally::of(&page, &"hook".into()).answered(StatusCode::ACCEPTED);
        hook.answered(StatusCode::ACCEPTED);
        hook.answered(StatusCode::TOO_MANY_REQUESTS);
        Tally::of(&page, &"other".into()).gone();
        let shown = page.render_own();
        for line in [
            "tidemill_http_answers_total{source=\"hook\",status=\"202\"} 2\n",
            "tidemill_http_answers_total{source=\"hook\",status=\"429\"} 1\n",
            "tidemill_http_clients_gone_total{source=\"other\"} 1\n",
        ] {
            assert!(shown.contains(line), "{shown}");
        }
        assert_eq!(shown.matches("# TYPE").count(), 2);
    }
}
