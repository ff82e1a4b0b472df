//! A backend of the fleet: commands and uploads by the clock, acknowledgements, and an ear for everything; no socket.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use parking_lot::Mutex;
use serde::Deserialize;

use super::Fleet;
use super::actor::Role;
use super::ask::{Ask, What};
use super::jobs::{Job, Jobs};
use super::link::Out;
use super::packet::Version;
use super::schedule::Schedule;
use super::stamp::Stamp;
use super::stream::Stream;
use super::track::Ears;
use crate::cloud_api::{self, Reply, ResultCode};
use crate::sim::now_ms;

/// Seconds of keep-alive, as DJI's demo backend has it.
const KEEP_ALIVE: u16 = 10;
/// The time from one look at what has waited too long to the next.
const EXPIRE_EVERY: Duration = Duration::from_millis(500);
/// How far ahead uploads are planned: they are not quite in order of time, but never two seconds off.
const AHEAD: Duration = Duration::from_secs(5);
/// The group of a shared subscription.
const GROUP: &str = "dockgate-simulate";

/// A backend.
#[derive(Debug)]
pub(super) struct Backend {
    fleet: Arc<Fleet>,
    index: u32,
    name: String,
    /// Its own, or those of the whole group.
    ears: Arc<Mutex<Ears>>,
    agenda: BinaryHeap<Reverse<Entry>>,
    /// The flights that it commands, by their place in the agenda.
    flights: Vec<(u32, Schedule)>,
    /// The uploads of all backends; this one does its own.
    jobs: Option<Jobs>,
    /// When commands and uploads begin.
    begin: Duration,
    sequence: u32,
    /// Since when it is connected.
    online_at: Duration,
    is_settling: bool,
}

/// What an acknowledgement repeats.
#[derive(Debug, Deserialize)]
struct Acknowledged {
    tid: String,
    bid: String,
    /// A change of state has none.
    #[serde(default)]
    method: String,
}

/// Something to be done, in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Duration,
    /// So that equal times have one order.
    number: u32,
    what: Deed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    /// Command this flight.
    Command,
    Upload(Job),
    Expire,
}

impl Backend {
    /// Begins its commands and uploads at `begin`.
    pub(super) fn new(fleet: Arc<Fleet>, index: u32, ears: Arc<Mutex<Ears>>, begin: Duration) -> Self {
        let settings = &fleet.settings;
        let mine = (index..settings.docks).step_by(settings.backends as usize);
        let flights = mine.filter_map(|dock| {
            let schedule = Schedule::of_commands(settings.seed, dock, settings.is_flying(dock))?;
            Some((dock, schedule))
        });
        let mut backend = Self {
            flights: flights.collect(),
            jobs: Jobs::new(settings),
            name: format!("simulate-backend-{}-{index}", settings.first),
            agenda: BinaryHeap::new(),
            sequence: 0,
            online_at: Duration::ZERO,
            is_settling: false,
            fleet: Arc::clone(&fleet),
            index,
            ears,
            begin,
        };
        for flight in 0..backend.flights.len() {
            backend.plan_command(flight);
        }
        backend.plan_uploads(begin);
        if index == 0 {
            backend.plan(Duration::ZERO, 0, Deed::Expire);
        }
        backend
    }

    fn plan(&mut self, at: Duration, number: u32, what: Deed) {
        self.agenda.push(Reverse(Entry { at, number, what }));
    }

    fn plan_command(&mut self, flight: usize) {
        if let Some(due) = self.flights[flight].1.next() {
            self.plan(self.begin + due.at, u32::try_from(flight).unwrap_or(u32::MAX), Deed::Command);
        }
    }

    /// Puts its uploads of the next seconds on the agenda.
    fn plan_uploads(&mut self, now: Duration) {
        let (mine, begin) = (self.index, self.begin);
        loop {
            let next = self.jobs.as_mut().and_then(|jobs| jobs.find(|job| job.backend == mine));
            let Some(job) = next else { return };
            self.plan(begin + job.at, job.number, Deed::Upload(job));
            if begin + job.at > now + AHEAD {
                return;
            }
        }
    }

    fn stamp(&mut self, now: Duration) -> Stamp {
        self.sequence = self.sequence.wrapping_add(1);
        self.fleet.stamp(Stream::Command, self.index, self.sequence, now)
    }

    fn command(&mut self, ask: &Ask, now: Duration, out: &mut Out) {
        let tid = self.stamp(now);
        let message = ask.encode(tid.to_text(), now_ms());
        let topic = cloud_api::services(&self.fleet.settings.gateway(ask.dock));
        // DJI's demo backend sends its commands at QoS 0, others at QoS 1.
        let qos = self.fleet.settings.qos.unwrap_or(if self.index.is_multiple_of(2) { 0 } else { 1 });
        if self.fleet.publish(&topic, (Stream::Command, qos), out, &message) {
            self.fleet.desk.lock().sent(tid, ask, &self.fleet.book, now);
        }
    }

