//! One client of the stub. The reader answers what must be answered and counts PUBACKs; the writer
//! copies frames that were encoded once and only changes the packet id in them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use super::{Counts, Load};
use crate::packet::{Frame, Framer, Kind, Version, connack, pingresp, publish, suback, unsuback};

/// Frames are written in pieces of about this size.
const PIECE_BYTES: usize = 32 * 1024;

/// One message, encoded, and where its packet id stands.
struct Template {
    frame: Vec<u8>,
    packet_id_at: usize,
}

/// What the reader tells the writer.
enum Order {
    Write(Bytes),
    Begin(Version),
}

/// Serves one client until it leaves.
pub(super) async fn serve(client: TcpStream, load: Arc<Load>, counts: Arc<Counts>) {
    // A stub that waits for acknowledgements must not wait for its own packets too.
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (orders, ordered) = mpsc::channel(64);
    let (acks, acked) = watch::channel(0);
    tokio::select! {
        () = read(from_client, &orders, &acks, &counts) => {}
        _ = write(to_client, ordered, acked, &load, &counts) => {}
    }
}

async fn read(mut from: OwnedReadHalf, orders: &mpsc::Sender<Order>, acks: &watch::Sender<u64>, counts: &Counts) {
    let mut framer = Framer::default();
    let mut bytes = vec![0; 64 * 1024];
    let mut version = Version::V5;
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        framer.feed(&bytes[..read]);
        let mut acknowledged = 0;
        while let Ok(Some(frame)) = framer.next_frame() {
            if frame.kind == Kind::Puback {
                acknowledged += 1;
                continue;
            }
            if frame.kind == Kind::Connect {
                version = frame.version();
            }
            for order in answers(&frame, version) {
                if matches!(order, Order::Begin(_)) {
                    counts.subscribed.fetch_add(1, Ordering::Relaxed);
                }
                if orders.send(order).await.is_err() {
                    return;
                }
            }
        }
        if acknowledged > 0 {
            counts.acknowledged.fetch_add(acknowledged, Ordering::Relaxed);
            acks.send_modify(|acks| *acks += acknowledged);
        }
        counts.changed.send_replace(());
    }
}

fn answers(frame: &Frame, version: Version) -> Vec<Order> {
    match frame.kind {
        Kind::Connect => vec![Order::Write(connack(version, false, 0, None))],
        // One return code is enough for clients that ask for one filter at a time.
        Kind::Subscribe => {
            let granted = suback(version, frame.packet_id(), filters(frame, version));
            vec![Order::Write(granted), Order::Begin(version)]
        }
        Kind::Unsubscribe => vec![Order::Write(unsuback(version, frame.packet_id(), 1))],
        Kind::Pingreq => vec![Order::Write(pingresp())],
        _ => Vec::new(),
    }
}

/// How many filters a SUBSCRIBE names.
fn filters(frame: &Frame, version: Version) -> usize {
    let body = frame.body();
    let mut at = 2;
    if version == Version::V5 {
        at += 1 + usize::from(body[at]);
    }
    let mut filters = 0;
    while let Some([high, low]) = body.get(at..at + 2) {
        at += 2 + usize::from(u16::from_be_bytes([*high, *low])) + 1;
        filters += 1;
    }
    filters
}

async fn write(
    mut to: OwnedWriteHalf,
    mut orders: mpsc::Receiver<Order>,
    mut acks: watch::Receiver<u64>,
    load: &Load,
    counts: &Counts,
) -> std::io::Result<()> {
    let mut templates = Vec::new();
    let mut sent = 0;
    let mut piece = Vec::with_capacity(PIECE_BYTES * 2);
    loop {
        let open = !templates.is_empty() && sent < load.count;
        let window = load.window.map_or(u64::MAX, u64::from);
        let room = if open { window.saturating_sub(sent - *acks.borrow_and_update()) } else { 0 };
        let room = if load.window.is_some() { room } else { u64::from(open) * u64::MAX };
        if room == 0 {
            tokio::select! {
                order = orders.recv() => match order {
                    None => return Ok(()),
                    Some(order) => obey(order, &mut to, &mut templates, load).await?,
                },
                _ = acks.changed(), if open => {}
            }
            continue;
        }
        while let Ok(order) = orders.try_recv() {
            obey(order, &mut to, &mut templates, load).await?;
        }
        let before = sent;
        piece.clear();
        while piece.len() < PIECE_BYTES && sent < load.count && sent - before < room {
            let at = usize::try_from(sent % templates.len() as u64).unwrap_or_default();
            put(&mut piece, &templates[at], sent);
            sent += 1;
        }
        to.write_all(&piece).await?;
        counts.written.fetch_add(sent - before, Ordering::Relaxed);
        counts.changed.send_replace(());
    }
}

async fn obey(
    order: Order,
    to: &mut OwnedWriteHalf,
    templates: &mut Vec<Template>,
    load: &Load,
) -> std::io::Result<()> {
    match order {
        Order::Write(bytes) => to.write_all(&bytes).await?,
        Order::Begin(version) => {
            *templates = load.messages.iter().map(|one| encode(version, load, one)).collect();
        }
    }
    Ok(())
}

fn encode(version: Version, load: &Load, (topic, payload): &(String, Vec<u8>)) -> Template {
    let packet_id = u16::from(load.window.is_some());
    let frame = publish(version, topic, packet_id, payload).to_vec();
    // The payload and, in version 5, one byte of properties follow the packet id.
    let behind = payload.len() + 2 + usize::from(version == Version::V5);
    let packet_id_at = if packet_id > 0 { frame.len() - behind } else { 0 };
    Template { frame, packet_id_at }
}

/// Appends the frame of the message number `number`, with an id from the circle 1 to 65,535.
fn put(piece: &mut Vec<u8>, template: &Template, number: u64) {
    let start = piece.len();
    piece.extend_from_slice(&template.frame);
    if template.packet_id_at > 0 {
        let packet_id = (number % 65_535 + 1) as u16;
        let at = start + template.packet_id_at;
        piece[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
    }
}
