//! A broker made of frames, which takes every message but those that it was told something about.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a broker does when a message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// It ends the TCP connection.
    Hang,
    /// It closes the channel with a code.
    Channel(u16),
    /// It closes the connection with a code.
    Connection(u16),
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    /// Routing keys of the messages that were taken, in order.
    pub(super) taken: Vec<String>,
}

/// A broker of one test.
pub(super) struct Broker {
    pub(super) address: String,
    seen: Arc<Mutex<Seen>>,
}

/// Everything that it answers until messages come, each a method's channel, class, number and arguments.
const WELCOME: [(u8, &[u8]); 5] = [
    (0, b"\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\0"),
    (0, b"\0\x0a\0\x1e\0\0\0\x02\0\0\0\x3c"),
    (0, b"\0\x0a\0\x29\0"),
    (1, b"\0\x14\0\x0b\0\0\0\0"),
    (1, b"\0\x55\0\x0b"),
];

impl Broker {
    /// A broker that reacts so to messages with these routing keys, as often as it is said.
    pub(super) async fn start(reactions: &[(&str, Reaction, usize)]) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::<Mutex<Seen>>::default();
        let reactions = reactions.iter().map(|(key, reaction, times)| ((*key).to_owned(), (*reaction, *times)));
        let (told, mut reactions) = (Arc::clone(&seen), reactions.collect::<HashMap<_, _>>());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                told.lock().connections += 1;
                // A connection that is gone is what this is for.
                let _ = serve(stream, &told, &mut reactions).await;
            }
        });
        Broker { address, seen }
    }

    pub(super) fn seen(&self) -> (usize, Vec<String>) {
        let seen = self.seen.lock();
        (seen.connections, seen.taken.clone())
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Seen>,
    reactions: &mut HashMap<String, (Reaction, usize)>,
) -> std::io::Result<()> {
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).await?;
    for (channel, method) in WELCOME {
        stream.write_all(&frame(channel, method)).await?;
    }
    let (mut tag, mut key, mut left) = (0_u64, String::new(), 0);
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize + 1];
        stream.read_exact(&mut payload).await?;
        match (head[0], payload.first_chunk::<4>()) {
            // basic.publish: a reserved number, the exchange, the routing key.
            (1, Some([0, 60, 0, 40])) => {
                let at = 7 + usize::from(payload[6]);
                key = String::from_utf8_lossy(&payload[at + 1..=at + usize::from(payload[at])]).into_owned();
                continue;
            }
            (1, Some([0, 10, 0, 50])) => return stream.write_all(&frame(0, &[0, 10, 0, 51])).await,
            (2, _) => left = u64::from_be_bytes(payload[4..12].try_into().unwrap_or_default()) as usize,
            (3, _) => left -= payload.len() - 1,
            _ => continue,
        }
        if left > 0 {
            continue;
        }
        tag += 1;
        let due = reactions.get_mut(&key).filter(|(_, times)| *times > 0);
        let Some((reaction, times)) = due else {
            seen.lock().taken.push(std::mem::take(&mut key));
            let confirmed = [&[0, 60, 0, 80][..], &tag.to_be_bytes(), &[0]].concat();
            stream.write_all(&frame(1, &confirmed)).await?;
            continue;
        };
        *times -= 1;
        let close = |class: [u8; 4], code: u16| [&class[..], &code.to_be_bytes(), b"\x03WHY\0\0\0\0"].concat();
        match reaction {
            Reaction::Hang => {}
            Reaction::Channel(code) => stream.write_all(&frame(1, &close([0, 20, 0, 40], *code))).await?,
            Reaction::Connection(code) => stream.write_all(&frame(0, &close([0, 10, 0, 50], *code))).await?,
        }
        // What was sent behind it is thrown away, as a broker does with a channel that it has closed.
        stream.shutdown().await?;
        while stream.read(&mut head).await? > 0 {}
        return Ok(());
    }
}

fn frame(channel: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[1, 0, channel][..], &size, payload, &[0xce]].concat()
}
