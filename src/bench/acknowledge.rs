//! The publisher's half of QoS 1 and 2.

use super::BenchError;
use super::client::Client;
use super::wire::{PUBACK, PUBCOMP, PUBREC, PUBREL};

/// A reason code from here on is an error.
const ERROR: u8 = 0x80;

/// What became of messages that waited for their acknowledgement.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    /// Exchanges that are over and went well.
    pub(super) acknowledged: u32,
    /// Exchanges that the broker ended with an error.
    pub(super) refused: u32,
}

impl Settled {
    /// How many no longer wait.
    pub(super) fn total(self) -> u32 {
        self.acknowledged + self.refused
    }
}

/// Goes through the acknowledgements that have been read. PUBREL packets that are to be sent are appended to `out`.
pub(super) fn settle(client: &mut Client, out: &mut Vec<u8>) -> Result<Settled, BenchError> {
    let mut settled = Settled::default();
    while let Some(packet) = client.reader.next().map_err(BenchError::broken(&client.id))? {
        let acknowledgement = packet.acknowledgement();
        match (packet.first, acknowledgement) {
            (PUBREC, Some(([high, low], code))) if code < ERROR => out.extend_from_slice(&[PUBREL, 2, high, low]),
            (PUBACK | PUBCOMP, Some((_, code))) if code < ERROR => settled.acknowledged += 1,
            (PUBACK | PUBREC | PUBCOMP, Some(_)) => settled.refused += 1,
            (first, _) => {
                let what = format!("a packet {first:#04x} in the place of an acknowledgement");
                return Err(BenchError::Unexpected { client: client.id.clone(), what });
            }
        }
    }
    Ok(settled)
}
