//! Where events are posted: an address whose path may name attributes, and nothing else of it.
//!
//! A value takes its place in the path as one segment or part of one, percent-encoded. One that would make a segment of
//! dots, which stands for another place in the path, makes the event one that cannot be sent.

use std::net::IpAddr;

use engine::config::{Check, Span, Spanned};
use engine::event::Event;
use reqwest::Url;

use super::reach::Reach;
use crate::message::{Piece, Template};

/// A checked address.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Scheme, host and port, without a slash at the end.
    origin: String,
    path: Template,
    /// With its question mark.
    query: String,
    /// The whole address, if no event changes it.
    fixed: Option<Url>,
}

/// What is wrong with an address, in bytes from its start.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) message: String,
    pub(super) help: String,
}

fn flaw(at: usize, len: usize, message: &str, help: &str) -> Flaw {
    Flaw { at, len, message: message.to_owned(), help: help.to_owned() }
}

impl Target {
    /// Reads an address. What is said about it holds nothing of it, for it may be a secret.
    pub(super) fn parse(text: &str, reach: Reach) -> Result<Target, Flaw> {
        let Some(start) = ["http://", "https://"].iter().find(|scheme| text.starts_with(**scheme)).map(|s| s.len())
        else {
            let help = "write http://host:port/path or https://host/path";
            return Err(flaw(0, text.len(), "the address is not one of http or https", help));
        };
        let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
        let authority = &text[start..end];
        if let Some(at) = authority.find(['{', '}']) {
            let help = "write the host as it is; only the path may name attributes";
            return Err(flaw(start + at, authority.len() - at, "an event cannot choose the host", help));
        }
        if authority.contains('@') {
            let help = "write auth: { basic: { user: ..., password: ... } } instead";
            return Err(flaw(start, authority.len(), "the address holds credentials", help));
        }
        if let Some(at) = text.find('#') {
            return Err(flaw(at, text.len() - at, "a fragment is never sent", "leave it out"));
        }
        let base = Url::parse(&text[..end]).map_err(|cause| {
            flaw(start, authority.len(), &format!("this is no host: {cause}"), "such as localhost:8080")
        })?;
        if let Some(reason) = address(&base).and_then(|address| reach.refuses(address)) {
            let help = "name another host, or see allowPrivate";
            return Err(flaw(start, authority.len(), &format!("the host is {reason}"), help));
        }
        let path = text[end..].split('?').next().unwrap_or_default();
        let query = &text[end + path.len()..];
        if let Some(at) = query.find(['{', '}']) {
            let help = "write braces of a query as %7B and %7D; only the path may name attributes";
            return Err(flaw(end + path.len() + at, query.len() - at, "a query cannot name attributes", help));
        }
        let path = template(path, end)?;
        let mut target = Target {
            origin: base.as_str().trim_end_matches('/').to_owned(),
            path,
            query: query.to_owned(),
            fixed: None,
        };
        target.fixed = match target.path.fixed() {
            Some(path) => Some(
                target.join(path).ok_or_else(|| flaw(end, text.len() - end, "this is no path", "such as /events"))?,
            ),
            None => None,
        };
        Ok(target)
    }

    /// Scheme, host and port: what may be said of the address.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn is_tls(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// The address for one event.
    ///
    /// # Errors
    /// Why there is none, lower case.
    pub(super) fn fill(&self, event: &Event) -> Result<Url, String> {
        if let Some(url) = &self.fixed {
            return Ok(url.clone());
        }
        let mut path = String::new();
        for piece in self.path.pieces() {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Attribute(attribute) => {
                    let value = event.attribute(attribute).filter(|text| !text.is_empty());
                    let name = attribute.name();
                    encode(
                        &value.ok_or_else(|| format!("the event has no attribute '{name}', which http.url names"))?,
                        &mut path,
                    );
                }
            }
        }
        if path
            .split('/')
            .any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
        {
            return Err("an attribute would lead to another place in the path of http.url".to_owned());
        }
        self.join(&path).ok_or_else(|| "an attribute makes http.url no address".to_owned())
    }

    fn join(&self, path: &str) -> Option<Url> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = Url::parse(&format!("{}{slash}{path}{}", self.origin, self.query)).ok()?;
        // Nothing in a path can reach the host; this is what would notice.
        url.as_str().starts_with(&self.origin).then_some(url)
    }
}

