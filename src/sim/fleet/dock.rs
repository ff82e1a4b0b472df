//! A dock of the fleet: its telemetry by the clock, its upload by the firmware, its faults; no socket.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Fleet;
use super::actor::Role;
use super::link::Out;
use super::packet::Version;
use super::payload::Fields;
use super::schedule::{Due, Schedule};
use super::stamp::Stamp;
use super::stream::Stream;
use crate::cloud_api::{self, Event, Header, Progress};
use crate::sim::fault::{Fault, misspell};
use crate::sim::firmware::{BUSY, Firmware};
use crate::sim::now_ms;
use crate::sim::plan::{Outcome, Plan};
use crate::sim::random::{Random, mix};

/// "Export failed: dock power off or restart".
const POWER_CUT: i64 = 324_021;
/// Codes that an upload fails with on its way: no network, no room, too much to pack.
const FAILURES: [i64; 3] = [324_019, 324_016, 324_012];
/// Codes that a start is answered with: at work, in preparation, the aircraft is off.
const REJECTIONS: [i64; 3] = [325_007, 325_006, 324_015];
/// Milliseconds from a command to its reply: typical in a recording of a Dock 3.
const REPLY_MS: (u64, u64) = (25, 50);
/// The same of a dock that is late.
const LATE_MS: (u64, u64) = (2000, 4000);
/// How long a restart takes. Real docks take minutes; a run may be shorter.
const RESTART_MS: (u64, u64) = (1000, 2000);
/// How long after it is back a dock tells of the upload that the restart broke off.
const RECOVERY: Duration = Duration::from_millis(300);
/// The time from one progress event to the next. It is not published.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Bytes a second of a dock's uplink: an upload takes 5 to 9 seconds.
const UPLINK: (u64, u64) = (5_500_000, 9_500_000);
/// Seconds of keep-alive.
const KEEP_ALIVE: u16 = 30;

/// A dock.
#[derive(Debug)]
pub(super) struct Dock {
    fleet: Arc<Fleet>,
    index: u32,
    gateway: String,
    aircraft: String,
    topics: Topics,
    fault: Option<Fault>,
    schedule: Schedule,
    next: Option<Due>,
    /// When it came online for the first time, from where its schedule counts.
    began: Option<Duration>,
    firmware: Firmware,
    /// When to tell of the upload next.
    report_at: Option<Duration>,
    agenda: Vec<Later>,
    /// The event that a restart holds up.
    broken_off: Option<Event<Progress>>,
    outcomes: Random,
    random: Random,
    clock_lag_ms: u64,
    /// Whether nothing new is to be sent.
    is_settling: bool,
}

/// What it publishes to.
#[derive(Debug)]
struct Topics {
    of: [String; Stream::DATA],
    status: String,
    replies: String,
}

/// Something to be sent at some time.
#[derive(Debug)]
struct Later {
    at: Duration,
    what: Message,
}

#[derive(Debug)]
enum Message {
    Reply(Vec<u8>),
    Progress(Event<Progress>),
}

impl Dock {
    pub(super) fn new(fleet: Arc<Fleet>, index: u32, fault: Option<Fault>) -> Self {
        let settings = &fleet.settings;
        let (gateway, aircraft) = (settings.gateway(index), settings.aircraft(index));
        let seed = mix(settings.seed, u64::from(index) | 1 << 32);
        let mut random = Random::new(seed);
        let plan = Plan {
            gateway: gateway.clone(),
            aircraft: aircraft.clone(),
            rate: random.between(UPLINK.0, UPLINK.1),
            ..Plan::from_seed(seed, now_ms())
        };
        let mut schedule = Schedule::of_dock(settings.seed, index, settings.is_flying(index));
        Self {
            next: schedule.next(),
            schedule,
            topics: Topics::of(&gateway, &aircraft),
            gateway,
            aircraft,
            clock_lag_ms: u64::try_from(plan.clock_lag.as_millis()).unwrap_or(0),
            firmware: Firmware::new(plan),
            index,
            fault,
            began: None,
            report_at: None,
            agenda: Vec::new(),
            broken_off: None,
            outcomes: Random::new(mix(settings.seed, u64::from(index) | 2 << 32)),
            random,
            is_settling: false,
            fleet,
        }
    }

