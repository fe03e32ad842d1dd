//! The one list of built-in kinds and commands. A new connector, binding or runtime is its folder and one line here; apart
//! from the roots of crates, this is the only place where features are chosen.

use crate::Tidemill;

/// The kinds and the further commands that this build has.
pub(crate) fn kinds(binary: Tidemill) -> Tidemill {
    let binary =
        binary.output(bindings::prometheus::Prometheus).output(bindings::log::Log).output(bindings::file::File);
    #[cfg(feature = "amqp")]
    let binary = binary.source(connectors::amqp::Amqp).output(bindings::amqp::Amqp);
    #[cfg(feature = "cron")]
    let binary = binary.source(connectors::cron::Cron);
    #[cfg(feature = "http")]
    let binary = binary.source(connectors::http::Http).output(bindings::http::Http);
    #[cfg(feature = "kafka")]
    let binary = binary.source(connectors::kafka::Kafka).output(bindings::kafka::Kafka);
    #[cfg(feature = "mqtt")]
    let binary = binary.source(connectors::mqtt::Mqtt).output(bindings::mqtt::Mqtt);
    #[cfg(feature = "nats")]
    let binary = binary.source(connectors::nats::Nats).output(bindings::nats::Nats);
    #[cfg(feature = "demo")]
    let binary = binary.command(crate::demo::command());
    binary
}

/// Chooses ring for every TLS connection of the process, before the first one is made.
pub(crate) fn install_tls() {
    // A binary around this library may have chosen before, which then counts.
    #[cfg(any(feature = "amqp", feature = "http", feature = "mqtt", feature = "nats", feature = "prometheus-push"))]
    drop(rustls::crypto::ring::default_provider().install_default());
}
