//! CONNECT: what the client says of itself, whether it is welcome, and CONNACK.

use super::encode;
use super::fault::Fault;
use super::properties::{Properties, id};
use super::terms::{Terms, Will};
use super::topic::{self, TopicLimits};
use super::wire::{Frame, Reader};
use crate::access::{Denied, Secret};
use crate::config::Limits;
use crate::message::{Message, NEVER, Parts, QoS};
use crate::metrics::{ConnectRefusal, Limit, Version};
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use rmqtt_codec::error::DecodeError;
use rmqtt_codec::v5::{ConnectAckReason, DisconnectReasonCode};
use rmqtt_codec::{v3, v5};
use std::num::{NonZeroU16, NonZeroU32};
use tokio_util::codec::Decoder;

/// The session expiry interval that means for ever (MQTT 5, 3.1.2.11.2).
const FOREVER: u32 = u32::MAX;
/// CLEAN START in the connect flags.
const CLEAN_START: u8 = 0b10;

/// A CONNECT that may be answered with success.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) client_id: ByteString,
    /// The broker chose the identifier.
    pub(super) assigned: bool,
    pub(super) clean: bool,
    /// Seconds; 0 is none.
    pub(super) keep_alive: u16,
    /// The client is to use `keep_alive` instead of its own (MQTT 5, 3.2.2.3.14).
    pub(super) server_keep_alive: bool,
    /// MQTT 5: the expiry was shortened to `limits.session_expiry_max`.
    pub(super) expiry_shortened: bool,
    /// MQTT 5: reason strings are welcome.
    pub(super) problem_info: bool,
    pub(super) username: Option<ByteString>,
    pub(super) password: Option<Secret>,
    pub(super) terms: Terms,
}

/// A CONNECT that is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    /// Of the client; `None` if there is no telling, or no answer to give.
    pub(super) version: Option<Version>,
    pub(super) why: ConnectRefusal,
    /// For MQTT 5.
    pub(super) code: ConnectAckReason,
    /// For MQTT 3.1 and 3.1.1, which have codes for few causes; without one the connection is just closed.
    pub(super) code_v3: Option<v3::ConnectAckReason>,
    pub(super) text: &'static str,
    /// The limit that it is over, if it is that.
    pub(super) limit: Option<Limit>,
}

impl Refusal {
    fn new(version: Version, why: ConnectRefusal, code: ConnectAckReason, text: &'static str) -> Self {
        Self { version: Some(version), why, code, code_v3: None, text, limit: None }
    }

    fn with_v3(self, code_v3: v3::ConnectAckReason) -> Self {
        Self { code_v3: Some(code_v3), ..self }
    }

    /// No CONNECT at all: there is nobody to answer to (MQTT-3.1.0-1).
    pub(super) const fn silent(why: ConnectRefusal, text: &'static str) -> Self {
        Self { version: None, why, code: ConnectAckReason::ProtocolError, code_v3: None, text, limit: None }
    }

    /// The broker has no place for one more.
    pub(super) fn busy(version: Version, limit: Limit) -> Self {
        Self::new(version, ConnectRefusal::Limit, ConnectAckReason::ServerBusy, "the broker is full")
            .with_v3(v3::ConnectAckReason::ServiceUnavailable)
            .over(limit)
    }

    pub(super) const fn over(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The access rules do not let the client in.
    pub(super) fn denied(version: Version, denied: Denied) -> Self {
        let (why, code, code_v3, text) = match denied {
            Denied::NoCredentials => (
                ConnectRefusal::NotAuthorized,
                ConnectAckReason::NotAuthorized,
                v3::ConnectAckReason::NotAuthorized,
                "a user name and a password are needed",
            ),
            // Who guesses must not learn which of the two was wrong.
            Denied::UnknownUser | Denied::WrongPassword => (
                ConnectRefusal::BadCredentials,
                ConnectAckReason::BadUserNameOrPassword,
                v3::ConnectAckReason::BadUserNameOrPassword,
                "the user name or the password is wrong",
            ),
            Denied::Identifier => (
                ConnectRefusal::Identifier,
                ConnectAckReason::ClientIdentifierNotValid,
                v3::ConnectAckReason::IdentifierRejected,
                "the client identifier belongs to another user",
            ),
            Denied::Busy => (
                ConnectRefusal::Limit,
                ConnectAckReason::ServerBusy,
                v3::ConnectAckReason::ServiceUnavailable,
                "too many clients log in at once",
            ),
        };
        let refusal = Self::new(version, why, code, text).with_v3(code_v3);
        Self { limit: (denied == Denied::Busy).then_some(Limit::Logins), ..refusal }
    }

    /// The client may not publish its own will.
    pub(super) fn will_not_allowed(version: Version) -> Self {
        let text = "the client may not publish to its will's topic";
        Self::new(version, ConnectRefusal::NotAuthorized, ConnectAckReason::NotAuthorized, text)
            .with_v3(v3::ConnectAckReason::NotAuthorized)
    }

    fn malformed(version: Version, fault: Fault) -> Self {
        let code = match fault.code {
            DisconnectReasonCode::ProtocolError => ConnectAckReason::ProtocolError,
            DisconnectReasonCode::PacketTooLarge => ConnectAckReason::PacketTooLarge,
            _ => ConnectAckReason::MalformedPacket,
        };
        Self { limit: fault.limit, ..Self::new(version, ConnectRefusal::Malformed, code, fault.why) }
    }

    /// CONNACK, if there is one to send.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        match (self.version, self.code_v3) {
            (Some(Version::V5), _) => {
                let reason_string = Some(ByteString::from_static(self.text));
                let ack = v5::ConnectAck { reason_code: self.code, reason_string, ..v5::ConnectAck::default() };
                encode::v5(out, ack.into());
            }
            (_, Some(return_code)) => {
                encode::v3(out, v3::Packet::ConnectAck(v3::ConnectAck { return_code, session_present: false }));
            }
            _ => {}
        }
    }
}

