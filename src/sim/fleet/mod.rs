//! A fleet of simulated docks and the backends that listen to it, as a load for a broker and as its judge.
//!
//! Everything is by the clock and from a seed: what is sent does not wait for what comes, and a run can be repeated.
//! Each message carries a mark of its sender, its number and its time (`stamp`), so that whoever hears it counts, for
//! each dock and stream, what was lost, came twice or out of order, and how late it was.
//!
//! Before the first connection: `settings` is what the fleet is like; `schedule` when each `stream` of a dock has
//! a message, and `payload` what is in it; `jobs` which uploads are begun. Who takes part, without a socket:
//! `dock` around the firmware of the demo's dock; `backend`, with `desk` for the conversations of them all and
//! `ask` for their words. On the wire: `packet` is the client's half of the protocol, `link` a connection, and
//! `actor` the task that each client is. What is counted: `book` what was done, `track` what was heard, and
//! `report` what that means, in `figures` and in a `table`.

mod actor;
mod ask;
mod backend;
mod book;
mod desk;
mod dock;
mod figures;
mod jobs;
mod link;
mod packet;
mod payload;
mod report;
mod schedule;
mod settings;
mod stamp;
mod stream;
mod table;
mod track;

pub use figures::Quantiles;
pub use packet::Version;
pub(crate) use packet::reason;
pub use report::{Report, Summary};
pub use settings::{Settings, WrongSettings};

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{self, Instant, MissedTickBehavior};

use backend::Backend;
use book::Book;
use desk::Desk;
use dock::Dock;
use link::Out;
use payload::Forms;
use stamp::Stamp;
use stream::Stream;
use track::Ears;

/// How long the backends may take to be there.
const ASSEMBLY: Duration = Duration::from_secs(15);
/// How long what is under way at the end may take to arrive, and how often to look.
const SETTLING: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The run did not come about.
#[derive(Debug, Error)]
pub enum FleetError {
    /// Without a backend there is nobody to judge by.
    #[error(
        "the backends cannot listen at {broker} ({reason}): start the broker there or name another with --broker, and \
         see that it lets simulate-backend-{first}-0 subscribe to thing/product/+/…"
    )]
    NoBackend {
        /// Where the broker should be.
        broker: std::net::SocketAddr,
        /// What came instead.
        reason: String,
        /// See [`Settings::first`].
        first: u32,
    },
}

/// What all parts of a run share.
#[derive(Debug)]
struct Fleet {
    settings: Settings,
    /// From where all times count.
    origin: Instant,
    /// See [`Stamp::run`].
    run: u16,
    forms: Forms,
    book: Book,
    /// Locked for a look-up at a time, never across an await, and never by who holds ears.
    desk: Mutex<Desk>,
}

/// What all clients are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Send and hear.
    Run,
    /// Send nothing new.
    Settle,
    /// Disconnect.
    Leave,
}

impl Fleet {
    fn new(settings: Settings) -> Self {
        Self {
            book: Book::new(settings.docks),
            origin: Instant::now(),
            // By the system's clock: two runs on one broker must not take each other's messages for their own.
            run: (super::now_ms() % u64::from(u16::MAX)) as u16,
            forms: Forms::new(),
            desk: Mutex::default(),
            settings,
        }
    }

    /// The time of the run.
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn instant(&self, at: Duration) -> Instant {
        self.origin + at
    }

    fn stamp(&self, stream: Stream, sender: u32, sequence: u32, now: Duration) -> Stamp {
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        Stamp { run: self.run, stream: stream as u8, sender, sequence, micros }
    }

    /// The QoS that a stream has in this run.
    fn qos(&self, stream: Stream) -> u8 {
        self.settings.qos.unwrap_or(stream.qos())
    }

    /// Publishes a message, and counts it. Whoever can do without knowing whether it went leaves that to the count of what
    /// was withheld.
    fn publish(&self, topic: &str, (stream, qos): (Stream, u8), out: &mut Out, payload: &[u8]) -> bool {
        self.publish_with(topic, (stream, qos), out, payload.len(), |buffer| buffer.extend_from_slice(payload))
    }

