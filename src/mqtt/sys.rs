//! `$SYS/broker/…`: what the broker says of itself in its own topics, under Mosquitto's names and in its units, so that
//! dashboards and exporters made for it keep working (mosquitto(8), "Broker status").
//!
//! The messages are retained in memory alone: after a restart they would be of another broker. One is published when its
//! value has changed, as Mosquitto does.

use super::broker::Broker;
use crate::message::{Message, NEVER, Parts, QoS};
use crate::metrics::Totals;
use crate::route::Batch;
use ahash::AHashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Minutes that loads are averaged over.
const MINUTES: [u32; 3] = [1, 5, 15];

/// One of the counts.
type Count = fn(&Totals) -> u64;

/// What has a load, and the count that it is of.
const LOADS: &[(&str, Count)] = &[
    ("messages/received", |totals| totals.packets_received),
    ("messages/sent", |totals| totals.packets_sent),
    ("publish/dropped", |totals| totals.dropped),
    ("publish/received", |totals| totals.received),
    ("publish/sent", |totals| totals.sent),
    ("bytes/received", |totals| totals.bytes_in),
    ("bytes/sent", |totals| totals.bytes_out),
    ("sockets", |totals| totals.connections_opened + totals.connections_refused),
    ("connections", |totals| totals.connections_opened),
];

/// What is published, and what it is computed from.
struct Status {
    started: Instant,
    last: Totals,
    at: Instant,
    /// One a load, for each of [`MINUTES`].
    loads: Vec<[f64; 3]>,
    most_clients: u64,
    most_memory: u64,
    /// What each topic says at present.
    said: AHashMap<String, String>,
}

impl Broker {
    /// Publishes the broker's status every `interval`; never ends.
    pub async fn run_sys(self: Arc<Self>, interval: Duration) {
        let mut status = Status::new(Instant::now());
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let totals = self.metrics.totals();
            let changed = status.look(totals, memory(), Instant::now());
            let mut batch = self.batch(0);
            for (topic, payload) in changed {
                self.publish_sys(&topic, payload.as_bytes(), &mut batch);
            }
            self.send_all(&mut batch).await;
        }
    }

    fn publish_sys(&self, topic: &str, payload: &[u8], batch: &mut Batch) {
        let parts = Parts {
            qos: QoS::ExactlyOnce,
            retain: true,
            publisher: 0,
            expires_at: NEVER,
            topic,
            properties: &[],
            payload,
        };
        let message = Message::new(&parts);
        self.retained.show(&message);
        self.route.publish(message, batch);
    }
}

impl Status {
    fn new(now: Instant) -> Self {
        Self {
            started: now,
            last: Totals::default(),
            at: now,
            loads: vec![[0.0; 3]; LOADS.len()],
            most_clients: 0,
            most_memory: 0,
            said: AHashMap::new(),
        }
    }

    /// The topics whose values have changed, with the new ones.
    fn look(&mut self, totals: Totals, memory: u64, now: Instant) -> Vec<(String, String)> {
        let seconds = now.duration_since(self.at).as_secs_f64();
        if seconds > 0.0 {
            for ((_, count), averages) in LOADS.iter().zip(&mut self.loads) {
                let more = count(&totals).saturating_sub(count(&self.last));
                average(averages, more, seconds);
            }
            self.at = now;
        }
        let clients = totals.connections + totals.sessions_offline;
        self.most_clients = self.most_clients.max(clients);
        self.most_memory = self.most_memory.max(memory);
        let mut all = self.values(&totals, clients, memory, now);
        self.last = totals;
        all.retain(|(topic, value)| self.said.get(topic) != Some(value));
        self.said.extend(all.iter().cloned());
        all
    }

