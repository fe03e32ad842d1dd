//! MQTT 5: sessions that expire, a receive maximum, and reasons for everything. What the client library announces by
//! default is not announced here; each property says why where it is set.

use bytes::BytesMut;
use engine::event::Text;
use mqtt5::mqttbytes::QoS;
use mqtt5::mqttbytes::v5::{
    ConnAckProperties, Connect, ConnectAuth, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectProperties,
    DisconnectReasonCode, Packet, RetainForwardRule, Subscribe, SubscribeFilter, SubscribeReasonCode, Unsubscribe,
};

use super::{CLIENT_ID, CREDENTIALS, Control, Dialect, Greeting, NOT_AUTHORIZED, Welcome, protocol, secret};
use crate::mqtt::fault::{Fault, Refusal};
use crate::mqtt::posting::{Answer, Refused};
use crate::mqtt::property;
use crate::mqtt::wire::variable_integer;

const WRONG_VERSION: &str = "it does not speak MQTT 5; write version: 3.1.1";

/// MQTT 5.
pub(in crate::mqtt) struct V5;

impl Dialect for V5 {
    fn other(&self) -> &'static str {
        "3.1.1"
    }

    fn has_properties(&self) -> bool {
        true
    }

    fn connect(&self, greeting: &Greeting<'_>, out: &mut BytesMut) -> Result<(), Fault> {
        let properties = ConnectProperties {
            session_expiry_interval: Some(greeting.expiry),
            receive_maximum: Some(greeting.receive_maximum),
            // The maximum packet size is not announced: a broker drops what exceeds it without a word, and here it is
            // refused and counted instead. No topic alias either, so that every message says its topic.
            ..ConnectProperties::new()
        };
        let connect = Connect {
            keep_alive: greeting.keep_alive,
            client_id: greeting.client_id.to_owned(),
            clean_start: greeting.clean,
            properties: Some(properties),
        };
        let auth = match (greeting.user, greeting.password) {
            (None, None) => ConnectAuth::None,
            (Some(user), None) => ConnectAuth::Username { username: user.to_owned() },
            (None, password) => ConnectAuth::Password { password: secret(password) },
            (Some(user), password) => {
                ConnectAuth::UsernamePassword { username: user.to_owned(), password: secret(password) }
            }
        };
        write(&Packet::Connect(connect, None, auth), out)
    }

    fn subscribe(&self, packet: u16, filters: &[Text], quality: u8, out: &mut BytesMut) -> Result<(), Fault> {
        let qos = if quality == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let filters = filters.iter().map(|filter| {
            let mut filter = SubscribeFilter::new(filter.to_string(), qos);
            // Subscribing again after a restart must not bring every retained message again.
            filter.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
            filter
        });
        let mut subscribe = Subscribe::new_many(filters, None);
        subscribe.pkid = packet;
        write(&Packet::Subscribe(subscribe), out)
    }

    fn unsubscribe(&self, packet: u16, filters: &[Text], out: &mut BytesMut) -> Result<(), Fault> {
        let filters = filters.iter().map(ToString::to_string).collect();
        write(&Packet::Unsubscribe(Unsubscribe { pkid: packet, filters, properties: None }), out)
    }

    fn disconnect(&self, end: bool, out: &mut BytesMut) -> Result<(), Fault> {
        let mut disconnect = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        if end {
            disconnect.properties = Some(DisconnectProperties {
                session_expiry_interval: Some(0),
                reason_string: None,
                user_properties: Vec::new(),
                server_reference: None,
            });
        }
        write(&Packet::Disconnect(disconnect), out)
    }

    fn complain(&self, reason: u8, out: &mut BytesMut) {
        out.extend_from_slice(&[0xe0, 2, reason, 0]);
    }

    fn read(&self, mut frame: BytesMut) -> Result<Control, Fault> {
        if let [0x20, 2, _, 1] = frame[..] {
            // A broker that knows nothing newer answers in the words of 3.1.1.
            return Ok(Control::Refused(Refusal::lasting(WRONG_VERSION)));
        }
        if let [0xe0, 1, reason] = frame[..] {
            // MQTT 5 lets the length of no properties out, which mosquitto does and the crate does not understand.
            frame = BytesMut::from(&[0xe0, 2, reason, 0][..]);
        }
        if let [0x62, _, high, low, ..] = frame[..] {
            return Ok(Control::Release(u16::from_be_bytes([high, low])));
        }
        if frame.first().is_some_and(|first| first >> 4 == 4) {
            return taken(&frame).map(Control::Taken);
        }
        Ok(match Packet::read(&mut frame, None).map_err(protocol)? {
            Packet::ConnAck(ack) if ack.code == ConnectReturnCode::Success => {
                Control::Welcome(welcome(ack.session_present, ack.properties.as_ref()))
            }
            Packet::ConnAck(ack) => {
                Control::Refused(refusal(ack.code, ack.properties.and_then(|properties| properties.reason_string)))
            }
            Packet::SubAck(ack) => Control::Subscribed(ack.return_codes.into_iter().map(granted).collect()),
            Packet::UnsubAck(ack) => Control::Unsubscribed(ack.pkid),
            Packet::PingResp => Control::Pong,
            Packet::Disconnect(goodbye) => Control::Goodbye(farewell(
                goodbye.reason_code,
                goodbye.properties.and_then(|properties| properties.reason_string),
            )),
            other => return Err(Fault::Protocol(format!("a {:?} packet that only clients send", other.packet_type()))),
        })
    }
}

