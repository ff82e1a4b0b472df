//! The output of a connection: what is fetched for it, what it holds back until something is safe, what has been written.

use super::{Connection, OUTPUT_LIMIT, READ_MIN, Waiting};
use crate::mqtt::account::FAIR_SHARE;
use crate::mqtt::aliases::Alias;
use crate::mqtt::encode::{self, Ack, PublishHeader};
use crate::mqtt::held::Hold;
use crate::mqtt::session::{Outgoing, Rest};
use crate::mqtt::traffic::Traffic;
use crate::store::{Settled, Ticket};
use bytes::BytesMut;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Output that is gathered before it is written; with more than this, the queue is left where it is.
const OUTPUT_TARGET: usize = 64 << 10;
/// How long a message over [`FAIR_SHARE`] waits at most until it is seen whether there is room for it.
const ROOM_CHECK: Duration = Duration::from_millis(100);
/// When a commit has failed, how often it is asked whether it has been made good.
const MAKE_GOOD: Duration = Duration::from_millis(250);
/// Packets fetched from the session at a time.
const FETCH: usize = 64;

impl<R, W> Connection<R, W> {
    /// Whether more may be fetched for the client. What waits for a disk that fails may wait for hours: what has not to wait
    /// for it passes. How much that is at most is for the session's window to say.
    pub(super) fn has_room_for_more(&self) -> bool {
        let held = self.held.bytes();
        self.output.len() + held < OUTPUT_TARGET
            || (held > 0 && self.output.len() < OUTPUT_TARGET && self.broker.store.is_failing())
    }

    /// Waits until something comes of a ticket; if it has failed, a while until it may have been made good.
    pub(super) fn settle(&self, ticket: Ticket) -> Waiting {
        let store = self.broker.store.clone();
        if store.settled(ticket) == Some(Settled::Failed) {
            return Box::pin(tokio::time::sleep(MAKE_GOOD));
        }
        Box::pin(async move {
            let _settled = store.settle(ticket).await;
        })
    }

    /// Moves into the output what has become safe.
    pub(super) fn release_held(&mut self) {
        let (store, session) = (&self.broker.store, &self.session);
        self.held.release(
            |ticket| store.settled(ticket),
            &mut self.output,
            (self.version, self.problem_info),
            |over| {
                session.refuse(&self.link, over);
            },
        );
        self.note_output();
    }

    /// Moves messages from the session into the output. Says whether there are more.
    pub(super) fn fetch(&mut self) -> bool {
        let mut fetched = Vec::new();
        let now_ms = self.broker.clock.now_ms();
        let largest = if self.unwritten.has_room_for_large(self.has_read_large) { usize::MAX } else { FAIR_SHARE };
        let rest = self.session.fetch(&self.link, &mut fetched, FETCH, OUTPUT_TARGET, largest, now_ms);
        let mut traffic = Traffic::default();
        for outgoing in fetched {
            match outgoing {
                Outgoing::Release(id, ticket) => self.ack(Ack::Pubrel, id, 0, ticket),
                Outgoing::Publish { delivery, packet_id, dup, ticket } => {
                    self.packets_out += 1;
                    traffic.count(delivery.qos, delivery.message.payload().len());
                    let is_held = self.held.blocks_messages() || !self.is_safe(ticket);
                    let header = PublishHeader {
                        qos: delivery.qos,
                        packet_id,
                        dup,
                        retain: delivery.retain,
                        subscription_ids: delivery.ids.as_slice(),
                        // What is held may be overtaken by what would use its alias.
                        alias: if is_held { Alias::None } else { self.own_aliases.of(&delivery.message) },
                    };
                    if is_held {
                        let mut packet = BytesMut::new();
                        encode::publish(&mut packet, &delivery.message, &header, self.version, now_ms);
                        let is_guarded = delivery.message.is_guarded();
                        let how = if is_guarded { Hold::AsLongAsItHelps } else { Hold::WithThoseAfter };
                        self.held.hold(ticket, packet, how);
                    } else {
                        encode::publish(&mut self.output, &delivery.message, &header, self.version, now_ms);
                    }
                }
            }
        }
        traffic.report_sent(&self.broker.metrics);
        self.note_output();
        self.room_check = (rest == Rest::TooLarge).then(|| Instant::now() + ROOM_CHECK);
        rest == Rest::More
    }

    /// Takes it into account that there may be more output.
    pub(super) fn note_output(&mut self) {
        self.output_peak = self.output_peak.max(self.output.len() + self.held.bytes());
        self.unwritten.settle(self.output_peak);
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.write_deadline = None;
        self.session.progressed();
        self.broker.metrics.bytes_out(bytes as u64);
        self.broker.metrics.packets_out(std::mem::take(&mut self.packets_out));
        if self.output_peak > OUTPUT_LIMIT && self.output.len() < OUTPUT_TARGET {
            // Its memory is that of all that was in it.
            self.output = BytesMut::from(&self.output[..]);
            self.output_peak = self.output.len();
            self.has_read_large = true;
        } else if self.output.is_empty() {
            self.output_peak = self.held.bytes();
        }
        self.unwritten.settle(self.output_peak);
        if self.output.is_empty() && bytes < READ_MIN && self.output.capacity() > 4 * READ_MIN {
            self.output = BytesMut::new();
        }
    }

    /// Sets the deadline of output that has none yet.
    pub(super) fn watch_output(&mut self, timer: Pin<&mut Sleep>) {
        if self.output.is_empty() || self.write_deadline.is_some() {
            return;
        }
        let deadline = Instant::now() + self.limits.write_timeout;
        self.write_deadline = Some(deadline);
        // Mostly the timer runs out earlier anyway; then it is set anew.
        if timer.deadline() > deadline {
            timer.reset(deadline);
        }
    }
}
