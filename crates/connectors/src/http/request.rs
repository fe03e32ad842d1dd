//! One request, from its head to its answer, on the task of its connection.
//!
//! Everything that can refuse it without its body comes first, so that what is refused costs little. The body is read only
//! when there is room for it: the bytes of all requests that are being read or wait for their events are bounded together.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine::delivery::Undecodable;
use engine::event::Text;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, Response};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::access::Guard;
use super::answer::Answer;
use super::desk::{Message, Parcel};
use super::tally::Tally;
use super::webhook::{REQUEST_ORIGIN, Webhook};
use crate::capture::Filters;
use crate::kept;
use crate::normalise::{self, Ids, NoEvent, Template, percent};

/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(30);
/// How long a body that is too large is read on, so that its sender reads why it was refused and not that it was cut off.
const LINGER: Duration = Duration::from_secs(2);
/// What one permit of the room stands for, so that a count of 32 bits reaches far enough.
pub(super) const GRAIN: usize = 1024;

/// What a source judges requests by, shared by all of its connections.
pub(super) struct Door {
    pub(super) name: Text,
    pub(super) paths: Filters,
    pub(super) template: Template,
    pub(super) ids: Ids,
    pub(super) drawn: AtomicU64,
    pub(super) guard: Guard,
    pub(super) webhook: Option<Webhook>,
    /// The largest body, in bytes.
    pub(super) limit: usize,
    /// How long a request waits for room, and then for a seat.
    pub(super) patience: Duration,
    /// Memory for bodies, in [`GRAIN`]s.
    pub(super) room: Semaphore,
    pub(super) tally: Arc<Tally>,
}

/// A door in one run: where parcels go, and whether any are taken.
pub(super) struct Entry {
    pub(super) door: Arc<Door>,
    pub(super) parcels: mpsc::Sender<Parcel>,
    pub(super) closed: AtomicBool,
}

/// Counts a client that has gone, unless it was answered.
struct Answered<'t>(&'t Tally, bool);

impl Drop for Answered<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.gone();
        }
    }
}

impl Entry {
    /// Serves one request.
    pub(super) async fn serve(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut answered = Answered(&self.door.tally, false);
        let answer = self.answer(request).await.unwrap_or_else(|refusal| refusal);
        answered.1 = true;
        self.door.tally.answered(answer.status());
        answer.response()
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Answer> {
        let door = &*self.door;
        let (head, mut body) = request.into_parts();
        if self.closed.load(Ordering::Acquire) {
            return Err(Answer::Ending);
        }
        let Some(captured) = captured(&door.paths, head.uri.path()) else { return Err(Answer::NotFound) };
        if let Some(webhook) = &door.webhook
            && head.method == Method::OPTIONS
            && head.headers.contains_key(REQUEST_ORIGIN)
        {
            return webhook.grant(&head.headers).map(Answer::Granted).ok_or(Answer::Forbidden);
        }
        if head.method != Method::POST {
            return Err(Answer::Method { webhook: door.webhook.is_some() });
        }
        if !door.guard.admits(&head.headers) {
            return Err(Answer::Unauthorized);
        }
        let content_type = content_type(&head.headers)?;
        let expected = body.size_hint().upper().unwrap_or(door.limit as u64);
        let _room = self.room(expected.min(door.limit as u64)).await?;
        let payload = match read(&mut body, door.limit).await {
            Err(refusal @ Answer::TooLarge { .. }) => {
                linger(&mut body, door.limit).await;
                return Err(refusal);
            }
            read => read?,
        };
        if !door.guard.trusts(&head.headers, &payload) {
            return Err(Answer::Unauthorized);
        }
        let messages = door.messages(head.uri.path(), &captured, content_type, &head.headers, payload)?;
        let (reply, answer) = oneshot::channel();
        let parcel = Parcel { messages: messages.into(), reply, deadline: Instant::now() + door.patience };
        if self.closed.load(Ordering::Acquire) || self.parcels.send(parcel).await.is_err() {
            return Err(Answer::Ending);
        }
        // A source that ends without a word has settled nothing.
        answer.await.map_err(|_| Answer::Ending)
    }

    /// Room for a body of `bytes`.
    async fn room(&self, bytes: u64) -> Result<SemaphorePermit<'_>, Answer> {
        let grains = u32::try_from(bytes.div_ceil(GRAIN as u64)).unwrap_or(u32::MAX);
        match timeout(self.door.patience, self.door.room.acquire_many(grains)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Answer::Full),
        }
    }
}

