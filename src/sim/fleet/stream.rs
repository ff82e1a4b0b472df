//! What simulated docks and backends send, how often and at which QoS.

use std::time::Duration;

use serde::Serialize;

/// Everything that is published, by who sends it where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub(super) enum Stream {
    /// The aircraft's telemetry.
    AircraftOsd,
    /// The dock's telemetry, in three partial messages.
    DockOsd,
    /// What the dock tells of its own accord.
    DockEvents,
    /// What has changed at the aircraft.
    AircraftState,
    /// What the aircraft tells of its own accord.
    AircraftEvents,
    /// What has changed at the dock.
    DockState,
    /// `fileupload_progress`.
    Progress,
    /// A dock that is online tells its topology.
    Status,
    /// A dock answers a command.
    Reply,
    /// A backend's command.
    Command,
    /// A backend acknowledges a change.
    StateReply,
    /// A backend acknowledges an event.
    EventsReply,
    /// A backend acknowledges a topology.
    StatusReply,
}

/// How often a stream has a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The time from one to the next, on average.
    pub(super) every: Duration,
    /// How far from that it may be either way, in percent: telemetry keeps time, events come as they come.
    pub(super) spread: u64,
}

impl Stream {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 13] = [
        Self::AircraftOsd,
        Self::DockOsd,
        Self::DockEvents,
        Self::AircraftState,
        Self::AircraftEvents,
        Self::DockState,
        Self::Progress,
        Self::Status,
        Self::Reply,
        Self::Command,
        Self::StateReply,
        Self::EventsReply,
        Self::StatusReply,
    ];

    /// How many of them, from the first, are data: counted by dock and stream at every backend.
    pub(super) const DATA: usize = 7;

    /// How many there are.
    pub(super) const COUNT: usize = Self::ALL.len();

    /// Its number.
    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// The data stream of this number.
    pub(super) fn data(number: u8) -> Option<Self> {
        let number = usize::from(number);
        (number < Self::DATA).then(|| Self::ALL[number])
    }

    /// Its name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AircraftOsd => "aircraft osd",
            Self::DockOsd => "dock osd",
            Self::DockEvents => "dock events",
            Self::AircraftState => "aircraft state",
            Self::AircraftEvents => "aircraft events",
            Self::DockState => "dock state",
            Self::Progress => "progress",
            Self::Status => "status",
            Self::Reply => "services_reply",
            Self::Command => "services",
            Self::StateReply => "state_reply",
            Self::EventsReply => "events_reply",
            Self::StatusReply => "status_reply",
        }
    }

    /// The QoS that it has unless the user wants another: telemetry 0 and the rest of a dock 1 (a simulator of docks
    /// made for DJI's API), what DJI's demo backend acknowledges 2. Commands have their backend's.
    pub(super) fn qos(self) -> u8 {
        match self {
            Self::AircraftOsd | Self::DockOsd | Self::AircraftState | Self::DockState => 0,
            Self::DockEvents | Self::AircraftEvents | Self::Progress | Self::Status | Self::Reply | Self::Command => 1,
            Self::StateReply | Self::EventsReply | Self::StatusReply => 2,
        }
    }

    /// How often it has a message at a dock whose aircraft flies, or is off. None for what is sent in answer to
    /// something only.
    ///
    /// In flight: the counts of a recording of a Dock 3 over 220 s (DOMAIN facts, section 6). Idle: telemetry as in
    /// a simulator made for DJI's API, and the rest a guess, as no recording of an idle dock is public.
    pub(super) fn pace(self, is_flying: bool) -> Option<Pace> {
        let recorded = |count: u64, spread| Pace { every: Duration::from_millis(220_000 / count), spread };
        let idle = |seconds, spread| Pace { every: Duration::from_secs(seconds), spread };
        match (self, is_flying) {
            (Self::AircraftOsd, true) => Some(recorded(110, 2)),
            (Self::DockOsd, true) => Some(recorded(446, 2)),
            (Self::DockEvents, true) => Some(recorded(488, 90)),
            (Self::AircraftState, true) => Some(recorded(151, 90)),
            (Self::AircraftEvents, true) => Some(recorded(108, 90)),
            (Self::DockState, true) => Some(recorded(8, 90)),
            (Self::Command, true) => Some(recorded(64, 90)),
            (Self::DockOsd, false) => Some(idle(10, 2)),
            (Self::DockEvents, false) => Some(idle(60, 90)),
            (Self::DockState, false) => Some(idle(120, 90)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_stream_is_its_place() {
        for (at, stream) in Stream::ALL.into_iter().enumerate() {
            assert_eq!(stream.index(), at);
        }
        assert_eq!(Stream::data(6), Some(Stream::Progress));
        assert_eq!(Stream::data(7), None);
    }
}
