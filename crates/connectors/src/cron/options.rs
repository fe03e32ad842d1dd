//! What is typed under `cron:` of a source, and what it means.

mod plan;

use chrono_tz::Tz;
use engine::config::{AckPoint, Check, Many, Spanned};
use engine::registry::{SourceCommon, SourceKind, SourcePlan};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::agenda::Missed as Policy;
use super::schedule::Schedule;
use crate::normalise::{Origin, Template};
use plan::Plan;

#[cfg(test)]
pub(super) use plan::ids;

/// What events look like without a template.
const ORIGIN: Origin = Origin { whole: "name", r#type: "org.tidemill.cron.tick", source: "/cron/{name}" };

/// The kind of source behind the key `cron`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cron;

/// What stands under `cron:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// When: five fields of cron, six with seconds in front, `@every 30s`, or a name such as `@daily`. One or a list.
    schedule: Many<Spanned<String>>,
    /// The time zone of the fields, such as `Europe/Berlin`; UTC by default.
    timezone: Option<Spanned<String>>,
    /// What becomes of runs that were missed while the engine was away or could not keep up: skip (default) counts them,
    /// run makes up for them with one run.
    #[serde(default)]
    missed: Missed,
    /// The payload of every event: a text as it is, anything else as JSON. None by default.
    data: Option<Value>,
}

/// What becomes of what was missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Missed {
    /// It is counted.
    #[default]
    Skip,
    /// The last of it is run.
    Run,
}

impl SourceKind for Cron {
    type Options = Options;
    const NAME: &'static str = "cron";

    fn check(&self, options: Options, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        let mut found = Check::default();
        let plan = read(options, common, &mut found);
        let failed = found.failed();
        found.finish().into_iter().for_each(|diagnostic| check.note(diagnostic));
        (!failed).then(|| Box::new(plan) as Box<dyn SourcePlan>)
    }
}

fn read(options: Options, common: &SourceCommon, check: &mut Check) -> Plan {
    let zone = options.timezone.as_ref().map_or(Tz::UTC, |typed| zone(typed, check));
    let mut schedules = Vec::new();
    for typed in &options.schedule.0 {
        match Schedule::parse(typed, zone) {
            Ok(schedule) => schedules.push(schedule),
            Err(flaw) => check.error(typed.span.part(flaw.at, flaw.len), flaw.message, flaw.help),
        }
    }
    if options.schedule.0.is_empty() {
        check.error(common.name.span, "there is no schedule", "write at least one, such as \"0 */5 * * * *\"");
    }
    if let Some(id) = &common.event.id {
        let help = "leave it out; the id is made of the source and the nominal time";
        check.error(id.span, "the ids of cron's events are not to be chosen", help);
    }
    let (data, media_type) = match options.data {
        None => (Vec::new(), None),
        Some(Value::String(text)) => (text.into_bytes(), Some("text/plain")),
        Some(value) => (value.to_string().into_bytes(), Some("application/json")),
    };
    Plan {
        schedules,
        missed: match options.missed {
            Missed::Skip => Policy::Skip,
            Missed::Run => Policy::Run,
        },
        data: data.into(),
        // What the template says of a text's media type counts.
        media_type: media_type.filter(|_| common.event.datacontenttype.is_none()),
        ack: common.ack_or(AckPoint::Processed),
        template: Template::compile(&common.event, &[], &ORIGIN, check),
    }
}

fn zone(typed: &Spanned<String>, check: &mut Check) -> Tz {
    typed.parse().unwrap_or_else(|_| {
        let lower = typed.to_lowercase();
        let close = chrono_tz::TZ_VARIANTS.iter().find(|zone| {
            let name = zone.name().to_lowercase();
            name == lower || name.split('/').next_back() == Some(&lower)
        });
        let help =
            close.map_or_else(|| "such as Europe/Berlin or UTC".to_owned(), |zone| format!("did you mean {zone}?"));
        check.error(typed.span, format!("there is no time zone '{}'", typed.value), help);
        Tz::UTC
    })
}
