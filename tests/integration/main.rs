//! The one integration binary of the project. Everything that needs the built binary, a real
//! broker or the whole source tree is a module here, so that it links once; what a single module
//! can show is tested beside its code.

#![cfg(test)]

// What every broker's tests judge by: the engine's file, its books, and its words.
mod outcome;

// An engine in the test's own process.
mod inside;

// The house rules that a machine can check: lengths, module docs, arrows, features, links.
mod tidy;

// The program as it is typed: exit codes, streams, addresses, the state folder, and how it ends.
mod command;

// An outside script judges what the simulator and the function make of a published driving cycle.
mod oracle;

// The demo as a newcomer types it: it ends by itself, and its totals are those of the published cycles.
mod demo;

// What is said about broken options of the built-in kinds, and whether the examples fit the schema.
mod config;

// The examples as they stand: what their comments promise happens.
mod examples;

// The prometheus output before real judges: promtool and the Pushgateway.
mod metrics_output;

// The AMQP source and output in the built program, behind a real RabbitMQ that is stopped, killed and filled with garbage.
mod amqp;

// What every source and every output keeps on its real broker, and what it declares that it cannot.
mod contract;

// The MQTT source and output in the built program, behind a real mosquitto that is stopped, killed and cut off.
mod mqtt;

// The Kafka source and output in the built program, behind a real Apache Kafka, judged by kcat.
mod kafka;

// The NATS source and output in the built program, behind a real nats-server that is stopped, killed and cut off.
mod nats;

// What comes from any source is the same at every output.
mod matrix;

// The CloudEvents SDKs of Python and JavaScript at both ends of HTTP, Kafka and AMQP.
mod sdk;

// What was confirmed arrives, whenever the engine between two brokers is killed.
mod ledger;

// HTTP in and out in the built program: what was answered 202 is kept, whoever dies.
mod http;

// An event by hand to the broker of a source.
mod send;

// The clock in the built program: it ticks, and is fired by hand.
mod cron;

// A function that blocks its threads for ever, and the connections beside it.
mod blocked;

// What is given up: kept before it is acknowledged, whoever is killed, and found again with `tidemill dlq`.
mod dead_letters;

// Where an event is and what became of it, asked of the built program while it runs, when it is killed, and of its folder.
mod explain;

// What a broker delivers again after the engine was killed: what is parked of it runs no second time.
mod again;

// What waits for another attempt: it holds no seat, and survives whoever is killed.
mod parked;

// Results that go back into the router: nothing of them is missing, whoever is killed.
mod returning;

// What is paused: others go on, and it waits for somebody's word, over whoever is killed.
mod paused;

// What is held by an open circuit or has its share of the seats: siblings go on, and everything comes in its order.
mod held;

// Another configuration while brokers send: nothing is lost, nothing comes twice, and connections stay.
mod reload;

// Sources that acknowledge from the spool: nothing is lost, whoever is stuck, full or killed.
mod spool;
