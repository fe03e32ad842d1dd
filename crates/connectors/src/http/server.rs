//! Connections: accepted up to a bound, each on a task of its own, and ended in order.
//!
//! What a connection may cost is bounded here: a head of 64 KiB with 100 headers within 30 s, which is also how long it
//! may be idle, and a TLS handshake of 10 s. More connections than `maxConnections` wait in the operating system's queue.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::request::Entry;

const HEAD: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 64 << 10;
const HEADERS: usize = 100;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a failed accept, such as without free file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How a source listens.
#[derive(Clone)]
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// The connections of one run. Dropping it cuts them off.
pub(super) struct Server {
    entry: Arc<Entry>,
    address: SocketAddr,
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens and serves from now on.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub(super) async fn start(listen: &Listen, entry: Arc<Entry>) -> io::Result<Server> {
        let listener = TcpListener::bind(listen.address).await?;
        let address = listener.local_addr()?;
        let (ending, ended) = watch::channel(false);
        let tls = listen.tls.clone().map(TlsAcceptor::from);
        let accepting = accept(listener, listen.connections, tls, Arc::clone(&entry), ended);
        Ok(Server { entry, address, ending, task: tokio::spawn(accepting) })
    }

    /// Where it listens, with the port that was picked.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections and takes no more requests; those that were taken are still answered.
    pub(super) fn close(&self) {
        self.entry.closed.store(true, Ordering::Release);
        self.ending.send_replace(true);
    }

    /// Waits until every connection has ended.
    pub(super) async fn ended(&mut self) {
        // A panic of the task ends all connections, too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    connections: usize,
    tls: Option<TlsAcceptor>,
    entry: Arc<Entry>,
    mut ended: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(connections));
    let mut serving = JoinSet::new();
    let ending = ended.clone();
    let accepting = async {
        loop {
            while serving.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(source = %entry.door.name, "a connection was not accepted: {error}");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let (tls, entry, ending) = (tls.clone(), Arc::clone(&entry), ending.clone());
            serving.spawn(async move {
                open(stream, tls, entry, ending).await;
                drop(place);
            });
        }
    };
    tokio::select! {
        biased;
        _ = ended.wait_for(|ended| *ended) => {}
        () = accepting => {}
    }
    drop(listener);
    while serving.join_next().await.is_some() {}
}

async fn open(stream: TcpStream, tls: Option<TlsAcceptor>, entry: Arc<Entry>, ending: watch::Receiver<bool>) {
    // An answer must not wait for the next one to share a segment; without it, it is only slower.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, entry, ending).await,
        Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, entry, ending).await,
            Ok(Err(error)) => tracing::debug!(source = %entry.door.name, "no TLS connection came about: {error}"),
            Err(_) => tracing::debug!(source = %entry.door.name, "a TLS handshake took too long"),
        },
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    entry: Arc<Entry>,
    mut ending: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let entry = Arc::clone(&entry);
        async move { Ok::<_, Infallible>(entry.serve(request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_header_size(HEAD_BYTES).max_headers(HEADERS);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    // A client that breaks off is its own business; what it sent and what became of it is counted elsewhere.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        _ = ending.wait_for(|ended| *ended) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
