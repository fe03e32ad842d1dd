//! What a broker's answer to a message means for the event.
//!
//! A reason below 0x80 is a success, "no matching subscribers" among them: publishing into the void is what MQTT is for. A
//! reason that is about this message for good rejects it; whatever somebody can grant, enlarge or repair is tried again.

use connectors::mqtt::Refused;
use engine::port::PublishError;

/// The outcome of a message to `topic` that the broker at `address` has refused.
pub(super) fn verdict(address: &str, topic: &str, refused: &Refused) -> PublishError {
    let (what, for_good) = match refused.code {
        0x83 => ("an error of its own", false),
        0x87 => ("not authorized; grant this client the right to publish there", false),
        0x90 => ("the topic name is invalid there; change topic", true),
        0x91 => ("the packet identifier is in use", false),
        0x97 => ("a quota is exceeded; raise it there, or publish less", false),
        0x99 => ("the payload is not of the format that it says; change the event's data or mode", true),
        _ => ("no reason that MQTT gives to a message", false),
    };
    let code = refused.code;
    let says = refused.reason.as_ref().map(|reason| format!(", it says: {reason}")).unwrap_or_default();
    let text = format!("broker {address} refused '{topic}': {what} (0x{code:02x}{says})");
    match for_good {
        true => PublishError::Reject { reason: text },
        false => PublishError::Retry { after: None, error: text },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u8, reason: Option<&str>) -> (bool, String) {
        match verdict("mqtt://h:1883", "a/b", &Refused { code, reason: reason.map(str::to_owned) }) {
            PublishError::Retry { error, .. } => (false, error),
            PublishError::Reject { reason } => (true, reason),
        }
    }

    #[test]
    fn reasons_for_good_reject_and_the_others_try_again() {
        for (code, for_good, part) in [
            (0x80, false, "0x80"),
            (0x83, false, "an error of its own"),
            (0x87, false, "grant this client"),
            (0x90, true, "change topic"),
            (0x91, false, "packet identifier"),
            (0x97, false, "quota"),
            (0x99, true, "payload"),
            (0xff, false, "0xff"),
        ] {
            let (rejected, text) = said(code, None);
            assert_eq!(rejected, for_good, "{text}");
            assert!(text.starts_with("broker mqtt://h:1883 refused 'a/b': ") && text.contains(part), "{text}");
        }
        assert!(said(0x97, Some("1000 a day")).1.ends_with("(0x97, it says: 1000 a day)"));
    }
}