    /// How the next upload goes.
    fn outcome(&mut self) -> Outcome {
        let random = &mut self.outcomes;
        let mut one_of = |codes: [i64; 3]| codes[random.between(0, 2) as usize];
        let (failure, rejection) = (one_of(FAILURES), one_of(REJECTIONS));
        let at_percent = u32::try_from(random.between(20, 70)).unwrap_or(50);
        let percent = random.between(1, 100);
        match self.fault {
            Some(Fault::Stall) => Outcome::Stall { at_percent },
            Some(Fault::Reboot) => Outcome::Fail { code: POWER_CUT, at_percent },
            Some(Fault::Reject) => Outcome::Reject { code: rejection },
            Some(Fault::Busy) => Outcome::Reject { code: BUSY },
            // What the fault is about is to be seen.
            Some(Fault::Typo | Fault::Duplicate | Fault::Late) => Outcome::Complete,
            None => match percent {
                1..=80 => Outcome::Complete,
                81..=88 => Outcome::Fail { code: failure, at_percent },
                89..=94 => Outcome::Reject { code: rejection },
                _ => Outcome::Ignore,
            },
        }
    }

    fn clock(&self) -> u64 {
        now_ms().saturating_sub(self.clock_lag_ms)
    }

    fn delay(&mut self, (low, high): (u64, u64)) -> Duration {
        Duration::from_millis(self.random.between(low, high))
    }

    fn command(&mut self, payload: &[u8], now: Duration) {
        let header = cloud_api::decode::<Header>(payload).ok();
        let method = header.as_ref().map_or("", |header| header.method.as_str());
        if method == cloud_api::START && !self.firmware.is_uploading() {
            let outcome = self.outcome();
            self.firmware.set_outcome(outcome);
        }
        let Some(reply) = self.firmware.command(payload, self.clock()) else {
            self.fleet.book.ignored.fetch_add(1, Ordering::Relaxed);
            // Others may command the same docks.
            if let Some(tid) = Stamp::of_tid(payload).filter(|tid| tid.run == self.fleet.run) {
                self.fleet.desk.lock().ignored(tid);
            }
            return;
        };
        let reply = if self.fault == Some(Fault::Typo) { misspell(&reply) } else { reply };
        let is_late = self.fault == Some(Fault::Late);
        if is_late {
            self.fleet.book.held_back.fetch_add(1, Ordering::Relaxed);
        }
        let at = now + self.delay(if is_late { LATE_MS } else { REPLY_MS });
        self.agenda.push(Later { at, what: Message::Reply(reply) });
        if self.firmware.is_uploading() && self.report_at.is_none() {
            self.report_at = Some(now + REPORT_EVERY);
        }
    }

    /// Tells how far the upload is, unless a restart comes between.
    fn report(&mut self, now: Duration, out: &mut Out) {
        let event = self.firmware.advance(REPORT_EVERY, self.clock());
        self.report_at = self.firmware.is_uploading().then_some(now + REPORT_EVERY);
        let Some(event) = event else {
            // Stalled: there will be nothing to tell.
            self.report_at = None;
            return;
        };
        let is_over = self.report_at.is_none();
        if self.fault == Some(Fault::Reboot) && event.data.result == POWER_CUT {
            // One archive has got to where the power fails, and the others fail with it.
            self.broken_off = self.firmware.break_off(POWER_CUT, self.clock()).or(Some(event));
            self.report_at = None;
            return;
        }
        if self.fault == Some(Fault::Late) && is_over {
            let mut stale = event.clone();
            stale.data.output.status = "in_progress".to_owned();
            let at = now + self.delay((500, 1500));
            self.agenda.push(Later { at, what: Message::Progress(stale) });
        }
        self.tell(event, now, out);
    }

    fn tell(&self, mut event: Event<Progress>, now: Duration, out: &mut Out) {
        let stream = Stream::Progress;
        let stamp = self.stamp(stream, now);
        event.tid = stamp.to_text();
        let message = cloud_api::encode(&event);
        let message = if self.fault == Some(Fault::Typo) { misspell(&message) } else { message };
        self.publish_data(stream, message.len(), out, |buffer| buffer.extend_from_slice(&message));
    }

    fn send(&self, due: Due, now: Duration, out: &mut Out) {
        let Some(form) = self.fleet.forms.of(due.stream, due.draw) else { return };
        let fields = Fields {
            mark: self.stamp(due.stream, now).text(),
            now_ms: self.clock(),
            gateway: &self.gateway,
            aircraft: &self.aircraft,
            draw: due.draw,
        };
        self.publish_data(due.stream, form.length(), out, |buffer| form.fill(buffer, &fields));
    }

    /// The mark of the next message of a data stream.
    fn stamp(&self, stream: Stream, now: Duration) -> Stamp {
        let sent = &self.fleet.book.dock(self.index).sent[stream.index()];
        // Only this dock counts it on.
        self.fleet.stamp(stream, self.index, sent.load(Ordering::Relaxed), now)
    }