/// A reason string must not make a packet larger than the client takes (MQTT-3.4.2-2, MQTT-3.14.2-3). Ours have at most
/// 1,024 bytes; what stands around them has less than the rest.
const REASONS: u32 = 1_100;

/// Reads a CONNECT. The frame is the first of its connection.
pub(super) fn read(frame: Frame<'_>, limits: &Limits) -> Result<Hello, Refusal> {
    if frame.first_byte >> 4 != 1 {
        return Err(Refusal::silent(ConnectRefusal::NotConnect, "the first packet is not CONNECT"));
    }
    let version = version(frame.body)?;
    if frame.first_byte != 0x10 {
        return Err(Refusal::malformed(version, Fault::malformed("reserved flags of CONNECT are set")));
    }
    check(frame.body, version, limits.user_properties).map_err(|fault| Refusal::malformed(version, fault))?;
    let mut hello = if version == Version::V5 { read_v5(frame, limits)? } else { read_v3(frame, version, limits)? };
    if hello.client_id.len() > limits.client_id_length {
        let text = "the client identifier is longer than limits.client_id_length";
        return Err(identifier(version, text).over(Limit::ClientIdLength));
    }
    if hello.client_id.contains('\0') {
        return Err(identifier(version, "the client identifier has U+0000"));
    }
    if hello.client_id.is_empty() {
        hello.client_id = format!("auto-{}", uuid::Uuid::new_v4().simple()).into();
        hello.assigned = true;
    }
    Ok(hello)
}

fn identifier(version: Version, text: &'static str) -> Refusal {
    Refusal::new(version, ConnectRefusal::Identifier, ConnectAckReason::ClientIdentifierNotValid, text)
        .with_v3(v3::ConnectAckReason::IdentifierRejected)
}

/// Protocol name and level (3.1.2.1 and 3.1.2.2).
fn version(body: &[u8]) -> Result<Version, Refusal> {
    let malformed = Refusal::silent(ConnectRefusal::Malformed, "the packet is no CONNECT");
    let mut body = Reader(body);
    let name = body.u16().and_then(|length| body.take(usize::from(length))).map_err(|_| malformed)?;
    let level = body.u8().map_err(|_| malformed)?;
    match (name, level) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        (b"MQIsdp" | b"MQTT", _) => {
            // MQTT-3.1.2-2 of 3.1.1. A client of a later version understands this form as well as any.
            let unsupported = ConnectAckReason::UnsupportedProtocolVersion;
            Err(Refusal::new(Version::V311, ConnectRefusal::Version, unsupported, "unknown protocol level")
                .with_v3(v3::ConnectAckReason::UnacceptableProtocolVersion))
        }
        _ => Err(Refusal::silent(ConnectRefusal::Version, "unknown protocol name")),
    }
}

