//! The engine's own metric families in Prometheus' text format. All of them begin with `tidemill_`, which no user metric
//! may, so that the two can be told apart.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::status::Status;
use crate::circuit;
use crate::metric::Connection;

/// A family's name, its help, and where its value stands.
type Counter<T> = (&'static str, &'static str, fn(&T) -> u64);

/// Appends families; one row is the labels, already rendered, and the value.
struct Families(String);

impl Families {
    fn add(&mut self, name: &str, kind: &str, help: &str, rows: impl IntoIterator<Item = (String, f64)>) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
        }
    }
}

/// The families of one reading.
pub(super) fn render(status: &Status) -> String {
    let mut families = Families(String::with_capacity(4096));
    sources(&mut families, status);
    spools(&mut families, status);
    stores(&mut families, status);
    rules(&mut families, status);
    pools(&mut families, status);
    outputs(&mut families, status);
    circuits(&mut families, status);
    dead_letters(&mut families, status);
    accounts(&mut families, status);
    parked(&mut families, status);
    ledger(&mut families, status);
    let build = format!("version=\"{}\",instance=\"{}\"", env!("CARGO_PKG_VERSION"), escape(&status.instance));
    families.add("tidemill_build_info", "gauge", "The running version and instance.", [(build, 1.0)]);
    let configuration = &status.configuration;
    let generation = [(String::new(), configuration.generation as f64)];
    let help = "The number of the configuration that runs; 1 for that of the start.";
    families.add("tidemill_config_generation", "gauge", help, generation);
    let failures = [(String::new(), configuration.failures as f64)];
    let help = "Configurations that were wrong or could not be taken over, so that the old one went on.";
    families.add("tidemill_config_reload_failures_total", "counter", help, failures);
    let uptime = [(String::new(), status.uptime_seconds)];
    families.add("tidemill_uptime_seconds", "gauge", "Time since the engine started.", uptime);
    families.0
}

fn accounts(families: &mut Families, status: &Status) {
    let row = |account: super::audit::Account| {
        let labels = format!("kind=\"{}\",name=\"{}\"", account.kind, escape(&account.name));
        (labels, account.drift() as f64)
    };
    let help =
        "What is not accounted for of what a source, rule or spool took over; anything but 0 is a bug of the engine.";
    families.add("tidemill_conservation_drift", "gauge", help, status.accounts().map(row));
}

fn sources(families: &mut Families, status: &Status) {
    let rows = |value: fn(&super::SourceStatus) -> u64| {
        let row = move |(name, source): (&crate::event::Text, &super::SourceStatus)| {
            (format!("source=\"{}\"", escape(name)), value(source) as f64)
        };
        status.sources.iter().map(row).collect::<Vec<_>>()
    };
    let counters: [Counter<super::SourceStatus>; 5] = [
        ("tidemill_source_received_total", "Messages received.", |source| source.received),
        ("tidemill_source_settled_total", "Messages acknowledged.", |source| source.settled),
        ("tidemill_source_rejected_total", "Messages that could not be decoded.", |source| source.rejected),
        ("tidemill_source_handed_back_total", "Messages left with the broker.", |source| source.handed_back),
        ("tidemill_source_connects_total", "Connections made.", |source| source.connects),
    ];
    for (name, help, value) in counters {
        families.add(name, "counter", help, rows(value));
    }
    families.add("tidemill_source_in_flight", "gauge", "Messages in flight.", rows(|source| source.in_flight));
    families.add(
        "tidemill_source_seats",
        "gauge",
        "Messages that may be in flight.",
        rows(|source| source.seats as u64),
    );
    families.add(
        "tidemill_source_paused",
        "gauge",
        "Whether somebody has paused the source.",
        rows(|source| u64::from(source.paused)),
    );
    let connected = rows(|source| u64::from(source.connection == Connection::Connected));
    families.add("tidemill_source_connected", "gauge", "Whether the source is connected.", connected);
    let dropped = status.sources.iter().flat_map(|(name, source)| {
        let row = move |(reason, count): (&crate::event::Text, &u64)| {
            (format!("source=\"{}\",reason=\"{}\"", escape(name), escape(reason)), *count as f64)
        };
        source.dropped.iter().map(row)
    });
    let lag = status
        .sources
        .iter()
        .filter_map(|(name, source)| Some((format!("source=\"{}\"", escape(name)), source.lag? as f64)));
    families.add("tidemill_source_lag", "gauge", "Messages that wait at the broker, where it is known.", lag);
    let help = "Messages dropped before they were received.";
    families.add("tidemill_source_dropped_total", "counter", help, dropped);
}