    /// The same, with a payload of `length` bytes that `fill` writes in its place.
    fn publish_with(
        &self,
        topic: &str,
        kind: (Stream, u8),
        out: &mut Out,
        length: usize,
        fill: impl FnOnce(&mut BytesMut),
    ) -> bool {
        let sent = out.publish(topic, kind, length, fill).is_ok();
        if sent {
            self.book.sent(kind.0).note(length);
        } else {
            self.book.withheld.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }
}

/// Runs a fleet until its time is over or `stop` is ready, and says what became of it. `tell` gets a line of progress
/// now and then.
///
/// # Errors
/// If the backends cannot listen, and then before any dock connects.
pub async fn run(
    settings: Settings,
    stop: impl Future<Output = ()>,
    tell: impl Fn(&str),
) -> Result<Report, FleetError> {
    let fleet = Arc::new(Fleet::new(settings));
    let (phase, follow) = watch::channel(Phase::Run);
    let mut stop = pin!(stop);
    let mut clients = JoinSet::new();
    let listening = fleet.now();
    let audience = assemble(&fleet, &follow, &mut clients).await?;
    let all_online = fleet.now() + fleet.settings.connects_at(fleet.settings.docks);
    let faults: BTreeMap<u32, _> = fleet.settings.roster().into_iter().collect();
    let now = fleet.now();
    for (dock, fault) in faults {
        let at = now + fleet.settings.connects_at(dock);
        let dock = Dock::new(Arc::clone(&fleet), dock, fault);
        clients.spawn(actor::play(dock, Arc::clone(&fleet), at, follow.clone()));
    }
    tokio::select! {
        () = &mut stop => {}
        () = lapse(&fleet, all_online) => {}
        () = keep_telling(&fleet, &audience, tell) => {}
    }
    let lasted = fleet.now().saturating_sub(listening);
    // Receivers are there until they have left.
    let _ = phase.send(Phase::Settle);
    settle(&fleet, &audience).await;
    let report = Report::of(&fleet, &audience, lasted);
    let _ = phase.send(Phase::Leave);
    clients.join_all().await;
    Ok(report)
}

/// Lets the backends connect and subscribe, and returns their ears.
async fn assemble(
    fleet: &Arc<Fleet>,
    follow: &watch::Receiver<Phase>,
    clients: &mut JoinSet<()>,
) -> Result<Vec<Arc<Mutex<Ears>>>, FleetError> {
    let settings = &fleet.settings;
    let ears = || Arc::new(Mutex::new(Ears::new(settings.docks as usize)));
    let audience: Vec<_> = (0..if settings.shared { 1 } else { settings.backends }).map(|_| ears()).collect();
    // Uploads and commands begin when all docks should be there.
    let begin = fleet.now() + settings.connects_at(settings.docks) + Duration::from_millis(200);
    for index in 0..settings.backends {
        let ears = Arc::clone(&audience[index as usize % audience.len()]);
        let backend = Backend::new(Arc::clone(fleet), index, ears, begin);
        clients.spawn(actor::play(backend, Arc::clone(fleet), Duration::ZERO, follow.clone()));
    }
    let connections = &fleet.book.connections;
    while connections.online.load(Ordering::Relaxed) < u64::from(settings.backends) {
        let refusal = connections.refusals().into_keys().chain(connections.losses().into_keys()).next();
        if refusal.is_some() || fleet.now() > ASSEMBLY {
            return Err(FleetError::NoBackend {
                broker: settings.broker,
                reason: refusal.unwrap_or_else(|| "no answer".to_owned()),
                first: settings.first,
            });
        }
        time::sleep(LOOK_EVERY).await;
    }
    Ok(audience)
}

/// Ready when the time of the run is over, if it has one.
async fn lapse(fleet: &Fleet, all_online: Duration) {
    match fleet.settings.duration {
        Some(duration) => time::sleep_until(fleet.instant(all_online + duration)).await,
        None => std::future::pending().await,
    }
}

/// Tells how it goes, for ever.
async fn keep_telling(fleet: &Fleet, audience: &[Arc<Mutex<Ears>>], tell: impl Fn(&str)) {
    let mut tick = time::interval(fleet.settings.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut before = figures::Glance::of(fleet, audience);
    loop {
        tick.tick().await;
        let now = figures::Glance::of(fleet, audience);
        tell(&now.line(&before));
        before = now;
    }
}

/// Waits until all that was sent has come, or the time for that is over.
async fn settle(fleet: &Fleet, audience: &[Arc<Mutex<Ears>>]) {
    let until = fleet.now() + SETTLING;
    let mut sent_before = None;
    loop {
        let sent = fleet.book.data_sent();
        let has_come = audience.iter().all(|ears| ears.lock().received >= sent);
        // Twice the same: a dock may not have heard yet that it is to send nothing new.
        let is_quiet = has_come && fleet.desk.lock().is_quiet(&fleet.book) && sent_before == Some(sent);
        if is_quiet || fleet.now() >= until {
            return;
        }
        sent_before = Some(sent);
        time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::fault::Fault;

    /// All that is known of a run before its first connection: who has which fault, the messages of every dock with their
    /// sizes, the commands and the uploads.
    fn plan(seed: u64) -> Vec<String> {
        let faults = vec![(Fault::Stall, 0.2), (Fault::Late, 0.1)];
        let settings = Settings { seed, faults, flying: 5, ..Settings::of(10) };
        let forms = Forms::new();
        let mut plan: Vec<String> = settings.roster().into_iter().map(|dock| format!("{dock:?}")).collect();
        for dock in 0..settings.docks {
            let is_flying = settings.is_flying(dock);
            let messages = schedule::Schedule::of_dock(seed, dock, is_flying).take(200);
            plan.extend(messages.map(|due| format!("{due:?} {}", forms.of(due.stream, due.draw).unwrap().length())));
            let commands = schedule::Schedule::of_commands(seed, dock, is_flying).into_iter().flatten().take(50);
            plan.extend(commands.map(|due| format!("{due:?}")));
        }
        plan.extend(jobs::Jobs::new(&settings).unwrap().take(100).map(|job| format!("{job:?}")));
        plan
    }

    #[test]
    fn a_seed_gives_the_same_run_again_and_another_seed_another() {
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }
}
