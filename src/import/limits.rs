//! What Mosquitto bounds, and how.

use std::time::Duration;

use super::source::Line;
use crate::config::Limits;

const DAY: u64 = 24 * 60 * 60;
/// The longest session expiry that is not for ever (MQTT 5, 3.1.2.11.2), in whole days.
const LONGEST: Duration = Duration::from_secs((u32::MAX as u64 - 1) / DAY * DAY);
/// Queued messages without a bound of their own; `limits.queue_bytes` bounds them.
const ANY_NUMBER: usize = 100_000_000;
const MOST_CONNECTIONS: usize = 1_000_000;
/// What a PUBLISH has besides its payload: a topic of `limits.topic_length`, and as much again for properties.
const BESIDES_PAYLOAD: u32 = 2048;
const PACKET: std::ops::RangeInclusive<u32> = 256..=268_435_455;

/// The limits, and what has to be said about them.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) limits: Limits,
    pub(super) notes: Vec<String>,
    packet_size: Option<u32>,
    connections: Option<usize>,
    sessions: Option<usize>,
}

impl Default for Bounds {
    fn default() -> Self {
        // Mosquitto keeps the sessions of clients that are away until persistent_client_expiration, which has no default.
        let limits = Limits { session_expiry_max: LONGEST, ..Limits::default() };
        Self { limits, notes: Vec::new(), packet_size: None, connections: None, sessions: None }
    }
}

impl Bounds {
    /// Takes a line if it is about a limit: whether it is, or why it cannot be.
    pub(super) fn take(&mut self, line: &Line) -> Option<Result<(), &'static str>> {
        let taken = match &*line.name {
            "persistent_client_expiration" => duration(line.word()).map(|expiry| {
                self.limits.session_expiry_max = expiry.clamp(Duration::from_secs(1), LONGEST);
            }),
            "global_max_clients"
            | "global_max_connections"
            | "max_inflight_messages"
            | "max_keepalive"
            | "max_packet_size"
            | "max_queued_bytes"
            | "max_queued_messages"
            | "message_size_limit" => line.number().and_then(|number| self.number(line, number)),
            _ => return None,
        };
        Some(taken.ok_or("Mosquitto does not take this value"))
    }

    fn number(&mut self, line: &Line, number: i64) -> Option<()> {
        // Mosquitto takes what is below 0 for "no limit", as it does 0.
        let limit = u32::try_from(number.max(0)).ok()?;
        let count = usize::try_from(limit).ok()?;
        let limits = &mut self.limits;
        match (&*line.name, limit) {
            ("global_max_clients" | "global_max_connections", 0) => {}
            ("global_max_clients", _) => self.sessions = Some(count.min(ANY_NUMBER)),
            ("global_max_connections", _) => self.connections = Some(count.min(MOST_CONNECTIONS)),
            ("max_inflight_messages", 0) => limits.inflight = u16::MAX,
            ("max_inflight_messages", _) => limits.inflight = u16::try_from(limit).ok()?,
            ("max_keepalive", _) => limits.keep_alive_max = u16::try_from(limit).ok()?,
            ("max_packet_size", 0..20) => return None,
            ("max_packet_size", _) => self.packet(line, limit),
            ("message_size_limit", 0) => {}
            ("message_size_limit", _) => {
                self.packet(line, limit.saturating_add(BESIDES_PAYLOAD));
                self.note(line, "a client that sends more is disconnected; Mosquitto takes the message and drops it");
            }
            ("max_queued_bytes", 0) => self.note(line, "a queue without a bound is not offered"),
            ("max_queued_bytes", _) => limits.queue_bytes = count,
            ("max_queued_messages", 0) => {
                limits.queue_messages = ANY_NUMBER;
                self.note(line, "limits.queue_bytes bounds the queue all the same");
            }
            (_, _) => limits.queue_messages = count,
        }
        Some(())
    }

    /// The smaller of two bounds counts, if both are given.
    fn packet(&mut self, line: &Line, size: u32) {
        let size = size.clamp(*PACKET.start(), *PACKET.end()).min(self.packet_size.unwrap_or(u32::MAX));
        self.packet_size = Some(size);
        self.limits.max_packet_size = size;
        if size == *PACKET.start() {
            self.note(line, "256 bytes is the least");
        }
    }

    fn note(&mut self, line: &Line, note: &str) {
        self.notes.push(format!("{}: {note}", super::options::shown(line)));
    }

    /// Makes the limits fit each other, raising those that are too small: dockgate refuses such that contradict each other.
    pub(super) fn reconcile(&mut self, connections_of_listeners: usize) {
        let limits = &mut self.limits;
        let packet = usize::try_from(limits.max_packet_size).unwrap_or(usize::MAX);
        for (name, bytes) in [("queue_bytes", &mut limits.queue_bytes), ("retained_bytes", &mut limits.retained_bytes)]
        {
            if *bytes < packet {
                *bytes = packet;
                self.notes.push(format!("{name} is raised to what one message of max_packet_size takes"));
            }
        }
        limits.queue_bytes_total = limits.queue_bytes_total.max(limits.queue_bytes);
        limits.connections =
            self.connections.unwrap_or(limits.connections.max(connections_of_listeners.min(MOST_CONNECTIONS)));
        match self.sessions {
            // Each connection has a session.
            Some(sessions) => (limits.sessions, limits.connections) = (sessions, limits.connections.min(sessions)),
            None => limits.sessions = limits.sessions.max(limits.connections),
        }
    }
}

/// A number and a unit, of which `m` is a month (mosquitto.conf(5), persistent_client_expiration).
fn duration(text: &str) -> Option<Duration> {
    let seconds = match text.chars().last()? {
        's' => 1,
        'h' => 60 * 60,
        'd' => DAY,
        'w' => 7 * DAY,
        'm' => 30 * DAY,
        'y' => 365 * DAY,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_m_is_a_month() {
        for (text, days) in
            [("2m", Some(60)), ("14d", Some(14)), ("1y", Some(365)), ("3w", Some(21)), ("5", None), ("h", None)]
        {
            assert_eq!(duration(text), days.map(|days| Duration::from_secs(days * DAY)), "{text}");
        }
        assert_eq!(duration("2h"), Some(Duration::from_secs(7200)));
    }
}