    /// Publishes a message of a data stream, twice if that is the dock's fault.
    fn publish_data(&self, stream: Stream, length: usize, out: &mut Out, fill: impl Fn(&mut bytes::BytesMut)) {
        let page = self.fleet.book.dock(self.index);
        let topic = &self.topics.of[stream.index()];
        let kind = (stream, self.fleet.qos(stream));
        if !self.fleet.publish_with(topic, kind, out, length, &fill) {
            return;
        }
        page.sent[stream.index()].fetch_add(1, Ordering::Relaxed);
        let is_event = matches!(stream, Stream::DockEvents | Stream::AircraftEvents | Stream::Progress);
        if self.fault == Some(Fault::Duplicate) && is_event && self.fleet.publish_with(topic, kind, out, length, &fill)
        {
            page.repeated[stream.index()].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn due_at(&self) -> Option<Duration> {
        if self.is_settling {
            return None;
        }
        Some(self.began? + self.next?.at)
    }
}

impl Role for Dock {
    fn client_id(&self) -> &str {
        &self.gateway
    }

    fn version(&self) -> Version {
        self.fleet.settings.docks_speak
    }

    fn keep_alive(&self) -> u16 {
        KEEP_ALIVE
    }

    fn filters(&self) -> Vec<String> {
        let of = |device: &str, name: &str| format!("thing/product/{device}/{name}");
        vec![
            cloud_api::services(&self.gateway),
            of(&self.gateway, "events_reply"),
            of(&self.gateway, "requests_reply"),
            of(&self.gateway, "property/set"),
            of(&self.aircraft, "state_reply"),
            format!("{}_reply", self.topics.status),
        ]
    }

    fn online(&mut self, now: Duration, out: &mut Out) {
        self.fleet.book.dock(self.index).is_online.store(true, Ordering::Relaxed);
        if self.began.is_some() {
            // What was due while it was away was never sent.
            while self.due_at().is_some_and(|at| at < now) {
                self.next = self.schedule.next();
            }
        }
        self.began.get_or_insert(now);
        if let Some(event) = self.broken_off.take() {
            self.agenda.push(Later { at: now + RECOVERY, what: Message::Progress(event) });
        }
        let topology = self.firmware.topology(self.clock());
        let kind = (Stream::Status, self.fleet.qos(Stream::Status));
        self.fleet.publish(&self.topics.status, kind, out, &topology);
    }

    fn offline(&mut self, out: &Out) {
        let page = self.fleet.book.dock(self.index);
        page.is_online.store(false, Ordering::Relaxed);
        page.ended.fetch_add(1, Ordering::Relaxed);
        for stream in out.unsettled().filter(|stream| stream.index() < Stream::DATA) {
            page.unsettled[stream.index()].fetch_add(1, Ordering::Relaxed);
        }
        self.agenda.clear();
    }

    fn act(&mut self, now: Duration, out: &mut Out) {
        if self.broken_off.is_some() {
            return;
        }
        while let Some(at) = self.due_at().filter(|at| *at <= now) {
            if let Some(due) = self.next.take() {
                self.fleet.book.note_lag(now - at);
                self.send(due, now, out);
            }
            self.next = self.schedule.next();
        }
        while let Some(at) = self.agenda.iter().position(|later| later.at <= now) {
            match self.agenda.remove(at).what {
                Message::Reply(reply) => {
                    let kind = (Stream::Reply, self.fleet.qos(Stream::Reply));
                    self.fleet.publish(&self.topics.replies, kind, out, &reply);
                }
                Message::Progress(_) if self.is_settling => {}
                Message::Progress(event) => self.tell(event, now, out),
            }
        }
        if !self.is_settling && self.report_at.is_some_and(|at| at <= now) {
            self.report(now, out);
        }
    }

    fn wake(&self) -> Option<Duration> {
        if self.broken_off.is_some() {
            return None;
        }
        let report_at = self.report_at.filter(|_| !self.is_settling);
        let agenda = self.agenda.iter().map(|later| later.at);
        agenda.chain(self.due_at()).chain(report_at).min()
    }

    fn hear(&mut self, topic: &str, payload: &[u8], now: Duration, _: &mut Out) {
        if topic.ends_with("/services") && self.broken_off.is_none() {
            self.command(payload, now);
        }
    }

    fn cut(&mut self) -> Option<Duration> {
        self.broken_off.is_some().then(|| self.delay(RESTART_MS))
    }

    fn settle(&mut self) {
        self.is_settling = true;
    }
}

impl Topics {
    fn of(gateway: &str, aircraft: &str) -> Self {
        let topic = |device: &str, name: &str| format!("thing/product/{device}/{name}");
        Self {
            of: [
                topic(aircraft, "osd"),
                topic(gateway, "osd"),
                topic(gateway, "events"),
                topic(aircraft, "state"),
                topic(aircraft, "events"),
                topic(gateway, "state"),
                topic(gateway, "events"),
            ],
            status: cloud_api::status(gateway),
            replies: cloud_api::services_reply(gateway),
        }
    }
}

#[cfg(test)]
#[path = "dock_tests.rs"]
mod tests;