    fn values(&self, totals: &Totals, clients: u64, memory: u64, now: Instant) -> Vec<(String, String)> {
        let uptime = now.duration_since(self.started).as_secs();
        let counts = [
            ("bytes/received", totals.bytes_in),
            ("bytes/sent", totals.bytes_out),
            // Names of old that exporters still read.
            ("clients/active", totals.connections),
            ("clients/inactive", totals.sessions_offline),
            ("clients/connected", totals.connections),
            ("clients/disconnected", totals.sessions_offline),
            ("clients/expired", totals.sessions_expired),
            ("clients/maximum", self.most_clients),
            ("clients/total", clients),
            ("heap/current", memory),
            ("heap/maximum", self.most_memory),
            ("messages/received", totals.packets_received),
            ("messages/sent", totals.packets_sent),
            ("messages/stored", totals.queued.0 + totals.retained.0),
            ("publish/bytes/received", totals.payload_received),
            ("publish/bytes/sent", totals.payload_sent),
            ("publish/messages/dropped", totals.dropped),
            ("publish/messages/received", totals.received),
            ("publish/messages/sent", totals.sent),
            ("retained messages/count", totals.retained.0),
            ("shared_subscriptions/count", totals.subscriptions.1),
            ("store/messages/bytes", totals.queued.1 + totals.retained.1),
            ("store/messages/count", totals.queued.0 + totals.retained.0),
            ("subscriptions/count", totals.subscriptions.0),
        ];
        let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count.to_string()));
        let words = [
            ("uptime".to_owned(), format!("{uptime} seconds")),
            ("version".to_owned(), concat!("dockgate version ", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        let loads = LOADS.iter().zip(&self.loads).flat_map(|((name, _), averages)| {
            MINUTES
                .iter()
                .zip(averages)
                .map(move |(minutes, average)| (format!("load/{name}/{minutes}min"), format!("{average:.2}")))
        });
        let all = counts.chain(words).chain(loads);
        all.map(|(name, value)| (format!("$SYS/broker/{name}"), value)).collect()
    }
}

/// Takes what happened in the last seconds into moving averages of what happens in a minute.
#[expect(clippy::cast_precision_loss, reason = "counts of seconds are far from 2^53")]
fn average(averages: &mut [f64; 3], count: u64, seconds: f64) {
    let per_minute = count as f64 * 60.0 / seconds;
    for (average, minutes) in averages.iter_mut().zip(MINUTES) {
        let weight = (-seconds / (60.0 * f64::from(minutes))).exp();
        *average = per_minute + weight * (*average - per_minute);
    }
}

/// Resident memory in bytes: the heap's own size is not known. 0 where the system does not say.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_what_happens_in_a_minute_and_fades_when_nothing_does() {
        let mut averages = [0.0; 3];
        for _ in 0..60 * 60 {
            average(&mut averages, 10, 1.0);
        }
        for average in averages {
            assert!((average - 600.0).abs() < 12.0, "{averages:?}");
        }
        for _ in 0..60 {
            average(&mut averages, 0, 1.0);
        }
        // After the time that it is averaged over, 1/e is left.
        assert!((averages[0] - 600.0 / std::f64::consts::E).abs() < 10.0, "{averages:?}");
        assert!(averages[2] > 500.0, "{averages:?}");
    }

    #[test]
    fn only_what_has_changed_is_said_again() {
        let began = Instant::now();
        let mut status = Status::new(began);
        let first = status.look(Totals::default(), 1, began);
        assert!(first.iter().any(|(topic, value)| topic == "$SYS/broker/uptime" && value == "0 seconds"));
        let totals = Totals { received: 60, ..Totals::default() };
        let second = status.look(totals, 1, began + Duration::from_secs(10));
        let topics: Vec<_> = second.iter().map(|(topic, _)| topic.trim_start_matches("$SYS/broker/")).collect();
        assert_eq!(
            topics,
            [
                "publish/messages/received",
                "uptime",
                "load/publish/received/1min",
                "load/publish/received/5min",
                "load/publish/received/15min"
            ]
        );
        assert_eq!(status.most_memory, 1);
    }
}
