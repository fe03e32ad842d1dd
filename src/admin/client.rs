//! The client of the admin API behind `tidemill status`, `tidemill leave` and their like: one request, one answer.
//!
//! It blocks, because a command that waits for one answer needs no runtime, and speaks HTTP/1.0, in which an answer ends
//! with its connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use super::{Address, Token};

/// An answer that is longer is not from this API.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// No answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers.
    #[error("no tidemill answers on {0}; start one with 'tidemill run', or name where it listens with --admin")]
    Unreachable(Address, #[source] io::Error),
    /// Somebody answers, but not in time or not to the end.
    #[error("{0} did not answer in time; 'tidemill status' shows whether it is at work")]
    Silent(Address, #[source] io::Error),
    /// Somebody answers who is no admin API.
    #[error("what answers on {0} is no tidemill; name where it listens with --admin")]
    Foreign(Address),
    /// The API refused, in its own words.
    #[error("{0}")]
    Refused(String),
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, its segments escaped.
    pub path: &'a str,
    /// The body, which may be empty.
    pub body: &'a [u8],
}

/// Sends one request and reads the JSON in its answer, each step of which may take `patience`.
///
/// # Errors
/// [`Error`]; a refusal carries the API's sentence.
pub fn ask(address: &Address, token: Option<&Token>, request: Request<'_>, patience: Duration) -> Result<Value, Error> {
    let body = fetch(address, token, request, patience)?;
    serde_json::from_slice(&body).map_err(|_| Error::Foreign(address.clone()))
}

/// [`ask`] for the answer whatever it is, with its status code.
///
/// # Errors
/// As [`ask`], but for [`Error::Refused`].
pub fn exchange(
    address: &Address,
    token: Option<&Token>,
    request: Request<'_>,
    patience: Duration,
) -> Result<(u16, Value), Error> {
    let (status, body) = call(address, token, request, patience)?;
    let body = serde_json::from_slice(&body).map_err(|_| Error::Foreign(address.clone()))?;
    Ok((status, body))
}

/// [`ask`] for the answer as it was written, for whoever must not rewrite what is in it.
///
/// # Errors
/// As [`ask`].
pub fn fetch(
    address: &Address,
    token: Option<&Token>,
    request: Request<'_>,
    patience: Duration,
) -> Result<Vec<u8>, Error> {
    let (status, body) = call(address, token, request, patience)?;
    if (200..=299).contains(&status) {
        return Ok(body);
    }
    let refusal: Option<Value> = serde_json::from_slice(&body).ok();
    Err(match refusal.as_ref().and_then(|body| body.get("error")?.as_str()) {
        Some(sentence) => Error::Refused(sentence.to_owned()),
        None => Error::Foreign(address.clone()),
    })
}

/// Status code and body of the answer.
fn call(
    address: &Address,
    token: Option<&Token>,
    request: Request<'_>,
    patience: Duration,
) -> Result<(u16, Vec<u8>), Error> {
    let unreachable = |cause| Error::Unreachable(address.clone(), cause);
    let silent = |cause| Error::Silent(address.clone(), cause);
    let (mut stream, host): (Box<dyn Stream>, String) = match address {
        Address::Tcp(tcp) => {
            let stream = TcpStream::connect_timeout(tcp, Duration::from_secs(5)).map_err(unreachable)?;
            stream.set_read_timeout(Some(patience)).map_err(unreachable)?;
            (Box::new(stream), tcp.to_string())
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(unreachable)?;
            stream.set_read_timeout(Some(patience)).map_err(unreachable)?;
            (Box::new(stream), "localhost".to_owned())
        }
    };
    let authorization = token.map(|token| format!("Authorization: {}\r\n", token.authorization())).unwrap_or_default();
    let Request { method, path, body } = request;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n{authorization}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).map_err(silent)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(silent)?;
    let (status, body) = parse(&answer).ok_or_else(|| Error::Foreign(address.clone()))?;
    Ok((status, body.to_owned()))
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Status code and body of an HTTP/1 answer.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (answer.get(..end)?, answer.get(end + 4..)?);
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let status = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body))
}

/// A name as one segment of a path.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_anything_else_is_not() {
        let answer = b"HTTP/1.0 404 Not Found\r\ncontent-type: application/json\r\n\r\n{\"error\":\"gone\"}";
        assert_eq!(parse(answer), Some((404, &b"{\"error\":\"gone\"}"[..])));
        for foreign in [&b""[..], b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n{}"] {
            assert_eq!(parse(foreign), None);
        }
    }

    #[test]
    fn a_name_cannot_leave_its_segment() {
        assert_eq!(segment("fleet-1"), "fleet-1");
        assert_eq!(segment("../a b?"), "..%2Fa%20b%3F");
    }

    #[test]
    fn nobody_there_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("admin.sock"));
        let status = Request { method: "GET", path: "/v1/status", body: b"" };
        let sentence = ask(&address, None, status, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(sentence.contains("no tidemill answers on unix:") && sentence.contains("--admin"), "{sentence}");
    }
}
