//! The three requests of Kafka's protocol that a harness needs: who is there, make a topic, and where a group stands. Written by hand, so that
//! readiness is not judged by the client that is under test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one answer may take, of a broker whose disk may be busy with other things.
const ANSWER: Duration = Duration::from_secs(60);

/// How many brokers the one at the address knows, if it speaks Kafka's protocol already.
pub(super) fn brokers(address: SocketAddr) -> Option<usize> {
    // Metadata version 4: no topics, and none to be created.
    let answer = ask(address, 3, 4, &[0, 0, 0, 0, 0]).ok()?;
    // The throttle time stands first.
    let count = i32::from_be_bytes(answer.get(4..8)?.try_into().ok()?);
    usize::try_from(count).ok().filter(|count| *count > 0)
}

/// What a broker answers whose controller has not heard of it for some seconds, because the machine stood still.
const FENCED: i16 = 38;

/// Makes a topic with these settings; tells `false` when the broker cannot yet.
///
/// # Errors
/// The broker's words, or why it did not answer.
pub(super) fn create_topic(
    address: SocketAddr,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<bool, String> {
    // CreateTopics version 2.
    let mut body = Vec::new();
    body.extend(1_i32.to_be_bytes());
    text(topic, &mut body);
    body.extend(partitions.to_be_bytes());
    body.extend(1_i16.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(i32::try_from(settings.len()).expect("a few settings").to_be_bytes());
    for (name, value) in settings {
        text(name, &mut body);
        text(value, &mut body);
    }
    body.extend(60_000_i32.to_be_bytes());
    body.push(0);
    let answer = ask(address, 19, 2, &body).map_err(|error| error.to_string())?;
    // The throttle time, one topic, its name, and what became of it.
    let after_name = 4 + 4 + 2 + topic.len();
    let code = answer.get(after_name..after_name + 2).and_then(|bytes| bytes.try_into().ok());
    match code.map(i16::from_be_bytes) {
        Some(0) => Ok(true),
        Some(FENCED) => Ok(false),
        Some(code) => {
            let words = String::from_utf8_lossy(answer.get(after_name + 4..).unwrap_or_default());
            Err(format!("the broker refused topic '{topic}' with code {code}: {words}"))
        }
        None => Err(format!("the broker's answer about topic '{topic}' is cut short: {answer:?}")),
    }
}

/// The offsets that a group has committed of a topic's partitions, added up; one that it has never committed counts as zero.
/// Nothing comes back while nobody coordinates the group.
pub(super) fn committed(address: SocketAddr, group: &str, topic: &str, partitions: i32) -> Option<i64> {
    // OffsetFetch version 1.
    let mut body = Vec::new();
    text(group, &mut body);
    body.extend(1_i32.to_be_bytes());
    text(topic, &mut body);
    body.extend(partitions.to_be_bytes());
    (0..partitions).for_each(|partition| body.extend(partition.to_be_bytes()));
    let answer = ask(address, 9, 1, &body).ok()?;
    // One topic, its name and its partitions: each its number, its offset, a note and a code.
    let mut at = 4 + 2 + topic.len() + 4;
    let mut sum = 0;
    for _ in 0..partitions {
        let offset = i64::from_be_bytes(answer.get(at + 4..at + 12)?.try_into().ok()?);
        let note = i16::from_be_bytes(answer.get(at + 12..at + 14)?.try_into().ok()?);
        at += 14 + usize::try_from(note).unwrap_or_default();
        let code = i16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?);
        if code != 0 {
            return None;
        }
        at += 2;
        sum += offset.max(0);
    }
    Some(sum)
}

fn text(text: &str, into: &mut Vec<u8>) {
    into.extend(i16::try_from(text.len()).expect("a short text").to_be_bytes());
    into.extend(text.as_bytes());
}

/// One request and its answer without the header.
fn ask(address: SocketAddr, key: i16, version: i16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    // The key, the version, a correlation id of zero, and no client id.
    let mut request = Vec::new();
    request.extend(i32::try_from(10 + body.len()).expect("a short request").to_be_bytes());
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    stream.write_all(&request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap_or_default()];
    stream.read_exact(&mut answer)?;
    Ok(answer.split_off(4.min(answer.len())))
}