fn spools(families: &mut Families, status: &Status) {
    type Value = fn(&super::SpoolStatus) -> u64;
    let label = |name: &crate::event::Text| format!("source=\"{}\"", escape(name));
    let rows =
        |value: Value| status.spools.iter().map(|(name, spool)| (label(name), value(spool) as f64)).collect::<Vec<_>>();
    let families_of: [(&str, &str, &str, Value); 8] = [
        (
            "tidemill_spool_appended_total",
            "counter",
            "Events that were put into the spool, or refused for want of room.",
            |spool| spool.appended,
        ),
        ("tidemill_spool_recovered", "gauge", "Events that were in the spool at the start.", |spool| spool.recovered),
        ("tidemill_spool_settled_total", "counter", "Events of the spool that were settled.", |spool| spool.settled),
        (
            "tidemill_spool_handed_back_total",
            "counter",
            "Events that stay in the spool until the next start.",
            |spool| spool.handed_back,
        ),
        ("tidemill_spool_in_flight", "gauge", "Events of the spool in flight.", |spool| spool.in_flight),
        ("tidemill_spool_stored", "gauge", "Events that wait in the spool.", |spool| spool.stored),
        ("tidemill_spool_bytes", "gauge", "Bytes of events that are not settled.", |spool| spool.bytes),
        ("tidemill_spool_max_bytes", "gauge", "Bytes that the spool may hold.", |spool| spool.max_bytes),
    ];
    for (name, kind, help, value) in families_of {
        families.add(name, kind, help, rows(value));
    }
    let dropped = status.spools.iter().flat_map(|(name, spool)| {
        let row = move |(reason, count): (&&str, &u64)| (format!("{},reason=\"{reason}\"", label(name)), *count as f64);
        spool.dropped.iter().map(row)
    });
    families.add("tidemill_spool_dropped_total", "counter", "Events that the spool has dropped, by reason.", dropped);
    let oldest = status.spools.iter().filter_map(|(name, spool)| Some((label(name), spool.oldest_age_seconds?)));
    let help = "How old the oldest event of the spool is that is not settled.";
    families.add("tidemill_spool_oldest_age_seconds", "gauge", help, oldest);
}

fn stores(families: &mut Families, status: &Status) {
    type Value = fn(&super::StoreStatus) -> u64;
    let rows = |value: Value| {
        let row = |(name, store): (&crate::event::Text, &super::StoreStatus)| {
            (format!("store=\"{}\"", escape(name)), value(store) as f64)
        };
        status.stores.iter().map(row).collect::<Vec<_>>()
    };
    let families_of: [(&str, &str, &str, Value); 6] = [
        (
            "tidemill_store_writable",
            "gauge",
            "Whether the state file can be written to; where it cannot, its messages wait.",
            |store| u64::from(store.writable),
        ),
        ("tidemill_store_full", "gauge", "Whether the disk of the state file was found full.", |store| {
            u64::from(store.full)
        }),
        ("tidemill_store_transactions_total", "counter", "Transactions of the state file.", |store| store.transactions),
        ("tidemill_store_writes_total", "counter", "Writes in the transactions of the state file.", |store| {
            store.writes
        }),
        ("tidemill_store_failures_total", "counter", "Transactions of the state file that failed.", |store| {
            store.failures
        }),
        (
            "tidemill_store_left",
            "gauge",
            "Events of sources, and parked deliveries of rules, that are not in the configuration.",
            |store| store.left.values().sum(),
        ),
    ];
    for (name, kind, help, value) in families_of {
        families.add(name, kind, help, rows(value));
    }
}