/// The connect flags against each other, and every field to the end of the packet: the codec checks only a part of it.
fn check(body: &[u8], version: Version, user_properties: usize) -> Result<(), Fault> {
    let properties = |body: &mut Reader<'_>, allowed| {
        let length = body.variable()?;
        Properties::read(body.take(length)?, allowed, user_properties).map(drop)
    };
    let mut rest = Reader(body);
    let name = rest.u16()?;
    rest.take(usize::from(name) + 1)?;
    let flags = rest.u8()?;
    let (user, password, will) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x04 != 0);
    if flags & 1 != 0 {
        return Err(Fault::malformed("the reserved connect flag is set")); // MQTT-3.1.2-3
    }
    if !will && flags & 0x38 != 0 {
        return Err(Fault::malformed("will QoS or will retain without a will")); // MQTT-3.1.2-11, -13, -15
    }
    if flags & 0x18 == 0x18 {
        return Err(Fault::malformed("will QoS 3")); // MQTT-3.1.2-14
    }
    if password && !user && version != Version::V5 {
        return Err(Fault::malformed("a password without a user name")); // MQTT-3.1.2-22
    }
    rest.u16()?;
    if version == Version::V5 {
        properties(&mut rest, id::CONNECT)?;
    }
    rest.string()?;
    if will {
        if version == Version::V5 {
            properties(&mut rest, id::WILL)?;
        }
        rest.string()?;
        rest.binary()?;
    }
    if user {
        rest.string()?;
    }
    if password {
        rest.binary()?;
    }
    if rest.0.is_empty() { Ok(()) } else { Err(Fault::malformed("bytes after the end of CONNECT")) }
}

fn read_v3(frame: Frame<'_>, version: Version, limits: &Limits) -> Result<Hello, Refusal> {
    let decoded = v3::Codec::new(0).decode(&mut BytesMut::from(frame.bytes));
    let connect = match decoded {
        Ok(Some((v3::Packet::Connect(connect), _))) => connect,
        Err(DecodeError::InvalidClientId) => {
            return Err(identifier(version, "an empty client identifier needs a clean session"));
        }
        Err(error) => return Err(Refusal::malformed(version, error.into())),
        Ok(_) => return Err(Refusal::malformed(version, Fault::malformed("CONNECT ends too early"))),
    };
    if version == Version::V31 && connect.client_id.is_empty() {
        return Err(identifier(version, "MQTT 3.1 needs a client identifier"));
    }
    let will = match &connect.last_will {
        Some(will) => Some(will_of(limits, version, &will.topic, will.qos, will.retain, &will.message, &[])?),
        None => None,
    };
    let expiry_ms = if connect.clean_session { 0 } else { max_expiry_ms(limits) };
    Ok(Hello {
        client_id: connect.client_id.to_string().into(),
        assigned: false,
        clean: connect.clean_session,
        keep_alive: connect.keep_alive,
        server_keep_alive: false,
        expiry_shortened: false,
        problem_info: false,
        username: connect.username.map(|name| name.to_string().into()),
        password: connect.password.map(|password| Secret::new(password.to_vec())),
        terms: Terms {
            version,
            expiry_ms,
            window: usize::from(limits.inflight),
            max_packet_size: 0,
            topic_alias_max: 0,
            will,
        },
    })
}

fn read_v5(frame: Frame<'_>, limits: &Limits) -> Result<Hello, Refusal> {
    let version = Version::V5;
    let connect = decode_v5(frame).map_err(|fault| Refusal::malformed(version, fault))?;
    if connect.auth_method.is_some() {
        let code = ConnectAckReason::BadAuthenticationMethod;
        let text = "there are no extended authentication methods";
        return Err(Refusal::new(version, ConnectRefusal::BadAuthMethod, code, text));
    }
    if connect.auth_data.is_some() {
        let fault = Fault::protocol("authentication data without a method"); // 3.1.2.11.10
        return Err(Refusal::malformed(version, fault));
    }
    let will = match &connect.last_will {
        Some(will) => {
            let properties = will_properties(will);
            let (topic, message) = (&will.topic, &will.message);
            let mut made = will_of(limits, version, topic, will.qos, will.retain, message, &properties)?;
            made.expiry = will.message_expiry_interval.map(NonZeroU32::get);
            made.delay_ms = u64::from(will.will_delay_interval_sec.unwrap_or(0)) * 1000;
            Some(made)
        }
        None => None,
    };
    let expiry_ms = expiry_ms(connect.session_expiry_interval_secs, limits);
    let keep_alive_max = limits.keep_alive_max;
    let server_keep_alive = keep_alive_max != 0 && (connect.keep_alive == 0 || connect.keep_alive > keep_alive_max);
    let window = connect.receive_max.map_or(u16::MAX, NonZeroU16::get).min(limits.inflight);
    Ok(Hello {
        client_id: connect.client_id.to_string().into(),
        assigned: false,
        clean: connect.clean_start,
        keep_alive: if server_keep_alive { keep_alive_max } else { connect.keep_alive },
        server_keep_alive,
        expiry_shortened: expiry_ms < u64::from(connect.session_expiry_interval_secs) * 1000,
        problem_info: connect.request_problem_info && connect.max_packet_size.is_none_or(|size| size.get() > REASONS),
        username: connect.username.map(|name| name.to_string().into()),
        password: connect.password.map(|password| Secret::new(password.to_vec())),
        terms: Terms {
            version,
            expiry_ms,
            window: usize::from(window),
            max_packet_size: connect.max_packet_size.map_or(0, |size| size.get() as usize),
            topic_alias_max: connect.topic_alias_max,
            will,
        },
    })
}