/// The path as a template; its flaws are placed from `start`.
fn template(path: &str, start: usize) -> Result<Template, Flaw> {
    let end = u32::try_from(path.len()).unwrap_or(u32::MAX);
    let mut check = Check::default();
    let typed = Spanned::new(path.to_owned(), Span { file: 0, start: 0, end });
    let template = Template::compile(&typed, &mut check);
    match check.finish().into_iter().next() {
        None => Ok(template),
        Some(problem) => {
            let span = problem.span.unwrap_or_default();
            let (at, len) = (span.start as usize, (span.end - span.start) as usize);
            Err(flaw(start + at, len, &problem.message, problem.help.as_deref().unwrap_or_default()))
        }
    }
}

/// The address that a host is, if it is none that has to be resolved. The parser has read every spelling of it.
fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Appends a value as part of a segment.
fn encode(value: &str, path: &mut String) {
    for byte in value.bytes() {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            true => path.push(char::from(byte)),
            false => path.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::event::Name;

    use super::*;

    const OPEN: Reach = Reach { private: true };

    fn event(subject: &str) -> Event {
        let tenant = Name::new("tenant").unwrap();
        let event = Event::new("e/1?#".into(), "/s".into(), "t".into()).unwrap();
        event.with_subject(subject.into()).with_extension(tenant, "a b")
    }

    fn filled(url: &str, subject: &str) -> Result<String, String> {
        Target::parse(url, OPEN).unwrap().fill(&event(subject)).map(String::from)
    }

    #[test]
    fn attributes_stay_in_their_segment() {
        for (url, subject, whole) in [
            ("http://localhost:8080", "x", "http://localhost:8080/"),
            ("https://a.example/in?k=v", "x", "https://a.example/in?k=v"),
            ("http://a/{subject}", "veh-1", "http://a/veh-1"),
            ("http://a/{subject}/x", "../../admin", "http://a/..%2F..%2Fadmin/x"),
            ("http://a/{id}-{tenant}?q=1", "x", "http://a/e%2F1%3F%23-a%20b?q=1"),
            ("http://a/{subject}", "@evil.example", "http://a/%40evil.example"),
            ("http://a/{subject}", "café%2f", "http://a/caf%C3%A9%252f"),
            ("http://a/{{x}}", "x", "http://a/%7Bx%7D%7D"),
        ] {
            assert_eq!(filled(url, subject).as_deref(), Ok(whole), "{url}");
        }
    }

    #[test]
    fn dots_do_not_climb() {
        for (url, subject) in [
            ("http://a/b/{subject}/c", ".."),
            ("http://a/{subject}", "."),
            ("http://a/%2e{subject}", "."),
            ("http://a/.{subject}/b", "."),
        ] {
            let said = filled(url, subject).unwrap_err();
            assert!(said.contains("another place"), "{url}: {said}");
        }
        assert!(filled("http://a/{dataschema}", "x").unwrap_err().contains("'dataschema'"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        for (url, at, part) in [
            ("ftp://a", 0, "not one of http"),
            ("localhost:8080", 0, "not one of http"),
            ("http://{tenant}.example/", 7, "cannot choose the host"),
            ("http://a.{x}", 9, "cannot choose the host"),
            ("http://u:p@a/", 7, "credentials"),
            ("http://a/#x", 9, "fragment"),
            ("http://a/?q={id}", 12, "query"),
            ("http://a/{ID}", 9, "'ID'"),
            ("http://a/{id", 9, "never closed"),
            ("http://", 7, "no host"),
            ("http://a:99999/", 7, "no host"),
        ] {
            let flaw = Target::parse(url, OPEN).unwrap_err();
            assert!(flaw.at == at && flaw.message.contains(part), "{url}: {flaw:?}");
            assert!(at + flaw.len <= url.len(), "{url}: {flaw:?}");
        }
    }

    #[test]
    fn addresses_are_judged_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.43518",
            "[::ffff:169.254.169.254]",
            "[fe80::1]",
        ] {
            let flaw = Target::parse(&format!("http://{host}/latest"), OPEN).unwrap_err();
            assert!(flaw.message.contains("metadata"), "{host}: {flaw:?}");
        }
        for host in ["127.0.0.1:80", "0x7f.1", "[::1]", "10.0.0.1", "[::ffff:10.0.0.1]"] {
            assert!(Target::parse(&format!("http://{host}"), OPEN).is_ok(), "{host}");
            let flaw = Target::parse(&format!("http://{host}"), Reach { private: false }).unwrap_err();
            assert!(flaw.message.contains("private address"), "{host}: {flaw:?}");
        }
    }
}
