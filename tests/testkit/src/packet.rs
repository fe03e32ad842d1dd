//! MQTT packets by hand: just enough framing and encoding to watch a connection and to play a
//! broker, also one that breaks the rules. A client library would refuse to write the very bytes
//! that the bad cases need, and would be too slow for the stub that only writes PUBLISH frames.

mod encode;
mod frame;

pub use encode::{connack, connect, disconnect, pingresp, puback, publish, suback, unsuback};
pub use frame::{Frame, Framer, Kind, Malformed, Publish};

/// The two protocol versions in use; a version 5 packet has properties where the other has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5, protocol level 5.
    V5,
}

#[cfg(test)]
mod tests;
