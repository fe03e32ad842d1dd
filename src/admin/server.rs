//! The thread that answers.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use engine::supervisor::Engine;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tracing::warn;

use super::listener::Socket;
use super::patience::Impatient;
use super::{Bound, Guard, routes};
use crate::run::Reloads;

/// Connections of one listener at once; more wait in the operating system's queue.
const CONNECTIONS_MAX: usize = 64;

/// How long a request's head may take, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// After a failed accept, such as without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running listeners. Dropping it ends them.
#[derive(Debug)]
pub struct Server {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers for `engine` on the bound sockets, on a thread of its own; who wishes another configuration is told `reloads`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        engine: &Arc<Engine>,
        admin: Option<(Bound, Guard)>,
        observe: Option<Bound>,
        reloads: Option<Reloads>,
    ) -> io::Result<Server> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let admin = admin.map(|(bound, guard)| (bound, routes::admin(Arc::clone(engine), guard, reloads)));
        let observe = observe.map(|bound| (bound, routes::observe(Arc::clone(engine))));
        let listeners: Vec<_> = admin.into_iter().chain(observe).collect();
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let mut serving = tokio::task::JoinSet::new();
                for (bound, router) in listeners {
                    serving.spawn(serve(bound, router, stopped.clone()));
                }
                serving.join_all().await;
            });
        })?;
        Ok(Server { stop, thread: Some(thread) })
    }

    /// Ends all listeners and connections, and waits until they are gone.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the admin thread had panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

async fn serve(bound: Bound, router: Router, mut stopped: watch::Receiver<bool>) {
    let address = bound.address().clone();
    let accepting = async {
        match bound.socket {
            Socket::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                accept(router, &listener).await
            }
            Socket::Unix(listener, _entry) => {
                let listener = UnixListener::from_std(listener)?;
                accept(router, &listener).await
            }
        }
    };
    let ended: io::Result<()> = tokio::select! {
        biased;
        _ = stopped.wait_for(|stop| *stop) => Ok(()),
        ended = accepting => ended,
    };
    if let Err(error) = ended {
        warn!(%address, "nobody answers here: {error}");
    }
}

/// Either kind of socket.
trait Listener: Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Accepts for ever.
async fn accept(router: Router, listener: &impl Listener) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.next().await {
            Ok(stream) => stream,
            Err(error) => {
                warn!("a connection was not accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A client that breaks off is its own business.
            let _ = http.serve_connection(TokioIo::new(Impatient::new(stream)), service).await;
            drop(place);
        });
    }
}
