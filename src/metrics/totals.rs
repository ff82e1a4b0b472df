//! What has been counted since the start, summed up for the page, the API and `$SYS`.

use super::Metrics;
use super::label::{Drop, Label, Qos, Version};
use crate::ledger::{Modules, Outcome, State};

/// Sums since the start, and what there is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections, now.
    pub connections: u64,
    /// Sessions without a connection, now.
    pub sessions_offline: u64,
    /// Subscriptions that are not shared, and those that are, now.
    pub subscriptions: (u64, u64),
    /// Messages that wait in queues, and their bytes, now.
    pub queued: (u64, u64),
    /// Retained messages, and their bytes, now.
    pub retained: (u64, u64),
    /// Connections accepted.
    pub connections_opened: u64,
    /// Connections refused.
    pub connections_refused: u64,
    /// Sessions that ended because their clients did not come back in time.
    pub sessions_expired: u64,
    /// MQTT packets from clients.
    pub packets_received: u64,
    /// MQTT packets to clients.
    pub packets_sent: u64,
    /// PUBLISH packets from clients.
    pub received: u64,
    /// PUBLISH packets to clients.
    pub sent: u64,
    /// Payload bytes of those from clients.
    pub payload_received: u64,
    /// Payload bytes of those to clients.
    pub payload_sent: u64,
    /// Messages that were not delivered.
    pub dropped: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Uploads that began.
    pub started: u64,
    /// Starts that were refused.
    pub refused: u64,
    /// Uploads that ended, in the order of [`Outcome::ALL`].
    pub ended: [u64; Outcome::ALL.len()],
}

impl Metrics {
    /// What has been counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let (broker, uploads) = (&self.broker, &self.uploads);
        let qos = |counters: &super::family::HotCounters<Qos>| sum(Qos::ALL, |qos| counters.of(qos).get());
        let now = |gauge: &prometheus::IntGauge| u64::try_from(gauge.get()).unwrap_or(0);
        let of_kind = |kind| now(broker.subscriptions.of(kind));
        Totals {
            connections: sum(Version::ALL, |version| now(broker.connections.of(version))),
            sessions_offline: now(broker.sessions.of(super::SessionState::Offline)),
            subscriptions: (
                of_kind(super::SubscriptionKind::Exact) + of_kind(super::SubscriptionKind::Wildcard),
                of_kind(super::SubscriptionKind::Shared),
            ),
            queued: (now(&broker.queued_messages), now(&broker.queued_bytes)),
            retained: (now(&broker.retained_messages), now(&broker.retained_bytes)),
            connections_opened: sum(Version::ALL, |version| broker.connections_opened.of(version).get()),
            connections_refused: sum(super::ConnectRefusal::ALL, |why| broker.connections_refused.of(why).get()),
            sessions_expired: broker.sessions_expired.get(),
            packets_received: broker.packets_received.get(),
            packets_sent: broker.packets_sent.get(),
            received: qos(&broker.messages_received),
            sent: qos(&broker.messages_sent),
            payload_received: qos(&broker.message_bytes_received),
            payload_sent: qos(&broker.message_bytes_sent),
            dropped: sum(Drop::ALL, |why| broker.dropped.of(why).get()),
            bytes_in: broker.network_bytes_received.get(),
            bytes_out: broker.network_bytes_sent.get(),
            started: uploads.started.get(),
            refused: sum(&State::ALL, |state| uploads.refused.of(state).get()),
            ended: Outcome::ALL.map(|outcome| sum(&Modules::ALL, |modules| uploads.ended.of(outcome, modules).get())),
        }
    }
}

fn sum<L: Label>(labels: &[L], value: impl Fn(L) -> u64) -> u64 {
    labels.iter().map(|label| value(*label)).sum()
}
