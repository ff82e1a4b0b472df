//! What any broker counts: connections, messages, queues, the routing core.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Metrics;
use super::family::{Counters, Definer, Gauges, HotCounters};
use super::label::{
    AuthFailure, ConnectRefusal, Disconnect, Drop, Limit, ProtocolFault, Qos, SessionState, SubscriptionKind, Version,
};
use super::striped::HotCounter;

/// From a healthy router's tens of microseconds to the watchdog's patience.
const ROUND_TRIP_BUCKETS: &[f64] =
    &[1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// From one prefix test to a parse of the largest payload.
const HOOK_BUCKETS: &[f64] =
    &[1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2];

/// The metrics of the edge and of the routing core.
pub(super) struct Broker {
    pub(super) connections: Gauges<Version>,
    pub(super) connections_opened: Counters<Version>,
    pub(super) connections_refused: Counters<ConnectRefusal>,
    disconnects: Counters<Disconnect>,
    pub(super) messages_received: HotCounters<Qos>,
    pub(super) messages_sent: HotCounters<Qos>,
    pub(super) message_bytes_received: HotCounters<Qos>,
    pub(super) message_bytes_sent: HotCounters<Qos>,
    pub(super) network_bytes_received: HotCounter,
    pub(super) network_bytes_sent: HotCounter,
    pub(super) dropped: Counters<Drop>,
    pub(super) subscriptions: Gauges<SubscriptionKind>,
    pub(super) sessions: Gauges<SessionState>,
    pub(super) packets_received: HotCounter,
    pub(super) packets_sent: HotCounter,
    pub(super) sessions_expired: IntCounter,
    pub(super) retained_messages: IntGauge,
    pub(super) retained_bytes: IntGauge,
    pub(super) queued_messages: IntGauge,
    pub(super) queued_bytes: IntGauge,
    protocol_errors: Counters<ProtocolFault>,
    auth_failures: Counters<AuthFailure>,
    limits: Counters<Limit>,
    throttled: IntCounter,
    wills: IntCounter,
    router_up: IntGauge,
    router_round_trip: Histogram,
    router_inflight_bytes: IntGauge,
    hook: Histogram,
}

impl Broker {
    pub(super) fn new(define: &Definer<'_>) -> Self {
        Self {
            connections: define.gauges("connections", "Connections that had their CONNACK, now.", "protocol"),
            connections_opened: define.counters(
                "connections_total",
                "Connections accepted with a CONNACK.",
                "protocol",
            ),
            connections_refused: define.counters(
                "connections_refused_total",
                "Connections refused before or with their CONNACK.",
                "reason",
            ),
            disconnects: define.counters("disconnects_total", "Accepted connections that ended.", "reason"),
            messages_received: define.hot_counters(
                "messages_received_total",
                "PUBLISH packets from clients, repeats of QoS 1 and 2 included.",
                "qos",
            ),
            messages_sent: define.hot_counters(
                "messages_sent_total",
                "PUBLISH packets to clients, repeats of QoS 1 and 2 included.",
                "qos",
            ),
            message_bytes_received: define.hot_counters(
                "message_bytes_received_total",
                "Payload bytes of PUBLISH packets from clients.",
                "qos",
            ),
            message_bytes_sent: define.hot_counters(
                "message_bytes_sent_total",
                "Payload bytes of PUBLISH packets to clients.",
                "qos",
            ),
            network_bytes_received: define
                .hot_counter("network_bytes_received_total", "Bytes read from clients, as MQTT packets."),
            network_bytes_sent: define
                .hot_counter("network_bytes_sent_total", "Bytes written to clients, as MQTT packets."),
            dropped: define.counters("dropped_total", "Messages that were not delivered.", "reason"),
            subscriptions: define.gauges("subscriptions", "Subscriptions, now.", "kind"),
            sessions: define.gauges("sessions", "Sessions, now.", "state"),
            packets_received: define.hot_counter("packets_received_total", "MQTT packets from clients, after CONNECT."),
            packets_sent: define.hot_counter("packets_sent_total", "MQTT packets to clients, after CONNACK."),
            sessions_expired: define.counter(
                "sessions_expired_total",
                "Sessions that ended because their clients did not come back in time.",
            ),
            retained_messages: define.gauge("retained_messages", "Retained messages, now."),
            retained_bytes: define.gauge("retained_bytes", "Bytes of the retained messages' topics and payloads, now."),
            queued_messages: define.gauge("queued_messages", "Messages that wait in the queues of all sessions, now."),
            queued_bytes: define.gauge("queued_bytes", "Bytes that wait in the queues of all sessions, now."),
            protocol_errors: define.counters("protocol_errors_total", "Violations of the protocol by clients.", "kind"),
            auth_failures: define.counters(
                "auth_failures_total",
                "Connections, publishes and subscriptions that the access rules denied.",
                "reason",
            ),
            limits: define.counters("limit_hits_total", "Times a limit refused, dropped or slowed something.", "limit"),
            throttled: define.counter(
                "throttled_total",
                "Times a publisher was slowed down because those behind it could not keep up.",
            ),
            wills: define.counter("wills_total", "Wills published."),
            router_up: define.gauge("router_up", "Whether the routing core answers its probe: 1 or 0."),
            router_round_trip: define.histogram(
                "router_round_trip_seconds",
                "Time of a probe through the routing core and back.",
                ROUND_TRIP_BUCKETS,
            ),
            router_inflight_bytes: define
                .gauge("router_inflight_bytes", "Bytes handed to the routing core that have not come back, now."),
            hook: define.histogram(
                "hook_seconds",
                "Time to examine one publish on the topics that the upload rules watch.",
                HOOK_BUCKETS,
            ),
        }
    }
}

impl Metrics {
    /// A connection got its CONNACK.
    pub fn connected(&self, version: Version) {
        self.broker.connections.of(version).inc();
        self.broker.connections_opened.of(version).inc();
    }

    /// A connection that had its CONNACK ended: exactly once for each [`Metrics::connected`].
    pub fn disconnected(&self, version: Version, why: Disconnect) {
        self.broker.connections.of(version).dec();
        self.broker.disconnects.of(why).inc();
    }

    /// A connection got no CONNACK, or one that refuses it.
    pub fn refused(&self, why: ConnectRefusal, limit: Option<Limit>) {
        self.broker.connections_refused.of(why).inc();
        if let Some(limit) = limit {
            self.limit_hit(limit);
        }
    }

    /// PUBLISH packets came from clients, with so many bytes of payload together.
    pub fn received(&self, qos: Qos, messages: u64, payload_bytes: u64) {
        self.broker.messages_received.of(qos).inc_by(messages);
        self.broker.message_bytes_received.of(qos).inc_by(payload_bytes);
    }

    /// PUBLISH packets went to clients, with so many bytes of payload together.
    pub fn sent(&self, qos: Qos, messages: u64, payload_bytes: u64) {
        self.broker.messages_sent.of(qos).inc_by(messages);
        self.broker.message_bytes_sent.of(qos).inc_by(payload_bytes);
    }

    /// Bytes came from clients.
    pub fn bytes_in(&self, bytes: u64) {
        self.broker.network_bytes_received.inc_by(bytes);
    }

    /// Bytes went to clients.
    pub fn bytes_out(&self, bytes: u64) {
        self.broker.network_bytes_sent.inc_by(bytes);
    }

    /// MQTT packets came from a client.
    pub fn packets_in(&self, packets: u64) {
        self.broker.packets_received.inc_by(packets);
    }

    /// MQTT packets went to a client.
    pub fn packets_out(&self, packets: u64) {
        self.broker.packets_sent.inc_by(packets);
    }

    /// A session ended because its client did not come back in time.
    pub fn session_expired(&self) {
        self.broker.sessions_expired.inc();
    }

    /// Messages were not delivered.
    pub fn dropped(&self, why: Drop, messages: u64) {
        self.broker.dropped.of(why).inc_by(messages);
    }

    /// How many subscriptions there are of a kind.
    pub fn set_subscriptions(&self, kind: SubscriptionKind, subscriptions: usize) {
        self.broker.subscriptions.of(kind).set(signed(subscriptions));
    }

    /// How many sessions there are in a state.
    pub fn set_sessions(&self, state: SessionState, sessions: usize) {
        self.broker.sessions.of(state).set(signed(sessions));
    }

    /// What the retained store holds.
    pub fn set_retained(&self, messages: usize, bytes: usize) {
        self.broker.retained_messages.set(signed(messages));
        self.broker.retained_bytes.set(signed(bytes));
    }

    /// What waits in the queues of all sessions.
    pub fn set_queued(&self, messages: usize, bytes: usize) {
        self.broker.queued_messages.set(signed(messages));
        self.broker.queued_bytes.set(signed(bytes));
    }

    /// A client broke the protocol.
    pub fn protocol_error(&self, fault: ProtocolFault) {
        self.broker.protocol_errors.of(fault).inc();
    }

    /// A limit refused, dropped or slowed something.
    pub fn limit_hit(&self, limit: Limit) {
        self.broker.limits.of(limit).inc();
    }

    /// The access rules denied something.
    pub fn auth_failure(&self, why: AuthFailure) {
        self.broker.auth_failures.of(why).inc();
    }

    /// A publisher is slowed down.
    pub fn throttled(&self) {
        self.broker.throttled.inc();
    }

    /// A will was published.
    pub fn will_published(&self) {
        self.broker.wills.inc();
    }

    /// Whether the routing core answers its probe.
    pub fn set_router_up(&self, up: bool) {
        self.broker.router_up.set(i64::from(up));
    }

    /// A probe came back from the routing core.
    pub fn router_round_trip(&self, time: Duration) {
        self.broker.router_round_trip.observe(time.as_secs_f64());
    }

    /// Bytes in the lanes of the routing core.
    pub fn set_router_inflight(&self, bytes: usize) {
        self.broker.router_inflight_bytes.set(signed(bytes));
    }

    /// The hook examined a publish on a topic that it watches.
    pub fn hook_examined(&self, time: Duration) {
        self.broker.hook.observe(time.as_secs_f64());
    }
}

pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
