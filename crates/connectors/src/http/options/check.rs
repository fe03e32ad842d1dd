//! From options to a plan: pure, without secrets, everything that is wrong at once.

use std::net::SocketAddr;
use std::time::Duration;

use engine::config::{AckPoint, Check, Spanned};
use engine::registry::SourceCommon;

use super::plan::{Identity, Plan};
use super::{Options, Tls};
use crate::capture::{self, Filter, Filters, Flaw, Syntax};
use crate::http::access::Access;
use crate::http::webhook::Webhook;
use crate::normalise::{Origin, Template};

/// What events of a request without a template look like.
const ORIGIN: Origin = Origin { whole: "path", r#type: "org.tidemill.http.request", source: "{path}" };

const BODY: u64 = 1 << 20;
const BODY_MAX: u64 = 256 << 20;
const WAIT: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(600);
const CONNECTIONS: u32 = 512;
const CONNECTIONS_MAX: u32 = 65_536;

/// How paths are written. They have no wildcards, which null characters cannot be mistaken for.
static PATHS: Syntax = Syntax {
    whole: "path",
    filter: "path",
    part: "segment",
    separator: '/',
    one: '\0',
    rest: '\0',
    rest_of_none: false,
    empty_parts: true,
    spaces: false,
    reserved: None,
    longest: 8192,
    example: "/hooks/{tenant}",
};

/// Reads a path.
///
/// # Errors
/// The first [`Flaw`].
pub(in crate::http) fn path(text: &str) -> Result<Filter, Flaw> {
    let flaw = |at: usize, len, message: &str, help: &str| {
        Err(Flaw { at, len, message: message.to_owned(), help: help.to_owned() })
    };
    if !text.starts_with('/') {
        return flaw(0, text.len(), "a path begins with a slash", "write / or a path such as /hooks/{tenant}");
    }
    if let Some(at) = text.find('\0') {
        return flaw(at, 1, "a path cannot hold a null character", "remove it");
    }
    if let Some(at) = text.find(['?', '#']) {
        return flaw(
            at,
            text.len() - at,
            "this is no part of a path",
            "leave it out; the query of a request is ignored",
        );
    }
    Filter::parse(&PATHS, text)
}

/// Checks `options`; a plan if nothing is wrong with them.
pub(super) fn plan(options: &Options, common: &SourceCommon, check: &mut Check) -> Option<Plan> {
    let mut found = Check::default();
    let plan = read(options, common, &mut found);
    let failed = found.failed();
    for diagnostic in found.finish() {
        check.note(diagnostic);
    }
    plan.filter(|_| !failed)
}

fn read(options: &Options, common: &SourceCommon, check: &mut Check) -> Option<Plan> {
    let address = address(options, check);
    let paths = paths(options.path.as_ref(), check);
    let template = Template::compile(&common.event, paths.names(), &ORIGIN, check);
    let access = options.auth.as_ref().map(|typed| Access::check(typed, check)).unwrap_or_default();
    let webhook = options.webhook.as_ref().map(|typed| Webhook::check(typed, check));
    let limit = body_size(options, check);
    let patience = patience(options, check);
    let connections = connections(options, check);
    let ack = common.ack_or(AckPoint::Spooled);
    let tls = options.tls.as_ref().map(|typed| identity(&typed.value));
    Some(Plan { address: address?, paths, template, access, webhook, limit, patience, connections, ack, tls })
}

fn address(options: &Options, check: &mut Check) -> Option<SocketAddr> {
    let typed = &options.listen;
    let Ok(address) = typed.parse::<SocketAddr>() else {
        let message = format!("'{}' is no address to listen on", typed.value);
        check.error(typed.span, message, "write an IP address and a port, such as 127.0.0.1:8080 or 0.0.0.0:8080");
        return None;
    };
    let asks = options.auth.is_some() || options.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if !address.ip().to_canonical().is_loopback() && !asks {
        let message = "others than this machine can post here, and nothing asks who they are";
        check.warning(
            typed.span,
            message,
            "write auth: { bearer: ... } or auth: { hmac: ... }, or listen on 127.0.0.1",
        );
    }
    Some(address)
}

fn paths(typed: Option<&Spanned<String>>, check: &mut Check) -> Filters {
    match typed {
        Some(typed) => capture::checked(std::slice::from_ref(typed), path, check),
        None => Filters::new(path("/").into_iter().collect()),
    }
}

fn body_size(options: &Options, check: &mut Check) -> usize {
    let Some(typed) = &options.max_body_size else { return BODY as usize };
    let size = typed.value.0;
    if !(1..=BODY_MAX).contains(&size) {
        check.error(typed.span, "this is no size for a body", "write a size from 1B to 256MiB");
    }
    usize::try_from(size.min(BODY_MAX)).unwrap_or(BODY as usize)
}

fn patience(options: &Options, check: &mut Check) -> Duration {
    let Some(typed) = &options.max_wait else { return WAIT };
    if typed.value.0 > WAIT_MAX {
        check.error(typed.span, "no sender waits that long", "write at most 10m");
    }
    typed.value.0.min(WAIT_MAX)
}

fn connections(options: &Options, check: &mut Check) -> usize {
    let Some(typed) = &options.max_connections else { return CONNECTIONS as usize };
    if !(1..=CONNECTIONS_MAX).contains(&typed.value) {
        check.error(typed.span, format!("'maxConnections' is {}", typed.value), "write a number from 1 to 65536");
    }
    typed.value.clamp(1, CONNECTIONS_MAX) as usize
}

fn identity(tls: &Tls) -> Identity {
    Identity {
        cert: tls.cert.value.clone().into(),
        key: tls.key.value.clone().into(),
        client_ca: tls.client_ca.as_ref().map(|path| path.value.clone().into()),
    }
}

#[cfg(test)]
mod tests {
    use engine::config::EventTemplate;
    use engine::registry::{Sending, SourcePlan as _};

    use super::*;

    fn common() -> SourceCommon {
        SourceCommon {
            name: Spanned::new("hook".into(), Default::default()),
            ack: None,
            event: EventTemplate::default(),
            seats: 10,
        }
    }

    fn said(json: &str) -> Vec<(bool, String)> {
        let options: Options = serde_json::from_str(json).unwrap();
        let mut check = Check::default();
        let sound = plan(&options, &common(), &mut check).is_some();
        check.finish().into_iter().map(|problem| (sound, problem.message)).collect()
    }

    #[test]
    fn an_output_posts_to_where_it_listens() {
        let entrance = |json: &str, to: Option<&str>| {
            let options: Options = serde_json::from_str(json).unwrap();
            let plan = plan(&options, &common(), &mut Check::default()).unwrap();
            plan.entrance(&Sending { to, patience: Duration::from_secs(5) })
        };
        for (json, to, url) in [
            (r#"{"listen":"127.0.0.1:8080"}"#, None, "http://127.0.0.1:8080/"),
            (r#"{"listen":"0.0.0.0:80","path":"/a"}"#, None, "http://127.0.0.1:80/a"),
            (r#"{"listen":"[::]:80","path":"/a/{b}"}"#, Some("/a/c"), "http://[::1]:80/a/c"),
        ] {
            let entrance = entrance(json, to).unwrap();
            assert_eq!((entrance.own[0].clone(), entrance.place.as_str()), (("url", url.into()), url));
            assert_eq!(entrance.shared, ["auth"]);
        }
        let said = entrance(r#"{"listen":"127.0.0.1:1","path":"/a/{b}"}"#, Some("/b")).unwrap_err();
        assert!(said.contains("does not receive from path '/b'"), "{said}");
        let said = entrance(r#"{"listen":"127.0.0.1:1","tls":{"cert":"c","key":"k"}}"#, None).unwrap_err();
        assert!(said.contains("over TLS"), "{said}");
    }

    #[test]
    fn a_request_is_answered_once_its_events_are_in_the_spool() {
        for (typed, ack) in [
            (None, AckPoint::Spooled),
            (Some(AckPoint::Processed), AckPoint::Processed),
            (Some(AckPoint::Received), AckPoint::Received),
        ] {
            let options: Options = serde_json::from_str(r#"{"listen":"127.0.0.1:8080"}"#).unwrap();
            let common = SourceCommon { ack: typed.map(|ack| Spanned::new(ack, Default::default())), ..common() };
            let facts = plan(&options, &common, &mut Check::default()).unwrap().facts();
            assert_eq!((facts.ack, facts.redelivers), (ack, ack != AckPoint::Received));
        }
    }

    #[test]
    fn what_can_be_meant_is_sound() {
        for json in [
            r#"{"listen":"127.0.0.1:8080"}"#,
            r#"{"listen":"[::1]:0","path":"/hooks/{tenant}","maxBodySize":"64KiB","maxWait":"0s","maxConnections":1}"#,
            r#"{"listen":"0.0.0.0:80","auth":{"bearer":"${env:T}"},"webhook":{"origins":["*"],"rate":60}}"#,
            r#"{"listen":"0.0.0.0:443","tls":{"cert":"c","key":"k","clientCa":"ca"}}"#,
        ] {
            assert_eq!(said(json), [], "{json}");
        }
    }

    #[test]
    fn an_open_door_is_warned_of() {
        for address in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
            let said = said(&format!(r#"{{"listen":"{address}","tls":{{"cert":"c","key":"k"}}}}"#));
            assert!(said.len() == 1 && said[0].0 && said[0].1.contains("nothing asks who they are"), "{said:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (rest, part) in [
            (r#""listen":"localhost:80""#, "no address"),
            (r#""listen":"127.0.0.1""#, "no address"),
            (r#""listen":"127.0.0.1:1","path":"hooks""#, "begins with a slash"),
            (r#""listen":"127.0.0.1:1","path":"/a?b=c""#, "no part of a path"),
            (r#""listen":"127.0.0.1:1","path":"/a{b}""#, "a whole segment"),
            (r#""listen":"127.0.0.1:1","path":"/a b""#, "white space"),
            (r#""listen":"127.0.0.1:1","path":"/a\u0000""#, "null character"),
            (r#""listen":"127.0.0.1:1","maxBodySize":"1GiB""#, "no size for a body"),
            (r#""listen":"127.0.0.1:1","maxWait":"1h""#, "waits that long"),
            (r#""listen":"127.0.0.1:1","maxConnections":0"#, "'maxConnections' is 0"),
            (r#""listen":"127.0.0.1:1","webhook":{"origins":[]}"#, "no origin"),
            (r#""listen":"127.0.0.1:1","webhook":{"origins":["http://a"]}"#, "name of a host"),
            (r#""listen":"127.0.0.1:1","webhook":{"origins":["a"],"rate":0}"#, "allows nothing"),
            (r#""listen":"127.0.0.1:1","auth":{}"#, "asks for nothing"),
        ] {
            let said = said(&format!("{{{rest}}}"));
            assert!(said.len() == 1 && !said[0].0 && said[0].1.contains(part), "{rest}: {said:?}");
        }
    }
}