fn write(packet: &Packet, out: &mut BytesMut) -> Result<(), Fault> {
    packet.write(out, None).map(|_| ()).map_err(protocol)
}

fn welcome(session_present: bool, properties: Option<&ConnAckProperties>) -> Welcome {
    let silent = Welcome::unlimited(session_present);
    let Some(properties) = properties else { return silent };
    let packet = properties.max_packet_size.and_then(|size| usize::try_from(size).ok());
    Welcome {
        keep_alive: properties.server_keep_alive,
        // Zero is a protocol error of the broker's, which must not stop everything for ever.
        receive_maximum: properties.receive_max.unwrap_or(u16::MAX).max(1),
        packet: packet.unwrap_or(silent.packet).min(silent.packet),
        quality: properties.max_qos.unwrap_or(silent.quality),
        retains: properties.retain_available != Some(0),
        ..silent
    }
}

/// A PUBACK. It is read here because the crate ends the connection over a reason that it does not know.
fn taken(frame: &[u8]) -> Result<Answer, Fault> {
    let short = || Fault::Protocol("a confirmation without a packet identifier".to_owned());
    let (_, digits) = variable_integer(&frame[1..])?.ok_or_else(short)?;
    let body = &frame[1 + digits..];
    let [high, low, rest @ ..] = body else { return Err(short()) };
    let packet = u16::from_be_bytes([*high, *low]);
    let refused = match rest {
        [code, properties @ ..] if *code >= 0x80 => Some(Refused { code: *code, reason: property::reason(properties) }),
        _ => None,
    };
    Ok(Answer { packet, refused })
}

fn granted(code: SubscribeReasonCode) -> Result<u8, String> {
    match code {
        SubscribeReasonCode::Success(qos) => Ok(qos as u8),
        SubscribeReasonCode::NotAuthorized => Err("not authorized".into()),
        SubscribeReasonCode::SharedSubscriptionsNotSupported => Err("it has no shared subscriptions".into()),
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => Err("it has no wildcard subscriptions".into()),
        SubscribeReasonCode::TopicFilterInvalid => Err("the filter is not accepted".into()),
        SubscribeReasonCode::QuotaExceeded => Err("a quota is exceeded".into()),
        other => Err(words(&format!("{other:?}"))),
    }
}

fn refusal(code: ConnectReturnCode, reason: Option<String>) -> Refusal {
    let text = match code {
        ConnectReturnCode::BadUserNamePassword => CREDENTIALS.to_owned(),
        ConnectReturnCode::NotAuthorized => NOT_AUTHORIZED.to_owned(),
        ConnectReturnCode::ClientIdentifierNotValid | ConnectReturnCode::BadClientId => CLIENT_ID.to_owned(),
        ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => {
            WRONG_VERSION.to_owned()
        }
        ConnectReturnCode::ServerUnavailable
        | ConnectReturnCode::ServiceUnavailable
        | ConnectReturnCode::ServerBusy
        | ConnectReturnCode::ConnectionRateExceeded => {
            return Refusal::passing(with_reason(words(&format!("{code:?}")), reason));
        }
        other => words(&format!("{other:?}")),
    };
    Refusal::lasting(with_reason(text, reason))
}

fn farewell(code: DisconnectReasonCode, reason: Option<String>) -> Refusal {
    let refusal = match code {
        DisconnectReasonCode::SessionTakenOver => Refusal::lasting(with_reason(
            "another client came with the same client id; give each its own clientId".to_owned(),
            reason,
        )),
        DisconnectReasonCode::NotAuthorized => Refusal::lasting(with_reason(NOT_AUTHORIZED.to_owned(), reason)),
        other => Refusal::passing(with_reason(words(&format!("{other:?}")), reason)),
    };
    let about_a_message = matches!(
        code,
        DisconnectReasonCode::MalformedPacket
            | DisconnectReasonCode::ProtocolError
            | DisconnectReasonCode::ImplementationSpecificError
            | DisconnectReasonCode::NotAuthorized
            | DisconnectReasonCode::TopicNameInvalid
            | DisconnectReasonCode::PacketTooLarge
            | DisconnectReasonCode::QuotaExceeded
            | DisconnectReasonCode::PayloadFormatInvalid
            | DisconnectReasonCode::RetainNotSupported
            | DisconnectReasonCode::QoSNotSupported
    );
    Refusal { about_a_message, ..refusal }
}

fn with_reason(text: String, reason: Option<String>) -> String {
    match reason {
        Some(reason) if !reason.is_empty() => format!("{text} (it says: {reason})"),
        _ => text,
    }
}

/// `ServerShuttingDown` as "server shutting down".
fn words(code: &str) -> String {
    let mut text = String::with_capacity(code.len() + 4);
    for character in code.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}
