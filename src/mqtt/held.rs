//! What a connection has ready for its client and must not send before the store has committed something.
//!
//! Acknowledgements of publishes have a line of their own, in which they keep their order (MQTT-4.6.0-2, MQTT-4.6.0-3). When
//! a commit fails they become refusals, which MQTT 3 has no word for: its clients are told nothing, and send again. So does
//! whoever has sent a message of QoS 2 again that was taken when the disk still worked. All else waits until the commit has
//! been made good.

use super::encode::{self, Ack};
use crate::metrics::Version;
use crate::store::{Settled, Ticket};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::num::NonZeroU16;

/// An empty line gives back its memory if it has grown beyond this many.
const KEEP: usize = 64;
/// Packets that wait, with which nothing more is read from the client.
const MOST: usize = 8192;
/// The reason of a refusal.
pub(super) const REASON: &str = "it cannot be stored now: the broker's disk fails or is full";

/// The acknowledgement of a publish. There may be hundreds in one turn: it is 16 bytes.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    pub(super) ack: Ack,
    pub(super) code: u8,
    pub(super) id: NonZeroU16,
    /// What most do not have.
    pub(super) more: Option<Box<More>>,
}

/// What some acknowledgements have to themselves.
#[derive(Debug, Default)]
pub(super) struct More {
    /// What must be safe before this one is sent.
    pub(super) ticket: Ticket,
    /// For MQTT 5.
    pub(super) reason: Option<Box<str>>,
    /// The message was taken before, and has been sent again: it cannot be refused any more.
    pub(super) is_again: bool,
}

impl Acknowledgement {
    pub(super) fn new(ack: Ack, id: NonZeroU16, code: u8, ticket: Ticket, reason: Option<&str>) -> Self {
        let has_more = ticket.is_some() || reason.is_some();
        let more = has_more.then(|| Box::new(More { ticket, reason: reason.map(Into::into), is_again: false }));
        Self { ack, code, id, more }
    }

    /// PUBREC for a message that was taken before.
    pub(super) fn again(id: NonZeroU16, ticket: Ticket) -> Self {
        let more = ticket.is_some().then(|| Box::new(More { ticket, reason: None, is_again: true }));
        Self { ack: Ack::Pubrec, code: 0, id, more }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.more.as_ref().map_or(Ticket::NONE, |more| more.ticket)
    }

    pub(super) fn encode(&self, out: &mut BytesMut, version: Version) {
        let reason = self.more.as_ref().and_then(|more| more.reason.as_deref());
        encode::ack(out, self.ack, self.id, self.code, reason, version);
    }
}

/// Any other packet.
#[derive(Debug)]
struct Packet {
    ticket: Ticket,
    bytes: BytesMut,
    /// Messages that come after it wait too.
    blocks: bool,
    /// It is sent, too, if the commit fails.
    fails_open: bool,
}

/// How a packet is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Messages may overtake it.
    Alone,
    /// Messages after it wait with it, so that all keep their order; but not for a commit that has failed.
    WithThoseAfter,
    /// The same, and if the commit fails it goes out all the same.
    AsLongAsItHelps,
}

/// What is held.
#[derive(Debug, Default)]
pub(super) struct Held {
    acks: VecDeque<(Ticket, Acknowledgement)>,
    packets: VecDeque<Packet>,
    bytes: usize,
    blocking: usize,
}

impl Held {
    /// So much waits that the client should not be read.
    pub(super) fn is_full(&self) -> bool {
        self.acks.len() + self.packets.len() >= MOST
    }

    /// Bytes of the packets.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message that has nothing to wait for itself must wait for its place.
    pub(super) fn blocks_messages(&self) -> bool {
        self.blocking > 0
    }

    /// Holds the acknowledgement of a publish.
    pub(super) fn hold_ack(&mut self, ticket: Ticket, ack: Acknowledgement) {
        self.acks.push_back((ticket, ack));
    }

    /// Whether the acknowledgement of a publish has to wait for those before it.
    pub(super) fn has_acks(&self) -> bool {
        !self.acks.is_empty()
    }