fn rules(families: &mut Families, status: &Status) {
    let rows = |value: fn(&super::RuleStatus) -> u64| {
        let row = move |(name, rule): (&crate::event::Text, &super::RuleStatus)| {
            (format!("rule=\"{}\"", escape(name)), value(rule) as f64)
        };
        status.rules.iter().map(row).collect::<Vec<_>>()
    };
    let counters: [Counter<super::RuleStatus>; 7] = [
        ("tidemill_rule_matched_total", "Deliveries taken over.", |rule| rule.matched),
        ("tidemill_rule_replayed_total", "Dead letters taken over.", |rule| rule.replayed),
        ("tidemill_rule_looped_total", "Results of rules taken over from the router.", |rule| rule.looped),
        ("tidemill_rule_done_total", "Deliveries that ended well.", |rule| rule.done),
        ("tidemill_rule_handed_back_total", "Deliveries left with their source.", |rule| rule.handed_back),
        ("tidemill_rule_failed_attempts_total", "Calls and publishes that failed.", |rule| rule.failed_attempts),
        ("tidemill_rule_filtered_total", "Events of the trigger that the rule's filter refused.", |rule| rule.filtered),
    ];
    for (name, help, value) in counters {
        families.add(name, "counter", help, rows(value));
    }
    families.add("tidemill_rule_in_flight", "gauge", "Deliveries in flight.", rows(|rule| rule.in_flight));
    let help = "Deliveries that wait on the disk for another attempt or for their turn.";
    families.add("tidemill_rule_parked", "gauge", help, rows(|rule| rule.parked));
    let oldest = status
        .rules
        .iter()
        .filter_map(|(name, rule)| Some((format!("rule=\"{}\"", escape(name)), rule.parked_oldest_age_seconds?)));
    let help = "How long ago the oldest parked delivery failed first.";
    families.add("tidemill_rule_parked_oldest_age_seconds", "gauge", help, oldest);
    let help = "Deliveries that are here and have not ended: in flight, parked, or waiting in the spools of the rule's sources.";
    families.add("tidemill_rule_lag", "gauge", help, rows(|rule| rule.lag));
    let oldest = status
        .rules
        .iter()
        .filter_map(|(name, rule)| Some((format!("rule=\"{}\"", escape(name)), rule.oldest_age_seconds?)));
    families.add("tidemill_rule_oldest_age_seconds", "gauge", "How long the oldest of them is here.", oldest);
    paused(families, status);
    held(families, status);
    let help = "Deliveries that were parked at the start.";
    families.add("tidemill_rule_recovered", "gauge", help, rows(|rule| rule.recovered));
    let by_reason = |counts: fn(&super::RuleStatus) -> &BTreeMap<&'static str, u64>| {
        let rows = status.rules.iter().flat_map(move |(name, rule)| {
            let row = move |(reason, count): (&&str, &u64)| {
                (format!("rule=\"{}\",reason=\"{reason}\"", escape(name)), *count as f64)
            };
            counts(rule).iter().map(row)
        });
        rows.collect::<Vec<_>>()
    };
    let help = "Deliveries given up and kept as dead letters, by reason.";
    families.add("tidemill_rule_dead_lettered_total", "counter", help, by_reason(|rule| &rule.dead_letters));
    let help = "Deliveries given up and kept nowhere, by reason.";
    families.add("tidemill_rule_dropped_total", "counter", help, by_reason(|rule| &rule.dropped));
    let triggers = |value: fn(&super::TriggerStatus) -> u64| {
        let row = move |(name, trigger): (&crate::event::Text, &super::TriggerStatus)| {
            (format!("trigger=\"{}\"", escape(name)), value(trigger) as f64)
        };
        status.triggers.iter().map(row).collect::<Vec<_>>()
    };
    let help = "Events that passed the trigger's filter.";
    families.add("tidemill_trigger_offered_total", "counter", help, triggers(|trigger| trigger.offered));
    let help = "Events of the trigger that matched no rule.";
    families.add("tidemill_trigger_unmatched_total", "counter", help, triggers(|trigger| trigger.unmatched));
}

fn held(families: &mut Families, status: &Status) {
    let rows =
        status.rules.iter().map(|(name, rule)| (format!("rule=\"{}\"", escape(name)), f64::from(rule.held.is_some())));
    let help = "Whether what comes for the rule waits, because of an open circuit.";
    families.add("tidemill_rule_held", "gauge", help, rows);
}

