//! What became of a run: figures, and what of them should not be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::Fleet;
use super::ask::Command;
use super::book::{Book, Page};
use super::desk::Desk;
use super::figures::{Quantiles, all_latencies, latency, milliseconds};
use super::stream::Stream;
use super::track::Ears;

/// At most so many docks and streams are named that something is wrong with.
const NAMED: usize = 20;
/// MQTT 5's "quota exceeded", with which a broker may acknowledge the start that it refuses.
const QUOTA_EXCEEDED: u8 = 0x97;

/// What became of a run. Its JSON has the same figures as its text.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub(super) broker: String,
    pub(super) seed: u64,
    pub(super) docks: u32,
    pub(super) flying: u32,
    pub(super) backends: u32,
    pub(super) shared: bool,
    /// From the first connection to the last message that was due.
    pub(super) seconds: f64,
    pub(super) connections: Connections,
    /// PUBLISH packets to the broker.
    pub(super) published: Total,
    /// PUBLISH packets from the broker.
    pub(super) heard: Total,
    /// The data of docks, by stream.
    pub(super) data: Vec<Data>,
    /// Of all data.
    pub(super) latency_ms: Option<Quantiles>,
    /// What else was published, by stream.
    pub(super) other: Vec<Other>,
    pub(super) lost: Lost,
    pub(super) commands: Vec<Commands>,
    pub(super) uploads: Uploads,
    /// Docks that have each fault.
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) schedule: Schedule,
    /// Where data was lost, came twice or out of order, the first [`NAMED`] of them.
    pub(super) named: Vec<Named>,
    /// Messages of others on the same topics.
    pub(super) foreign: u64,
    /// What should not have happened; nothing if all is well.
    pub(super) flaws: Vec<String>,
}