impl Door {
    /// The messages that a request carries; one that is no event is among them, to be kept.
    fn messages(
        &self,
        path: &str,
        captured: &[Option<String>],
        content_type: Option<&str>,
        headers: &HeaderMap,
        payload: Bytes,
    ) -> Result<Vec<Message>, Answer> {
        let captured: Vec<Option<&str>> = captured.iter().map(Option::as_deref).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let request =
            normalise::Request { path, captured: &captured, content_type, headers: &headers, payload: payload.clone() };
        let id = || self.ids.at(self.drawn.fetch_add(1, Ordering::Relaxed));
        match self.template.http(request, id) {
            Ok(events) => Ok(events.into_iter().map(Ok).collect()),
            Err(cause @ NoEvent::Format(_)) => Err(Answer::MediaType(cause.to_string())),
            Err(cause) => {
                let mut facts = vec![("path".into(), Text::new(path))];
                facts.extend(content_type.map(|text| ("contenttype".into(), Text::new(text))));
                let mut kept = kept::Headers::default();
                for (name, value) in headers.iter().filter(|(name, _)| !self.guard.hides(name)) {
                    kept.add(name.as_bytes(), Some(value));
                }
                facts.extend(kept.fact());
                Ok(vec![Err(Undecodable { raw: payload, reason: cause.to_string(), facts })])
            }
        }
    }
}

/// The captures of a path, decoded; nothing if it is another path.
fn captured(paths: &Filters, path: &str) -> Option<Vec<Option<String>>> {
    let decode = |part: &str| percent::text(part.as_bytes()).map(Cow::into_owned);
    paths.capture(path)?.into_iter().map(|part| part.map(decode).transpose().ok()).collect()
}

/// The content type, if the headers make sense.
fn content_type(headers: &HeaderMap) -> Result<Option<&str>, Answer> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let sentence = "compressed bodies are not taken; send it without a content encoding";
        return Err(Answer::MediaType(sentence.to_owned()));
    }
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Answer::Malformed("there are two content types; send one"));
    }
    value.to_str().map(Some).map_err(|_| Answer::Malformed("the content type is no text of ASCII"))
}

/// The body, up to `limit` bytes of it.
async fn read(body: &mut Incoming, limit: usize) -> Result<Bytes, Answer> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Answer::TooLarge { limit });
    }
    match timeout(BODY, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(cause)) if cause.is::<LengthLimitError>() => Err(Answer::TooLarge { limit }),
        Ok(Err(_)) => Err(Answer::Malformed("the body ended early or is not framed as HTTP says")),
        Err(_) => Err(Answer::Slow),
    }
}

/// Reads on for a while, and forgets what it reads.
async fn linger(body: &mut Incoming, limit: usize) {
    let mut left = 8 * limit.max(1 << 20);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(length) else { break };
            left = less;
        }
    };
    drop(timeout(LINGER, reading).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::options::path;

    #[test]
    fn captures_are_decoded_segment_by_segment() {
        let paths = Filters::new(vec![path("/hooks/{tenant}/{kind}").unwrap()]);
        let found = |path| captured(&paths, path);
        assert_eq!(found("/hooks/a%2Fb/caf%C3%A9").unwrap(), [Some("a/b".to_owned()), Some("café".to_owned())]);
        assert_eq!(found("/hooks/100%/%4").unwrap(), [Some("100%".to_owned()), Some("%4".to_owned())]);
        assert_eq!(found("/hooks/%+F/a+b").unwrap(), [Some("%+F".to_owned()), Some("a+b".to_owned())]);
        for other in ["/", "/hooks/a", "/hooks/a/b/", "/hooks/a/b/c", "/hooks/%C0/b", "hooks/a/b"] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