fn paused(families: &mut Families, status: &Status) {
    let rows = |value: fn(&super::RuleStatus) -> Option<f64>| {
        let row = move |(name, rule): (&crate::event::Text, &super::RuleStatus)| {
            Some((format!("rule=\"{}\"", escape(name)), value(rule)?))
        };
        status.rules.iter().filter_map(row).collect::<Vec<_>>()
    };
    let help = "Whether the whole rule is paused, so that nothing of it begins.";
    families.add("tidemill_rule_paused", "gauge", help, rows(|rule| Some(f64::from(rule.paused))));
    let help = "Keys of the rule that are paused.";
    families.add("tidemill_rule_paused_keys", "gauge", help, rows(|rule| Some(rule.paused_keys as f64)));
    let help = "How long ago the first of what is paused was paused.";
    let name = "tidemill_rule_paused_oldest_age_seconds";
    families.add(name, "gauge", help, rows(|rule| rule.paused_oldest_age_seconds));
}

fn dead_letters(families: &mut Families, status: &Status) {
    let letters = &status.dead_letters;
    let bare = |value: f64| [(String::new(), value)];
    families.add("tidemill_dead_letters_stored", "gauge", "Dead letters that are kept.", bare(letters.stored as f64));
    families.add("tidemill_dead_letters_bytes", "gauge", "Bytes of dead letters.", bare(letters.bytes as f64));
    let max = letters.max_bytes.map(|max| (String::new(), max as f64));
    families.add("tidemill_dead_letters_max_bytes", "gauge", "Bytes of dead letters that there may be.", max);
    let help = "Whether there are more dead letters than there may be, so that whoever adds some begins nothing new.";
    families.add("tidemill_dead_letters_full", "gauge", help, bare(f64::from(letters.full)));
    let dropped = letters.dropped.iter().map(|(reason, count)| (format!("reason=\"{reason}\""), *count as f64));
    let help = "Dead letters that were removed without anybody asking for it, by reason.";
    families.add("tidemill_dead_letters_dropped_total", "counter", help, dropped);
    let help = "Dead letters that somebody has removed.";
    families.add("tidemill_dead_letters_purged_total", "counter", help, bare(letters.purged as f64));
    forwards(families, letters);
}

fn forwards(families: &mut Families, letters: &super::DeadLetterStatus) {
    type Value = fn(&super::ForwardStatus) -> f64;
    let families_of: [(&str, &str, &str, Value); 5] = [
        ("waiting", "gauge", "Dead letters that wait for an output.", |output| output.waiting as f64),
        ("forwarded_total", "counter", "Dead letters that an output has confirmed.", |output| output.forwarded as f64),
        ("refused_total", "counter", "Dead letters that an output has refused for good.", |output| {
            output.refused as f64
        }),
        ("forward_failures_total", "counter", "Dead letters that an output did not take for now.", |output| {
            output.failures as f64
        }),
        ("waiting_oldest_age_seconds", "gauge", "How long ago the oldest that waits was given up.", |output| {
            output.oldest_age_seconds.unwrap_or_default()
        }),
    ];
    for (name, kind, help, value) in families_of {
        let row = |(name, output): (&crate::event::Text, &super::ForwardStatus)| {
            (format!("output=\"{}\"", escape(name)), value(output))
        };
        families.add(&format!("tidemill_dead_letters_{name}"), kind, help, letters.outputs.iter().map(row));
        let help = help.replace("Dead letters that", "Notices of dead letters that");
        families.add(&format!("tidemill_notices_{name}"), kind, &help, letters.told.iter().map(row));
    }
    let left = letters.left.iter().map(|(name, count)| (format!("output=\"{}\"", escape(name)), *count as f64));
    let help = "Dead letters that wait for an output which nothing names any more, as of the start.";
    families.add("tidemill_dead_letters_left", "gauge", help, left);
}