    /// Holds any other packet.
    pub(super) fn hold(&mut self, ticket: Ticket, bytes: BytesMut, how: Hold) {
        let blocks = how != Hold::Alone;
        self.bytes += bytes.len();
        self.blocking += usize::from(blocks);
        self.packets.push_back(Packet { ticket, bytes, blocks, fails_open: how == Hold::AsLongAsItHelps });
    }

    /// What to wait for before more can be sent.
    pub(super) fn next(&self) -> Option<Ticket> {
        let (ack, packet) = (self.acks.front().map(|(ticket, _)| *ticket), self.packets.front().map(|p| p.ticket));
        match (ack, packet) {
            (Some(ack), Some(packet)) => Some(ack.min(packet)),
            (ack, packet) => ack.or(packet),
        }
    }

    /// Moves to `out` what may be sent by now, as `settled` says. Refusals say why if `with_reason`. Tells `over` of each
    /// QoS 2 exchange that ends with one.
    pub(super) fn release(
        &mut self,
        settled: impl Fn(Ticket) -> Option<Settled>,
        out: &mut BytesMut,
        (version, with_reason): (Version, bool),
        mut over: impl FnMut(NonZeroU16),
    ) {
        while let Some((ticket, ack)) = self.acks.pop_front() {
            match settled(ticket) {
                None => {
                    self.acks.push_front((ticket, ack));
                    break;
                }
                Some(Settled::Failed) if ack.code < 0x80 => {
                    // Sent again, a message that is only waiting for its commit must not be taken for another.
                    if version == Version::V5 && !ack.more.as_ref().is_some_and(|more| more.is_again) {
                        if ack.ack == Ack::Pubrec {
                            over(ack.id);
                        }
                        encode::ack(out, ack.ack, ack.id, 0x97, with_reason.then_some(REASON), version);
                    }
                }
                Some(_) => ack.encode(out, version),
            }
        }
        let mut failed: Vec<Packet> = Vec::new();
        while let Some(mut packet) = self.packets.pop_front() {
            // It may be made good in this very moment: what comes after one that has failed does not pass it for that.
            let is_after_failed = failed.last().is_some_and(|last| last.ticket <= packet.ticket);
            match settled(packet.ticket) {
                None => {
                    self.packets.push_front(packet);
                    break;
                }
                Some(settled) if !packet.fails_open && (settled == Settled::Failed || is_after_failed) => {
                    // What has nothing to wait for but its place passes it.
                    self.blocking -= usize::from(std::mem::take(&mut packet.blocks));
                    failed.push(packet);
                }
                Some(_) => {
                    self.blocking -= usize::from(packet.blocks);
                    self.bytes -= packet.bytes.len();
                    out.extend_from_slice(&packet.bytes);
                }
            }
        }
        while let Some(packet) = failed.pop() {
            self.packets.push_front(packet);
        }
        if self.acks.is_empty() && self.acks.capacity() > KEEP {
            self.acks = VecDeque::new();
        }
        if self.packets.is_empty() && self.packets.capacity() > KEEP {
            self.packets = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_commit_that_is_made_good_meanwhile_lets_nothing_pass_what_came_before_it() {
        let mut held = Held::default();
        for (mark, byte) in [(1, 1), (2, 2), (0, 3), (3, 4)] {
            let how = if mark == 0 { Hold::WithThoseAfter } else { Hold::Alone };
            held.hold(Ticket::from_mark(mark), BytesMut::from(&[byte][..]), how);
        }
        let (asked, mut out) = (Cell::new(0), BytesMut::new());
        let settled = |_| {
            asked.set(asked.get() + 1);
            Some(if asked.get() == 1 { Settled::Failed } else { Settled::Committed })
        };
        held.release(settled, &mut out, (Version::V5, true), |_| {});
        assert_eq!(out[..], [3], "only what has nothing to wait for");
        held.release(settled, &mut out, (Version::V5, true), |_| {});
        assert_eq!(out[..], [3, 1, 2, 4]);
    }
}
