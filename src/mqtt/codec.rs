//! Packets without a connection: for programs that look at bytes with the broker's eyes.

use super::aliases::Alias;
use super::encode::{self, PublishHeader};
use super::{connect, wire};
use crate::config::Limits;
use crate::message::{Message, QoS};
use crate::metrics::Version;
use bytes::BytesMut;
use std::num::NonZeroU16;

/// What is wrong with a packet for which the broker would end its client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// Reads the first packet in `bytes` as if a client with this version of the protocol had sent it, or one of which only
/// CONNECT can come. Returns its length in bytes; none if it is not all there.
///
/// # Errors
/// [`Malformed`] if the broker would not accept it.
pub fn check(bytes: &[u8], version: Option<Version>, limits: &Limits) -> Result<Option<usize>, Malformed> {
    let frame = wire::next_frame(bytes, limits.max_packet_size as usize).map_err(|fault| Malformed(fault.why))?;
    let Some(frame) = frame else { return Ok(None) };
    match version {
        None => drop(connect::read(frame, limits).map_err(|refusal| Malformed(refusal.text))?),
        Some(version) => {
            drop(wire::decode(frame, version, limits.user_properties).map_err(|fault| Malformed(fault.why))?);
        }
    }
    Ok(Some(frame.bytes.len()))
}

/// Appends the PUBLISH by which a subscriber gets a message: with a packet identifier and the message's QoS, or without and
/// with QoS 0. `now_ms` is a time of the broker's [clock](crate::clock::Clock).
pub fn write(message: &Message, packet_id: Option<NonZeroU16>, version: Version, now_ms: u64, out: &mut BytesMut) {
    let qos = packet_id.map_or(QoS::AtMostOnce, |_| message.qos());
    let header = PublishHeader { qos, packet_id, dup: false, retain: false, subscription_ids: &[], alias: Alias::None };
    encode::publish(out, message, &header, version, now_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{NEVER, Parts};

    #[test]
    fn what_is_written_for_a_subscriber_can_be_read_of_a_publisher() {
        let parts = Parts {
            qos: QoS::AtLeastOnce,
            retain: false,
            publisher: 1,
            expires_at: NEVER,
            topic: "a/b",
            properties: &[],
            payload: b"hello",
        };
        for packet_id in [None, NonZeroU16::new(7)] {
            for version in [Version::V311, Version::V5] {
                let mut bytes = BytesMut::new();
                write(&Message::new(&parts), packet_id, version, 0, &mut bytes);
                let limits = Limits::default();
                assert_eq!(check(&bytes, Some(version), &limits), Ok(Some(bytes.len())));
                assert_eq!(check(&bytes[..bytes.len() - 1], Some(version), &limits), Ok(None));
                assert_eq!(check(&bytes, None, &limits), Err(Malformed("the first packet is not CONNECT")));
            }
        }
    }
}