fn parked(families: &mut Families, status: &Status) {
    let bare = |value: u64| [(String::new(), value as f64)];
    let parked = &status.parked;
    families.add("tidemill_parked_stored", "gauge", "Parked deliveries in the state file.", bare(parked.stored));
    families.add("tidemill_parked_bytes", "gauge", "Bytes of parked deliveries.", bare(parked.bytes));
    let help = "Bytes of parked deliveries that there may be; beyond them what waits keeps its seat.";
    families.add("tidemill_parked_max_bytes", "gauge", help, bare(parked.max_bytes));
    let help = "Messages that are known when they are delivered again, because something of them was parked.";
    families.add("tidemill_parked_remembered", "gauge", help, bare(parked.remembered));
}

fn ledger(families: &mut Families, status: &Status) {
    let ledger = &status.ledger;
    let bare = |value: f64| [(String::new(), value)];
    let help = "Finished deliveries of this run that the account has in memory.";
    families.add("tidemill_ledger_records", "gauge", help, bare(ledger.records as f64));
    families.add("tidemill_ledger_bytes", "gauge", "Bytes of the ledger's files.", bare(ledger.bytes as f64));
    let writable = f64::from(ledger.last_error.is_none());
    families.add("tidemill_ledger_writable", "gauge", "Whether the ledger can be written.", bare(writable));
    let lost = ledger.lost.iter().map(|(kind, count)| (format!("kind=\"{kind}\""), *count as f64));
    let help = "What could not be written down in the ledger.";
    families.add("tidemill_ledger_lost_total", "counter", help, lost);
}

fn pools(families: &mut Families, status: &Status) {
    let rows = |value: fn(&crate::pool::Reading) -> u64| {
        let row = move |(name, pool): (&crate::event::Text, &crate::pool::Reading)| {
            (format!("function=\"{}\"", escape(name)), value(pool) as f64)
        };
        status.pools.iter().map(row).collect::<Vec<_>>()
    };
    families.add("tidemill_pool_workers", "gauge", "Running workers.", rows(|pool| pool.workers as u64));
    families.add(
        "tidemill_pool_busy_workers",
        "gauge",
        "Workers with an event in hand.",
        rows(|pool| pool.busy as u64),
    );
    families.add("tidemill_pool_queued", "gauge", "Events that wait for a worker.", rows(|pool| pool.queued as u64));
    let help = "Workers started.";
    families.add("tidemill_pool_started_workers_total", "counter", help, rows(|pool| pool.started));
}

fn outputs(families: &mut Families, status: &Status) {
    let connected = status.outputs.iter().map(|(name, output)| {
        (format!("output=\"{}\"", escape(name)), f64::from(output.connection == Connection::Connected))
    });
    families.add("tidemill_output_connected", "gauge", "Whether the output is connected.", connected);
    let dropped = status.outputs.iter().flat_map(|(name, output)| {
        let row = move |(reason, count): (&crate::event::Text, &u64)| {
            (format!("output=\"{}\",reason=\"{}\"", escape(name), escape(reason)), *count as f64)
        };
        output.dropped.iter().map(row)
    });
    let help = "What an output has dropped after it was written, by reason.";
    families.add("tidemill_output_dropped_total", "counter", help, dropped);
}

fn circuits(families: &mut Families, status: &Status) {
    let kinds = [("function", &status.circuits.functions), ("output", &status.circuits.outputs)];
    let rows = |value: fn(&circuit::Reading) -> f64| {
        let of = |(kind, circuits): (&'static str, &BTreeMap<crate::event::Text, circuit::Reading>)| {
            let row = |(name, circuit): (&crate::event::Text, &circuit::Reading)| {
                (format!("kind=\"{kind}\",name=\"{}\"", escape(name)), value(circuit))
            };
            circuits.iter().map(row).collect::<Vec<_>>()
        };
        kinds.into_iter().flat_map(of).collect::<Vec<_>>()
    };
    let state = |circuit: &circuit::Reading| match circuit.state {
        circuit::State::Closed => 0.0,
        circuit::State::HalfOpen => 1.0,
        circuit::State::Open => 2.0,
    };
    let help = "Whether the circuit of a function or an output lets deliveries through: 0 closed, 1 half open, 2 open.";
    families.add("tidemill_circuit_state", "gauge", help, rows(state));
    let help = "How often the circuit has opened.";
    families.add("tidemill_circuit_opened_total", "counter", help, rows(|circuit| circuit.opened as f64));
}

/// A label's value as the text format wants it.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
