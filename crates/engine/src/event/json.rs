//! The JSON format of CloudEvents 1.0 (`application/cloudevents+json`), one event at a time.
//!
//! Reading never builds a document tree. JSON data stays the very bytes of the message, a slice of its buffer: number
//! spelling, key order and inner whitespace survive. What `data` means depends on `datacontenttype`:
//!
//! | member | `datacontenttype` | payload |
//! |---|---|---|
//! | `data` | JSON, or absent | the JSON value as it is spelled; a string keeps its quotes, `null` is the payload `null` |
//! | `data`, a string | not JSON | the text of the string, unescaped |
//! | `data`, `null` | not JSON | none |
//! | `data`, anything else | not JSON | refused |
//! | `data_base64` | any | the decoded bytes; `null` is none |
//!
//! Both members together are refused, and so is a member that appears twice, whose meaning readers do not agree on. An
//! attribute that is `null` is absent. An absent `datacontenttype` stays absent: a binding that writes the payload bare
//! should then say `application/json`.
//!
//! Writing is the inverse, whatever the payload: [`decode()`] of what [`encode()`] wrote is the event that was written, but
//! for the context of the hop that brought it, which is no attribute. So a
//! payload that JSON could not give back byte by byte goes into `data_base64`, for example JSON with a line break after
//! it, or invalid JSON that calls itself JSON.

mod decode;
mod encode;
mod scalar;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub use encode::{encode, encode_line};

/// Whether a payload of this media type is JSON: its subtype is `json` or ends with `+json`, in any case, whatever the
/// parameters.
///
/// ```
/// use engine::event::json::is_json;
///
/// assert!(is_json("Application/JSON; charset=utf-8") && is_json("application/vnd.acme+json"));
/// assert!(!is_json("application/jsonp") && !is_json("text/plain; note=json"));
/// ```
#[must_use]
pub fn is_json(media_type: &str) -> bool {
    // Nearly always, and asked of every event.
    if media_type == "application/json" {
        return true;
    }
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.rsplit('+').next().unwrap_or_default();
    suffix.eq_ignore_ascii_case("json")
}
