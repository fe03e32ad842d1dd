//! One HTTP/1.1 request at a time, by hand. The admin API, `/metrics` and the Pushgateway need no
//! more, and a test that reads the very bytes also sees a header that a client would hide.

mod inbox;

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use inbox::{Inbox, Post};

use crate::patience::within;

/// A response, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body, decoded if it was chunked.
    pub body: String,
}

impl Response {
    /// The first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON, with the body.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}) in {} {}", self.status, self.body))
    }
}

/// GET.
///
/// # Panics
/// When nobody answers.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path, &[], "").await.expect("an HTTP answer")
}

/// POST with a body.
///
/// # Panics
/// When nobody answers.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    let json = [("content-type", "application/json")];
    request(address, "POST", path, &json, body).await.expect("an HTTP answer")
}

/// Any request with headers of one's own; a `host` among them replaces the usual one.
///
/// # Errors
/// When the connection is refused, ends early or answers something that is not HTTP.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> std::io::Result<Response> {
    let body = body.as_ref();
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("host: {address}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let bytes = [text.as_bytes(), body].concat();
    within(&format!("{method} {path}"), async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&bytes).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        parse(&bytes).ok_or_else(|| std::io::Error::other("the answer is no HTTP response"))
    })
    .await
}

fn parse(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let headers = lines.map(header).collect::<Option<Vec<_>>>()?;
    let body = &bytes[end + 4..];
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    Some(Response { status, headers, body: String::from_utf8(body).ok()? })
}

/// A line of a head: the name in lower case, and the value.
fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(end + 2..end + 2 + size)?);
        bytes = bytes.get(end + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_and_a_chunked_body_are_read() {
        let plain = parse(b"HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\n\r\ngone").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (404, "gone"));
        assert_eq!(plain.header("content-type"), Some("a/b"));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().body, "abcde");
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for bytes in [&b""[..], b"hello", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"] {
            assert_eq!(parse(bytes), None);
        }
        let cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc";
        assert_eq!(parse(cut), None);
    }
}
