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
        let named = properties
            .user_properties
            .iter()
            .find(|(key, _)| key == "id");
        Self {
            id: named.map_or_else(|| id_in(&publish.payload), |(_, id)| id.clone()),
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload.clone(),
            user_properties: properties.user_properties,
            content_type: properties.content_type,
            redelivered: publish.dup,
        }
    }
}

/// The id inside a payload; see [`Message::id`].
#[must_use]
pub fn id_in(payload: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(payload).ok();
    let field = json.as_ref().and_then(|json| json.get("id"));
    match field {
        Some(serde_json::Value::String(id)) => id.clone(),
        Some(other) => other.to_string(),
        None => String::from_utf8_lossy(payload).into_owned(),
    }
}
