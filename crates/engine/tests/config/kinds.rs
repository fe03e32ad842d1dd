//! Kinds that are shaped like real ones, so that the language is tested without any of them.

use std::time::Duration;

use engine::config::{AckPoint, ByteSize, Check, Many, Period, Secret, Spanned};
use engine::event::Text;
use engine::port::{Function, Output, Source};
use engine::registry::{
    FunctionKind, FunctionPlan, OpenError, OutputKind, OutputPlan, Registry, Setup, SourceCommon, SourceFacts,
    SourceKind, SourcePlan,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Every kind of this file.
pub(crate) fn registry() -> Registry {
    Registry::default()
        .with_source(Queue)
        .with_source(Timer)
        .with_function(Native)
        .with_output(Log)
        .with_output(File)
        .with_output(Gauge)
}

/// A broker with topics.
struct Queue;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QueueOptions {
    /// Where the broker is.
    url: Spanned<Secret>,
    /// What to subscribe to.
    topics: Spanned<Vec<Spanned<String>>>,
    /// 0 or 1.
    qos: Option<Spanned<u8>>,
    #[serde(default)]
    version: Version,
    #[serde(default)]
    login: Option<Login>,
    max_packet: Option<ByteSize>,
    keep_alive: Option<Period>,
    /// How long it bears that nothing is said of an event.
    lease: Option<Spanned<Period>>,
}

#[derive(Default, Deserialize, JsonSchema)]
enum Version {
    #[default]
    #[serde(rename = "5")]
    Five,
    #[serde(rename = "3.1.1")]
    Three,
}

// Without `deny_unknown_fields`: the reader refuses unknown keys by itself.
#[derive(Deserialize, JsonSchema)]
struct Login {
    #[expect(dead_code, reason = "it is only read from a file")]
    user: String,
    #[expect(dead_code, reason = "it is only read from a file")]
    password: Secret,
}

impl SourceKind for Queue {
    type Options = QueueOptions;
    const NAME: &'static str = "queue";

    fn check(&self, options: QueueOptions, common: &SourceCommon, check: &mut Check) -> Option<Box<dyn SourcePlan>> {
        if options.url.literal().is_some_and(|url| !url.starts_with("queue://")) {
            check.error(options.url.span, "the url is not that of a queue", "begin it with queue://");
        }
        for topic in &options.topics.value {
            if let Some(at) = topic.find('#').filter(|at| at + 1 < topic.len()) {
                let help = "put '#' at the end, or use '+' for one level";
                check.error(topic.span.part(at, 1), "'#' stands in the middle of a topic filter", help);
            }
        }
        if let Some(qos) = options.qos.as_ref().filter(|qos| qos.value > 1) {
            check.error(qos.span, format!("qos {} is not supported", qos.value), "write 0 or 1");
        }
        let _ = (options.version, options.login, options.max_packet, options.keep_alive);
        let redelivers = options.qos.is_some_and(|qos| qos.value == 1);
        let ack = common.ack.as_ref().map_or(AckPoint::Processed, |ack| ack.value);
        let limits = vec!["the queue forgets messages beyond its own limit".to_owned()];
        let lease = options.lease.map(|lease| Spanned::new(lease.value.0, lease.span));
        let facts = SourceFacts { ack, redelivers, keyed: true, in_order: false, captures: Vec::new(), limits };
        Some(Box::new(Facts(facts, lease)))
    }
}

/// A clock.
struct Timer;

#[derive(Deserialize, JsonSchema)]
struct TimerOptions {
    every: Spanned<Period>,
}

impl SourceKind for Timer {
    type Options = TimerOptions;
    const NAME: &'static str = "timer";

    fn check(&self, options: TimerOptions, _: &SourceCommon, _: &mut Check) -> Option<Box<dyn SourcePlan>> {
        let _ = options.every;
        let ack = AckPoint::Processed;
        let captures = Vec::<Text>::new();
        let facts = SourceFacts { ack, redelivers: false, keyed: false, in_order: false, captures, limits: Vec::new() };
        Some(Box::new(Facts(facts, None)))
    }
}

struct Facts(SourceFacts, Option<Spanned<Duration>>);

impl SourcePlan for Facts {
    fn facts(&self) -> SourceFacts {
        self.0.clone()
    }
    fn lease(&self) -> Option<Spanned<Duration>> {
        self.1.clone()
    }
    fn open(&self, _: Setup) -> Result<Box<dyn Source>, OpenError> {
        Err(closed())
    }
}

/// A function by its name.
struct Native;

impl FunctionKind for Native {
    type Options = Spanned<String>;
    const NAME: &'static str = "native";

    fn check(&self, name: Spanned<String>, check: &mut Check) -> Option<Box<dyn FunctionPlan>> {
        if name.as_str() != "count" {
            check.error(name.span, format!("unknown native function '{}'", name.value), "the only one here is 'count'");
            return None;
        }
        Some(Box::new(Nothing))
    }
}

/// An output without options.
struct Log;

#[derive(Deserialize, JsonSchema)]
struct LogOptions {}

impl OutputKind for Log {
    type Options = LogOptions;
    const NAME: &'static str = "log";

    fn check(&self, _: LogOptions, _: &mut Check) -> Option<Box<dyn OutputPlan>> {
        Some(Box::new(Nothing))
    }
}

/// A durable output.
struct File;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileOptions {
    #[serde(alias = "file")]
    path: String,
    #[serde(default)]
    fsync: Fsync,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Fsync {
    #[default]
    Always,
    Interval,
    Never,
}

impl OutputKind for File {
    type Options = FileOptions;
    const NAME: &'static str = "file";

    fn check(&self, options: FileOptions, _: &mut Check) -> Option<Box<dyn OutputPlan>> {
        let _ = options.path;
        Some(Box::new(Durable(!matches!(options.fsync, Fsync::Interval | Fsync::Never))))
    }
}

/// An output with an enumeration of shapes and a list.
struct Gauge;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GaugeOptions {
    ttl: Option<Spanned<Period>>,
    #[serde(default)]
    labels: Many<Spanned<String>>,
    shape: Option<Shape>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Shape {
    Last,
    Buckets { bounds: Vec<f64> },
}

impl OutputKind for Gauge {
    type Options = GaugeOptions;
    const NAME: &'static str = "gauge";

    fn check(&self, options: GaugeOptions, check: &mut Check) -> Option<Box<dyn OutputPlan>> {
        if let Some(ttl) = options.ttl.filter(|ttl| ttl.value.0.is_zero()) {
            check.error(ttl.span, "a series that lives for no time", "write a time such as 10m");
        }
        for label in &options.labels.0 {
            if label.contains('-') {
                check.error(label.span, format!("'{}' is no label", label.value), "use letters, digits and '_'");
            }
        }
        if let Some(Shape::Buckets { bounds }) = options.shape
            && bounds.is_empty()
        {
            check.general_error("a gauge has no buckets", "");
        }
        Some(Box::new(Nothing))
    }
}

struct Nothing;

impl FunctionPlan for Nothing {
    fn open(&self, _: Setup) -> Result<Box<dyn Function>, OpenError> {
        Err(closed())
    }
}

impl OutputPlan for Nothing {
    fn durable(&self) -> bool {
        false
    }
    fn open(&self, _: Setup) -> Result<Box<dyn Output>, OpenError> {
        Err(closed())
    }
}

struct Durable(bool);

impl OutputPlan for Durable {
    fn durable(&self) -> bool {
        self.0
    }
    fn limits(&self) -> Vec<String> {
        let soon = (!self.0).then(|| "a power failure takes what was not written yet".to_owned());
        soon.into_iter().collect()
    }
    fn open(&self, _: Setup) -> Result<Box<dyn Output>, OpenError> {
        Err(closed())
    }
}

fn closed() -> OpenError {
    OpenError { message: "kinds of this test cannot be opened".to_owned(), cause: None }
}