fn decode_v5(frame: Frame<'_>) -> Result<Box<v5::Connect>, Fault> {
    let decode = |bytes: &mut BytesMut| match v5::Codec::new(0, 0).decode(bytes) {
        Ok(Some((v5::Packet::Connect(connect), _))) => Ok(Ok(connect)),
        Ok(_) => Err(Fault::malformed("CONNECT ends too early")),
        Err(error) => Ok(Err(error)),
    };
    match decode(&mut BytesMut::from(frame.bytes))? {
        Ok(connect) => Ok(connect),
        // The codec wants a clean start with an empty identifier; MQTT 5 doesn't (3.1.3.1).
        Err(DecodeError::InvalidClientId) => {
            let mut bytes = BytesMut::from(frame.bytes);
            let flags = frame.bytes.len() - frame.body.len() + 7;
            bytes[flags] |= CLEAN_START;
            decode(&mut bytes)?.map_err(Fault::from)
        }
        Err(error) => Err(error.into()),
    }
}

/// The session expiry that a client gets for the seconds that it asks for.
pub(super) fn expiry_ms(seconds: u32, limits: &Limits) -> u64 {
    let max = max_expiry_ms(limits);
    if seconds == FOREVER { max } else { max.min(u64::from(seconds) * 1000) }
}

fn max_expiry_ms(limits: &Limits) -> u64 {
    u64::try_from(limits.session_expiry_max.as_millis()).unwrap_or(NEVER)
}

fn will_of(
    limits: &Limits,
    version: Version,
    topic: &ByteString,
    qos: QoS,
    retain: bool,
    payload: &Bytes,
    properties: &[u8],
) -> Result<Will, Refusal> {
    if let Err(unusable) = topic::check_name(topic, TopicLimits::of(limits)) {
        let code = ConnectAckReason::TopicNameInvalid;
        let refusal = Refusal::new(version, ConnectRefusal::Will, code, "the will's topic cannot be used");
        return Err(Refusal { limit: unusable.limit(), ..refusal });
    }
    let (publisher, expires_at) = (0, NEVER);
    let message = Message::new(&Parts { qos, retain, publisher, expires_at, topic, properties, payload });
    Ok(Will { message, expiry: None, publisher, delay_ms: 0 })
}

/// The will's properties as its PUBLISH will have them (3.1.3.2).
fn will_properties(will: &v5::LastWill) -> BytesMut {
    let mut out = BytesMut::new();
    let mut put = |id: Option<u8>, value: &[u8]| {
        if let Some(id) = id {
            out.put_u8(id);
        }
        out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        out.put_slice(value);
    };
    if let Some(content_type) = &will.content_type {
        put(Some(0x03), content_type.as_bytes());
    }
    if let Some(response_topic) = &will.response_topic {
        put(Some(0x08), response_topic.as_bytes());
    }
    if let Some(correlation_data) = &will.correlation_data {
        put(Some(0x09), correlation_data);
    }
    for (name, value) in &will.user_properties {
        put(Some(0x26), name.as_bytes());
        put(None, value.as_bytes());
    }
    if let Some(utf8) = will.is_utf8_payload {
        out.put_slice(&[0x01, u8::from(utf8)]);
    }
    out
}

impl Hello {
    /// CONNACK with success.
    pub(super) fn accept(&self, session_present: bool, limits: &Limits, out: &mut BytesMut) {
        if self.terms.version != Version::V5 {
            let return_code = v3::ConnectAckReason::ConnectionAccepted;
            // MQTT 3.1 has no Session Present: the byte is reserved.
            let session_present = session_present && self.terms.version == Version::V311;
            encode::v3(out, v3::Packet::ConnectAck(v3::ConnectAck { return_code, session_present }));
            return;
        }
        let ack = v5::ConnectAck {
            session_present,
            session_expiry_interval_secs: self
                .expiry_shortened
                .then(|| u32::try_from(self.terms.expiry_ms / 1000).unwrap_or(FOREVER)),
            receive_max: NonZeroU16::new(limits.receive_maximum).unwrap_or(NonZeroU16::MAX),
            max_packet_size: Some(limits.max_packet_size),
            assigned_client_id: self.assigned.then(|| self.client_id.clone()),
            topic_alias_max: limits.topic_alias_maximum,
            server_keepalive_sec: self.server_keep_alive.then_some(self.keep_alive),
            ..v5::ConnectAck::default()
        };
        encode::v5(out, ack.into());
    }
}
