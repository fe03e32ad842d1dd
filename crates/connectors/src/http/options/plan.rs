//! A checked HTTP source: what it can promise, and how it is opened.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use engine::config::AckPoint;
use engine::event::Text;
use engine::port::Source;
use engine::registry::{Entrance, OpenError, Sending, Setup, SourceFacts, SourcePlan};
use tokio::sync::Semaphore;

use crate::capture::{Filters, escaped};
use crate::http::access::Access;
use crate::http::request::{Door, GRAIN};
use crate::http::server::Listen;
use crate::http::source::Receiver;
use crate::http::tally::Tally;
use crate::http::webhook::Webhook;
use crate::normalise::{Ids, Template};
use crate::trust;

/// Memory for the bodies of all requests together; it grows with the largest one.
const ROOM: usize = 64 << 20;

/// A checked HTTP source.
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) paths: Filters,
    pub(super) template: Template,
    pub(super) access: Access,
    pub(super) webhook: Option<Webhook>,
    pub(super) limit: usize,
    pub(super) patience: Duration,
    pub(super) connections: usize,
    pub(super) ack: AckPoint,
    pub(super) tls: Option<Identity>,
}

/// The files of `tls:`, unread.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
}

impl SourcePlan for Plan {
    fn facts(&self) -> SourceFacts {
        let mut limits = vec![
            "http: an event is safe once its sender has read a 202; a sender that does not send again after an error, a \
             429, a 503 or a broken connection loses it"
                .to_owned(),
            "http keeps the order only of events whose sender waits for each answer".to_owned(),
        ];
        if self.ack == AckPoint::Received {
            limits.push("ack: received answers 202 before anything has happened to the event".to_owned());
        }
        SourceFacts {
            ack: self.ack,
            redelivers: self.ack != AckPoint::Received,
            // A CloudEvent can always bring its own key.
            keyed: true,
            in_order: false,
            captures: self.paths.names().iter().map(|name| Text::new(name.as_str())).collect(),
            limits,
        }
    }

    fn entrance(&self, sending: &Sending<'_>) -> Result<Entrance, String> {
        if self.tls.is_some() {
            // Neither the name in its certificate nor who signs it is written here.
            return Err("it receives over TLS under a name that only its certificate has; post to its address".into());
        }
        let path = self.paths.place(sending.to)?;
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.is_ipv4() {
                true => Ipv4Addr::LOCALHOST.into(),
                false => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let url = format!("http://{address}{path}");
        Ok(Entrance {
            shared: &["auth"],
            own: vec![("url", escaped(&url).into()), ("timeout", sending.timeout())],
            place: url,
        })
    }

    fn open(&self, setup: Setup) -> Result<Box<dyn Source>, OpenError> {
        let tls = self.tls.as_ref();
        let tls = tls.map(|files| trust::server("http.tls", &files.cert, &files.key, files.client_ca.as_deref()));
        let room = ROOM.max(4 * self.limit).div_ceil(GRAIN);
        let door = Door {
            name: setup.name.clone(),
            paths: self.paths.clone(),
            template: self.template.clone(),
            ids: Ids::new(fastrand::u64(..)),
            drawn: AtomicU64::new(0),
            guard: self.access.open()?,
            webhook: self.webhook.clone(),
            limit: self.limit,
            patience: self.patience,
            room: Semaphore::new(room),
            tally: Tally::of(&setup.page, &setup.name),
        };
        Ok(Box::new(Receiver {
            listen: Listen { address: self.address, connections: self.connections, tls: tls.transpose()? },
            door: Arc::new(door),
            at_once: self.ack == AckPoint::Received,
            link: setup.link,
        }))
    }
}
