//! HTTP, where the broker is whoever sends: it repeats a request until it is answered for good, and until then the message
//! is its own. The proxy stands between it and the source.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use testkit::http::request;
use testkit::patience::RETRY;
use testkit::port;
use testkit::proxy::Proxy;

use super::case::{Cannot, Case, Declared};
use super::outlet::Outlet;
use super::rig::{self, Opened};
use super::{Broker, Wish};

const SENDER: Cannot =
    Cannot::Meaningless("http: the sender connects; when, where and how long it waits for an answer is its own choice");

pub(super) static SOURCE: Declared = Declared {
    name: "http",
    cannot: &[
        (Case::Order, Cannot::Meaningless("http: every request stands alone")),
        (Case::Oversize, Cannot::Meaningless("http: the sender is answered 413, and keeps what it has")),
        (Case::Lease, SENDER),
        (Case::Missing, SENDER),
        (Case::Credentials, SENDER),
        (Case::Absent, SENDER),
        (Case::Restart, SENDER),
        (Case::HalfOpen, SENDER),
    ],
};

/// Senders and their network.
pub(super) struct Http {
    listen: SocketAddr,
    network: Proxy,
    /// What has no final answer, by path.
    open: Arc<Mutex<HashMap<String, usize>>>,
}

impl Http {
    pub(super) async fn start() -> Http {
        let listen = port::free();
        Http { listen, network: Proxy::start(listen).await, open: Arc::default() }
    }
}

/// Posts until there is a final answer.
async fn posted(address: SocketAddr, path: String, body: Vec<u8>, open: Arc<Mutex<HashMap<String, usize>>>) {
    loop {
        let headers = [("content-type", "application/json")];
        let answer = request(address, "POST", &format!("/{path}"), &headers, &body).await;
        if answer.is_ok_and(|answer| matches!(answer.status, 202 | 400 | 413)) {
            *open.lock().entry(path).or_default() -= 1;
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

impl Broker for Http {
    fn source_declared(&self) -> Option<&'static Declared> {
        Some(&SOURCE)
    }
    fn output_declared(&self) -> Option<&'static Declared> {
        None
    }
    fn network(&self) -> &Proxy {
        &self.network
    }
    async fn stop(&mut self) {
        unreachable!("a sender is not stopped")
    }
    async fn restart(&mut self) {
        unreachable!("a sender is not started")
    }
    async fn create(&mut self, _: &str) {}
    async fn put(&mut self, object: &str, payloads: Vec<Vec<u8>>) {
        *self.open.lock().entry(object.to_owned()).or_default() += payloads.len();
        for payload in payloads {
            tokio::spawn(posted(self.network.address(), object.to_owned(), payload, Arc::clone(&self.open)));
        }
    }
    async fn held(&mut self, object: &str) -> usize {
        self.open.lock().get(object).copied().unwrap_or_default()
    }
    fn source(&self, object: &str, wish: Wish) -> Opened {
        let listen = self.listen.to_string();
        let typed = json!({ "listen": listen, "path": format!("/{object}"), "maxBodySize": "2MiB", "maxWait": "60s" });
        rig::open(&connectors::http::Http, object, wish.seats, typed)
    }
    fn output(&self, _: &str, _: bool) -> Outlet {
        unreachable!("it has none in the suite")
    }
    async fn read(&mut self, _: &str, _: usize) -> Vec<Vec<u8>> {
        unreachable!("it has no output in the suite")
    }
    fn keeps_order(&self) -> bool {
        false
    }
    fn shows_life(&self) -> bool {
        false
    }
    fn refusal(&self) -> &'static str {
        unreachable!("the sender is who is refused")
    }
}
