//! A server that takes whatever is posted to it, or all but one event, answers 204, and keeps headers and bytes for the test to
//! look at.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::header;
use crate::patience::within;

/// A request: its headers, whose names are in lower case, and its body.
pub type Post = (Vec<(String, String)>, Vec<u8>);

/// A running server. Dropping it ends it.
pub struct Inbox {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
    count: watch::Receiver<usize>,
    task: JoinHandle<()>,
}

impl Inbox {
    /// Listens on a free port of the loopback interface.
    pub async fn open() -> Self {
        Self::open_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// The same, but the event of this id is answered 503 whenever it comes, and is not kept.
    pub async fn open_but_for(id: &str) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), Some(id.to_owned())).await
    }

    /// Listens at an address where nobody else does.
    pub async fn open_at(address: SocketAddr) -> Self {
        Self::listen(address, None).await
    }

    async fn listen(address: SocketAddr, poison: Option<String>) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let posts = Arc::new(Mutex::new(Vec::new()));
        let (told, count) = watch::channel(0);
        let kept = Arc::clone(&posts);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, told, poison) = (Arc::clone(&kept), told.clone(), poison.clone());
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(post) = post(&mut stream).await {
                        let last = post.0.iter().any(|(name, value)| name == "connection" && value == "close");
                        let id = post.0.iter().find(|(name, _)| name == "ce-id").map(|(_, id)| id.as_str());
                        let answer: &[u8] = if id.is_some() && id == poison.as_deref() {
                            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
                        } else {
                            kept.lock().push(post);
                            told.send_modify(|count| *count += 1);
                            b"HTTP/1.1 204 No Content\r\n\r\n"
                        };
                        let answered = stream.get_mut().write_all(answer).await;
                        if last || answered.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, posts, count, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until so many requests have come, and answers all there are.
    pub async fn posted(&self, count: usize) -> Vec<Post> {
        let mut counted = self.count.clone();
        let waiting = counted.wait_for(|posted| *posted >= count);
        within(&format!("{count} requests"), waiting).await.expect("the server lives as long as its handle");
        self.posts.lock().clone()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The next request of a connection that says how long its body is; nothing when it has ended.
async fn post(stream: &mut BufReader<TcpStream>) -> Option<Post> {
    let mut headers = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => headers.extend(header(line)),
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((headers, body))
}

#[cfg(test)]
mod tests {
    use super::super::request;
    use super::*;

    #[tokio::test]
    async fn what_is_posted_is_kept_byte_for_byte() {
        let inbox = Inbox::open().await;
        let answer = request(inbox.address(), "POST", "/", &[("X-Tide", "high")], b"\xff\r\n\r\n").await;
        assert_eq!(answer.unwrap().status, 204);
        let (headers, body) = inbox.posted(1).await.pop().unwrap();
        assert!(headers.contains(&("x-tide".to_owned(), "high".to_owned())), "{headers:?}");
        assert_eq!(body, b"\xff\r\n\r\n");
    }

    #[tokio::test]
    async fn one_event_is_refused_and_the_others_are_kept() {
        let inbox = Inbox::open_but_for("bad").await;
        for (id, status) in [("bad", 503), ("good", 204), ("bad", 503)] {
            assert_eq!(request(inbox.address(), "POST", "/", &[("ce-id", id)], b"{}").await.unwrap().status, status);
        }
        assert_eq!(inbox.posted(1).await.len(), 1);
    }
}
