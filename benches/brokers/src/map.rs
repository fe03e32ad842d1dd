//! What is done with every event, the same in the engine and in the raw loops: a JSON object gets one member more.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tidemill::event::Event;
use tidemill::native::Error;
use tidemill::port::Call;

/// The payload with the member `seen`, which is what most maps do: read an object, change a little, write it again.
pub(crate) fn map(payload: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut members: BTreeMap<&str, &RawValue> = serde_json::from_slice(payload)?;
    members.insert("seen", serde_json::from_str("true")?);
    serde_json::to_vec(&members)
}

/// [`map`] as the engine's function.
pub(crate) async fn function(event: Event, _: Call) -> Result<Event, Error> {
    let mapped = map(event.data().map_or(&[][..], |data| &data[..])).map_err(Error::reject)?;
    let media_type = event.datacontenttype().cloned();
    Ok(event.with_data(mapped.into(), media_type))
}

/// Takes an event and has no result.
pub(crate) async fn take(event: Event, _: Call) -> Result<Vec<Event>, Error> {
    std::hint::black_box(&event);
    Ok(Vec::new())
}

/// Message `number`: telemetry of 198 bytes, or an order of 951.
pub(crate) fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut text = format!(
        r#"{{"v":1,"vehicle":"veh-{:06}","seq":{},"time":"2026-11-21T06:58:00Z","signals":{{"Vehicle.Speed":87.4}},"#,
        number % 1000,
        number
    );
    if size > 400 {
        text.push_str(r#""lines":["#);
        for line in 0.. {
            let item = format!(r#"{{"sku":"{line:04}","n":2}},"#);
            if text.len() + item.len() + 24 > size {
                break;
            }
            text.push_str(&item);
        }
        text.pop();
        text.push_str("],");
    }
    text.push_str(r#""note":""#);
    while text.len() + 2 < size {
        text.push('x');
    }
    text.push_str("\"}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_size_and_are_mapped() {
        for size in [198, 951] {
            let payload = payload(12_345, size);
            assert_eq!(payload.len(), size);
            assert!(map(&payload).unwrap().windows(11).any(|part| part == b"\"seen\":true"));
        }
    }
}
