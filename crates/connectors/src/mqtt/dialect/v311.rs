//! MQTT 3.1.1: it has no properties, so a session lasts as long as the broker likes, nothing bounds what the broker
//! sends, and the only way to end a session is to come back with a clean one.

use bytes::BytesMut;
use engine::event::Text;
use mqtt311::mqttbytes::QoS;
use mqtt311::mqttbytes::v4::{
    Connect, ConnectAuth, ConnectReturnCode, Packet, Subscribe, SubscribeFilter, SubscribeReasonCode, Unsubscribe,
};

use super::{CLIENT_ID, CREDENTIALS, Control, Dialect, Greeting, NOT_AUTHORIZED, Welcome, protocol, secret};
use crate::mqtt::fault::{Fault, Refusal};
use crate::mqtt::posting::Answer;

/// MQTT 3.1.1.
pub(in crate::mqtt) struct V311;

impl Dialect for V311 {
    fn other(&self) -> &'static str {
        "5"
    }

    fn has_properties(&self) -> bool {
        false
    }

    fn connect(&self, greeting: &Greeting<'_>, out: &mut BytesMut) -> Result<(), Fault> {
        let mut connect = Connect::new(greeting.client_id);
        connect.keep_alive = greeting.keep_alive;
        connect.clean_session = greeting.clean;
        connect.auth = match (greeting.user, greeting.password) {
            (None, _) => ConnectAuth::None,
            (Some(user), None) => ConnectAuth::Username { username: user.to_owned() },
            (Some(user), password) => {
                ConnectAuth::UsernamePassword { username: user.to_owned(), password: secret(password) }
            }
        };
        write(&Packet::Connect(connect), out)
    }

    fn subscribe(&self, packet: u16, filters: &[Text], quality: u8, out: &mut BytesMut) -> Result<(), Fault> {
        let qos = if quality == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let mut subscribe =
            Subscribe::new_many(filters.iter().map(|filter| SubscribeFilter::new(filter.to_string(), qos)));
        subscribe.pkid = packet;
        write(&Packet::Subscribe(subscribe), out)
    }

    fn unsubscribe(&self, packet: u16, filters: &[Text], out: &mut BytesMut) -> Result<(), Fault> {
        let topics = filters.iter().map(ToString::to_string).collect();
        write(&Packet::Unsubscribe(Unsubscribe { pkid: packet, topics }), out)
    }

    /// The session can only be ended by coming back with a clean one, so `end` changes nothing here.
    fn disconnect(&self, _end: bool, out: &mut BytesMut) -> Result<(), Fault> {
        write(&Packet::Disconnect, out)
    }

    fn complain(&self, _reason: u8, _out: &mut BytesMut) {}

    fn read(&self, mut frame: BytesMut) -> Result<Control, Fault> {
        Ok(match Packet::read(&mut frame, usize::MAX).map_err(protocol)? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                Control::Welcome(Welcome::unlimited(ack.session_present))
            }
            Packet::ConnAck(ack) => Control::Refused(refusal(ack.code)),
            Packet::SubAck(ack) => Control::Subscribed(
                ack.return_codes
                    .into_iter()
                    .map(|code| match code {
                        SubscribeReasonCode::Success(qos) => Ok(qos as u8),
                        SubscribeReasonCode::Failure => Err("not granted".to_owned()),
                    })
                    .collect(),
            ),
            Packet::UnsubAck(ack) => Control::Unsubscribed(ack.pkid),
            Packet::PubAck(ack) => Control::Taken(Answer { packet: ack.pkid, refused: None }),
            Packet::PingResp => Control::Pong,
            Packet::PubRel(release) => Control::Release(release.pkid),
            other => return Err(Fault::Protocol(format!("a {:?} packet that only clients send", other.packet_type()))),
        })
    }
}

fn write(packet: &Packet, out: &mut BytesMut) -> Result<(), Fault> {
    packet.write(out, usize::MAX).map(|_| ()).map_err(protocol)
}

fn refusal(code: ConnectReturnCode) -> Refusal {
    match code {
        ConnectReturnCode::BadUserNamePassword => Refusal::lasting(CREDENTIALS),
        ConnectReturnCode::NotAuthorized => Refusal::lasting(NOT_AUTHORIZED),
        ConnectReturnCode::BadClientId => Refusal::lasting(CLIENT_ID),
        ConnectReturnCode::RefusedProtocolVersion => {
            Refusal::lasting("it does not speak MQTT 3.1.1; leave version out to speak MQTT 5")
        }
        ConnectReturnCode::ServiceUnavailable | ConnectReturnCode::Success => Refusal::passing("service unavailable"),
    }
}
