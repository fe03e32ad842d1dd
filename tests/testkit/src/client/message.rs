//! A received message as a test sees it, and how the id that the test gave it is found again.

use bytes::Bytes;
use mqtt5::mqttbytes::v5::Publish;

/// One delivery of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The id that the test gave the message: the user property `id` (CloudEvents binary mode), or
    /// the field `id` of a JSON payload, or the whole payload as text.
    pub id: String,
    /// The topic it came on.
    pub topic: String,
    /// The payload as received.
    pub payload: Bytes,
    /// MQTT 5 user properties, in order.
    pub user_properties: Vec<(String, String)>,
    /// MQTT 5 content type.
    pub content_type: Option<String>,
    /// Whether the broker marked it as sent before.
    pub redelivered: bool,
}

impl Message {
    pub(super) fn read(publish: &Publish) -> Self {
        let properties = publish.properties.clone().unwrap_or_default();
        Self {
            id: id_of(&properties.user_properties, &publish.payload),
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload.clone(),
            user_properties: properties.user_properties,
            content_type: properties.content_type,
            redelivered: publish.dup,
        }
    }
}

/// The id that the test gave a message; see [`Message::id`].
#[must_use]
pub fn id_of(user_properties: &[(String, String)], payload: &[u8]) -> String {
    if let Some((_, id)) = user_properties.iter().find(|(key, _)| key == "id") {
        return id.clone();
    }
    let json: Option<serde_json::Value> = serde_json::from_slice(payload).ok();
    match json.as_ref().and_then(|json| json.get("id")) {
        Some(serde_json::Value::String(id)) => id.clone(),
        Some(other) => other.to_string(),
        None => String::from_utf8_lossy(payload).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_wherever_the_test_put_it() {
        let properties = [("id".to_owned(), "p".to_owned())];
        assert_eq!(id_of(&properties, br#"{"id":"j"}"#), "p");
        assert_eq!(id_of(&[], br#"{"id":"j"}"#), "j");
        assert_eq!(id_of(&[], br#"{"id":7}"#), "7");
        assert_eq!(id_of(&[], b"17"), "17");
        assert_eq!(id_of(&[], br#"{"other":1}"#), r#"{"other":1}"#);
    }
}