    /// Whether something is to be done still: what was due while there was no connection was never done.
    fn is_in_time(&self, at: Duration, now: Duration) -> bool {
        let is_in_time = at >= self.online_at;
        if is_in_time {
            self.fleet.book.note_lag(now - at);
        }
        is_in_time
    }

    /// Acknowledges a message that asks for it.
    fn acknowledge(&self, topic: &str, stream: Stream, payload: &[u8], out: &mut Out) {
        let Ok(header) = cloud_api::decode::<Acknowledged>(payload) else { return };
        let reply = cloud_api::encode(&Reply {
            bid: header.bid,
            data: ResultCode { result: 0 },
            method: header.method,
            tid: header.tid,
            timestamp: now_ms(),
            gateway: None,
        });
        self.fleet.publish(&format!("{topic}_reply"), (stream, self.fleet.qos(stream)), out, &reply);
    }

    /// Whether this backend is the one to answer what only one should.
    fn is_mine(&self, dock: u32) -> bool {
        self.fleet.settings.shared || dock % self.fleet.settings.backends == self.index
    }
}

impl Role for Backend {
    fn client_id(&self) -> &str {
        &self.name
    }

    fn version(&self) -> Version {
        self.fleet.settings.backends_speak
    }

    fn keep_alive(&self) -> u16 {
        KEEP_ALIVE
    }

    fn filters(&self) -> Vec<String> {
        let share = if self.fleet.settings.shared { format!("$share/{GROUP}/") } else { String::new() };
        ["sys/product/+/status"]
            .into_iter()
            .map(str::to_owned)
            .chain(
                ["requests", "osd", "state", "events", "services_reply"].map(|name| format!("thing/product/+/{name}")),
            )
            .map(|filter| format!("{share}{filter}"))
            .collect()
    }

    fn online(&mut self, now: Duration, _: &mut Out) {
        self.online_at = now;
    }

    fn offline(&mut self, _: &Out) {}

    fn act(&mut self, now: Duration, out: &mut Out) {
        while self.wake().is_some_and(|at| at <= now)
            && let Some(Reverse(entry)) = self.agenda.pop()
        {
            match entry.what {
                Deed::Expire => {
                    self.fleet.desk.lock().expire(&self.fleet.book, now);
                    self.plan(now + EXPIRE_EVERY, 0, Deed::Expire);
                }
                _ if self.is_settling => {}
                Deed::Command => {
                    let flight = entry.number as usize;
                    if self.is_in_time(entry.at, now) {
                        let bid = self.stamp(now).to_text();
                        self.command(&Ask { dock: self.flights[flight].0, bid, what: What::Quality }, now, out);
                    }
                    self.plan_command(flight);
                }
                Deed::Upload(job) => {
                    if self.is_in_time(entry.at, now) {
                        let bid = self.stamp(now);
                        let ask = self.fleet.desk.lock().begin(job, bid, now);
                        self.command(&ask, now, out);
                    }
                    self.plan_uploads(now);
                }
            }
        }
    }

    fn wake(&self) -> Option<Duration> {
        self.agenda.peek().map(|Reverse(entry)| entry.at)
    }

    fn hear(&mut self, topic: &str, payload: &[u8], now: Duration, out: &mut Out) {
        let fleet = Arc::clone(&self.fleet);
        if topic.starts_with("sys/") {
            if fleet.settings.dock_of(topic).is_some_and(|dock| self.is_mine(dock)) {
                self.acknowledge(topic, Stream::StatusReply, payload, out);
            }
            return;
        }
        let stamp = Stamp::of_tid(payload).filter(|stamp| stamp.run == fleet.run);
        let Some(stamp) = stamp else {
            self.ears.lock().foreign += 1;
            return;
        };
        let Some(stream) = Stream::data(stamp.stream) else {
            if fleet.settings.shared || stamp.sender == self.index {
                let next = fleet.desk.lock().reply(stamp, payload, now);
                if let Some(ask) = next {
                    self.command(&ask, now, out);
                }
            }
            return;
        };
        self.ears.lock().note(stamp, u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        match stream {
            Stream::Progress => {
                let bid = Stamp::of_bid(payload).filter(|bid| fleet.settings.shared || bid.sender == self.index);
                let next = bid.and_then(|bid| fleet.desk.lock().progress(bid, payload, now));
                if let Some(ask) = next {
                    self.command(&ask, now, out);
                }
            }
            Stream::DockEvents | Stream::AircraftState
                if self.is_mine(stamp.sender) && memmem::find(payload, br#""need_reply":1"#).is_some() =>
            {
                let answer = if stream == Stream::DockEvents { Stream::EventsReply } else { Stream::StateReply };
                self.acknowledge(topic, answer, payload, out);
            }
            _ => {}
        }
    }

    fn cut(&mut self) -> Option<Duration> {
        None
    }

    fn settle(&mut self) {
        self.is_settling = true;
    }
}