/// The data that docks publish and all backends hear, in a few figures.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Messages that were published.
    pub sent: u64,
    /// How many all who listen should have heard together.
    pub expected: u64,
    /// Different messages that they did hear.
    pub received: u64,
    /// Messages of QoS 1 and above that were acknowledged and not heard.
    pub lost_qos1: u64,
    /// Messages that came twice.
    pub duplicated: u64,
    /// From the first connection to the last message that was due.
    pub seconds: f64,
    /// From a dock's write, which is by the clock, to a backend's read.
    pub latency_ms: Option<Quantiles>,
    /// Messages that this process sent more than 10 ms after their time.
    pub late: u64,
    /// What should not have happened.
    pub flaws: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Total {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Connections {
    /// With their CONNACK and SUBACK.
    pub(super) accepted: u64,
    /// By reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// Ended by somebody else, by reason.
    pub(super) lost: BTreeMap<String, u64>,
    /// Broken off on purpose.
    pub(super) cut: u64,
    /// Accepted after the client had had one before.
    pub(super) reconnects: u64,
    /// From the SYN to the SUBACK.
    pub(super) took_ms: Option<Quantiles>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Data {
    pub(super) stream: &'static str,
    pub(super) qos: u8,
    pub(super) sent: u64,
    pub(super) bytes: u64,
    /// How many all who listen should have heard together.
    pub(super) expected: u64,
    /// Different messages that they did hear.
    pub(super) received: u64,
    /// The rest, without those of which nobody knows.
    pub(super) lost: u64,
    /// Not heard, and not acknowledged when the dock's connection ended.
    pub(super) unsettled: u64,
    /// Heard more often than they were sent.
    pub(super) duplicated: u64,
    /// Sent twice on purpose.
    pub(super) sent_twice: u64,
    /// Heard after one that was sent later.
    pub(super) out_of_order: u64,
    pub(super) latency_ms: Option<Quantiles>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Other {
    pub(super) stream: &'static str,
    #[serde(flatten)]
    pub(super) sent: Total,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Lost {
    pub(super) qos0: u64,
    pub(super) qos1: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Commands {
    pub(super) method: Command,
    pub(super) sent: u64,
    pub(super) ok: u64,
    /// With 325009, which is the broker's.
    pub(super) refused: u64,
    /// With another code, by code.
    pub(super) failed: BTreeMap<i64, u64>,
    /// Without an answer, as the dock chose or was away.
    pub(super) ignored: u64,
    /// Without an answer, and nobody knows why.
    pub(super) unanswered: u64,
    /// Not answered yet.
    pub(super) open: u64,
    pub(super) latency_ms: Option<Quantiles>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Uploads {
    pub(super) wanted: u64,
    pub(super) ok: u64,
    pub(super) failed: BTreeMap<i64, u64>,
    pub(super) canceled: u64,
    /// By the dock, by code.
    pub(super) rejected: BTreeMap<i64, u64>,
    /// By the broker.
    pub(super) refused: u64,
    pub(super) unanswered: u64,
    pub(super) stalled: u64,
    /// Not over yet.
    pub(super) running: u64,
    /// Progress after the end.
    pub(super) late_events: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Schedule {
    /// The longest that a message was sent after its time, by this process.
    pub(super) latest_ms: f64,
    /// Messages that were sent more than 10 ms after their time.
    pub(super) late: u64,
    /// Messages that were not sent as the broker took no more.
    pub(super) withheld: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Named {
    pub(super) dock: String,
    pub(super) stream: &'static str,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Report {
    pub(super) fn of(fleet: &Fleet, audience: &[Arc<Mutex<Ears>>], lasted: Duration) -> Self {
        let Fleet { settings, book, .. } = fleet;
        let mut named = Vec::new();
        let data_streams = Stream::ALL.into_iter().take(Stream::DATA);
        let data: Vec<Data> = data_streams.map(|stream| Data::of(fleet, audience, stream, &mut named)).collect();
        named.truncate(NAMED);
        let total = |streams: &[Stream]| {
            streams.iter().map(|stream| book.sent(*stream).get()).fold(Total::default(), |all, (messages, bytes)| {
                Total { messages: all.messages + messages, bytes: all.bytes + bytes }
            })
        };
        let mut lost = Lost::default();
        for data in &data {
            *if data.qos == 0 { &mut lost.qos0 } else { &mut lost.qos1 } += data.lost;
        }
        let mut faults = BTreeMap::new();
        for (_, fault) in settings.roster() {
            if let Some(fault) = fault {
                *faults.entry(fault.name()).or_default() += 1;
            }
        }
        let desk = fleet.desk.lock();
        let (messages, bytes) = book.heard.get();
        let mut report = Self {
            broker: settings.broker.to_string(),
            seed: settings.seed,
            docks: settings.docks,
            flying: settings.flying,
            backends: settings.backends,
            shared: settings.shared,
            seconds: (lasted.as_secs_f64() * 10.0).round() / 10.0,
            connections: Connections::of(book),
            published: total(&Stream::ALL),
            heard: Total { messages, bytes },
            other: Stream::ALL[Stream::DATA..]
                .iter()
                .map(|stream| Other { stream: stream.name(), sent: total(&[*stream]) })
                .collect(),
            data,
            latency_ms: Quantiles::of(&all_latencies(audience)),
            lost,
            commands: Command::ALL.into_iter().filter_map(|command| Commands::of(&desk, command, book)).collect(),
            uploads: Uploads::of(&desk),
            faults,
            schedule: Schedule {
                latest_ms: milliseconds(u64::try_from(book.lag().as_micros()).unwrap_or(u64::MAX)),
                late: get(&book.late),
                withheld: get(&book.withheld),
            },
            named,
            foreign: audience.iter().map(|ears| ears.lock().foreign).sum(),
            flaws: Vec::new(),
        };
        report.flaws = report.judge(&desk, book);
        report
    }

    /// The data of all docks together.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let sum = |count: fn(&Data) -> u64| self.data.iter().map(count).sum();
        Summary {
            sent: sum(|data| data.sent),
            expected: sum(|data| data.expected),
            received: sum(|data| data.received),
            lost_qos1: self.lost.qos1,
            duplicated: sum(|data| data.duplicated),
            seconds: self.seconds,
            latency_ms: self.latency_ms,
            late: self.schedule.late,
            flaws: self.flaws.clone(),
        }
    }

    /// Whether nothing happened that should not have.
    pub fn is_well(&self) -> bool {
        self.flaws.is_empty()
    }

    fn judge(&self, desk: &Desk, book: &Book) -> Vec<String> {
        let mut flaws = Vec::new();
        let mut flaw = |count: u64, what: fmt::Arguments<'_>| {
            if count > 0 {
                flaws.push(format!("{count} {what}"));
            }
        };
        for (reason, count) in &self.connections.refused {
            flaw(*count, format_args!("connections were refused: {reason}"));
        }
        for (reason, count) in &self.connections.lost {
            flaw(*count, format_args!("connections were lost: {reason}"));
        }
        flaw(self.lost.qos1, format_args!("messages of QoS 1 were lost"));
        flaw(self.data.iter().map(|data| data.duplicated).sum(), format_args!("messages came twice"));
        if !self.shared {
            // Members of a group may hear in any order among themselves.
            flaw(self.data.iter().map(|data| data.out_of_order).sum(), format_args!("messages came out of order"));
        }
        flaw(
            self.commands.iter().map(|commands| commands.unanswered + commands.open).sum(),
            format_args!("commands were not answered"),
        );
        for ((stream, code), count) in book.denied() {
            if (stream, code) != (Stream::Command.name(), QUOTA_EXCEEDED) {
                flaw(count, format_args!("messages on {stream} were acknowledged with {code:#04x} and not taken"));
            }
        }
        flaw(self.schedule.withheld, format_args!("messages were not sent, as the broker took no more"));
        flaw(desk.surplus, format_args!("replies came to commands that had one, or that were given up"));
        flaw(desk.unreadable, format_args!("replies or progress events could not be read"));
        flaws
    }
}

impl Connections {
    fn of(book: &Book) -> Self {
        let counts = &book.connections;
        let (refused, lost) = (counts.refusals(), counts.losses());
        Self {
            accepted: get(&counts.accepted),
            reconnects: get(&counts.again),
            refused,
            lost,
            cut: get(&counts.cut),
            took_ms: Quantiles::of(&counts.took.lock()),
        }
    }
}

impl Data {
    fn of(fleet: &Fleet, audience: &[Arc<Mutex<Ears>>], stream: Stream, named: &mut Vec<Named>) -> Self {
        let qos = fleet.qos(stream);
        let listeners = audience.len() as u64;
        let count = |counts: fn(&Page) -> &[std::sync::atomic::AtomicU32; Stream::DATA], dock| {
            u64::from(counts(fleet.book.dock(dock))[stream.index()].load(Ordering::Relaxed))
        };
        let mut data = Self {
            stream: stream.name(),
            qos,
            sent: 0,
            bytes: fleet.book.sent(stream).get().1,
            expected: 0,
            received: 0,
            lost: 0,
            unsettled: 0,
            duplicated: 0,
            sent_twice: 0,
            out_of_order: 0,
            latency_ms: Quantiles::of(&latency(audience, stream)),
        };
        for dock in 0..fleet.settings.docks {
            let (sent, repeated) = (count(|page| &page.sent, dock), count(|page| &page.repeated, dock));
            let unsettled = if qos > 0 { count(|page| &page.unsettled, dock) } else { 0 };
            data.sent += sent;
            data.expected += sent * listeners;
            data.sent_twice += repeated;
            let mut here =
                Named { dock: String::new(), stream: stream.name(), lost: 0, duplicated: 0, out_of_order: 0 };
            for ears in audience {
                let track = ears.lock().track(dock as usize, stream);
                let missing = sent.saturating_sub(track.received.into());
                data.received += u64::from(track.received);
                data.unsettled += missing.min(unsettled);
                here.lost += missing.saturating_sub(unsettled);
                here.duplicated += u64::from(track.repeated).saturating_sub(repeated);
                here.out_of_order += u64::from(track.disordered);
            }
            data.lost += here.lost;
            data.duplicated += here.duplicated;
            data.out_of_order += here.out_of_order;
            if here.lost + here.duplicated + here.out_of_order > 0 && named.len() < NAMED {
                named.push(Named { dock: fleet.settings.gateway(dock), ..here });
            }
        }
        data
    }
}

impl Commands {
    fn of(desk: &Desk, method: Command, book: &Book) -> Option<Self> {
        let fate = desk.fates.get(&method)?;
        let (excused, open) = desk.open(method, book);
        Some(Self {
            method,
            sent: fate.sent,
            ok: fate.ok,
            refused: fate.refused,
            failed: fate.codes.clone(),
            ignored: fate.excused + excused,
            unanswered: fate.unanswered,
            open,
            latency_ms: Quantiles::of(&fate.took),
        })
    }
}

impl Uploads {
    fn of(desk: &Desk) -> Self {
        let outcome = &desk.outcome;
        Self {
            wanted: outcome.wanted,
            ok: outcome.ok,
            failed: outcome.failed.clone(),
            canceled: outcome.canceled,
            rejected: outcome.rejected.clone(),
            refused: outcome.refused,
            unanswered: outcome.unanswered,
            stalled: outcome.stalled,
            running: desk.running(),
            late_events: outcome.late_events,
        }
    }
}
