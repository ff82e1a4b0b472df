//! What all simulated clients do alike: connect, act by the clock and by what they hear, connect again, leave.
//!
//! One task a client; its next act is one timer in the runtime's wheel, whatever the number of its streams.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::link::{Heard, Link, LinkError, Out};
use super::packet::{Connect, Version};
use super::{Fleet, Phase};

/// A client's part.
pub(super) trait Role: Send + 'static {
    fn client_id(&self) -> &str;
    fn version(&self) -> Version;
    /// Seconds.
    fn keep_alive(&self) -> u16;
    fn filters(&self) -> Vec<String>;
    /// The connection is accepted and all subscriptions stand.
    fn online(&mut self, now: Duration, out: &mut Out);
    /// The connection has ended.
    fn offline(&mut self, out: &Out);
    /// Sends all that is due.
    fn act(&mut self, now: Duration, out: &mut Out);
    /// When something is due next.
    fn wake(&self) -> Option<Duration>;
    /// A message came.
    fn hear(&mut self, topic: &str, payload: &[u8], now: Duration, out: &mut Out);
    /// Whether the connection is to be broken off without a DISCONNECT, once all is acknowledged, and for how long.
    fn cut(&mut self) -> Option<Duration>;
    /// From now on, only what was begun is to be ended.
    fn settle(&mut self);
}

/// How a connection ended.
enum End {
    /// As everybody leaves.
    Leave,
    /// On purpose, for so long.
    Cut(Duration),
    Lost(LinkError),
}

/// The first pause after a failure, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Plays a part from `at` until all leave.
pub(super) async fn play(mut role: impl Role, fleet: Arc<Fleet>, at: Duration, mut phase: watch::Receiver<Phase>) {
    let mut pause = at.saturating_sub(fleet.now());
    let mut failures = 0_u32;
    let mut was_online = false;
    let (user, filters) = (fleet.settings.user_of(role.client_id()), role.filters());
    loop {
        let is_over = phase.wait_for(|phase| *phase != Phase::Run);
        if time::timeout(pause, is_over).await.is_ok() {
            return;
        }
        let connections = &fleet.book.connections;
        let begun = Instant::now();
        let who = Connect {
            client_id: role.client_id(),
            keep_alive: role.keep_alive(),
            user: user.as_deref(),
            password: fleet.settings.password.as_ref().map(|password| password.expose()),
        };
        pause = match Link::open(fleet.settings.broker, role.version(), &who, &filters).await {
            Ok((mut link, keep_alive)) => {
                if *phase.borrow() != Phase::Run {
                    return link.leave().await;
                }
                failures = 0;
                let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                connections.took.lock().saturating_record(took);
                connections.accepted.fetch_add(1, Ordering::Relaxed);
                connections.online.fetch_add(1, Ordering::Relaxed);
                if std::mem::replace(&mut was_online, true) {
                    connections.again.fetch_add(1, Ordering::Relaxed);
                }
                let end = talk(&mut role, &mut link, &fleet, keep_alive, &mut phase).await;
                connections.online.fetch_sub(1, Ordering::Relaxed);
                role.offline(&link.out);
                match end {
                    End::Leave => return link.leave().await,
                    End::Cut(pause) => {
                        connections.cut.fetch_add(1, Ordering::Relaxed);
                        pause
                    }
                    End::Lost(reason) => {
                        connections.lost(reason.to_string());
                        BACK_OFF.0
                    }
                }
            }
            Err(reason) => {
                connections.refused(reason.to_string());
                failures += 1;
                BACK_OFF.0.saturating_mul(1 << failures.min(5)).min(BACK_OFF.1)
            }
        };
    }
}

async fn talk(
    role: &mut impl Role,
    link: &mut Link,
    fleet: &Fleet,
    keep_alive: u16,
    phase: &mut watch::Receiver<Phase>,
) -> End {
    match try_talk(role, link, fleet, keep_alive, phase).await {
        Ok(end) => end,
        Err(reason) => End::Lost(reason),
    }
}

async fn try_talk(
    role: &mut impl Role,
    link: &mut Link,
    fleet: &Fleet,
    keep_alive: u16,
    phase: &mut watch::Receiver<Phase>,
) -> Result<End, LinkError> {
    role.online(fleet.now(), &mut link.out);
    let keep_alive = (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()));
    let mut quiet_since = fleet.now();
    let mut timer = pin!(time::sleep(Duration::ZERO));
    loop {
        match *phase.borrow_and_update() {
            Phase::Run => {}
            Phase::Settle => role.settle(),
            Phase::Leave => return Ok(End::Leave),
        }
        let now = fleet.now();
        role.act(now, &mut link.out);
        if link.out.has_more() {
            quiet_since = now;
            link.write()?;
        } else if keep_alive.is_some_and(|keep_alive| quiet_since + keep_alive <= now) {
            quiet_since = now;
            if !link.out.ping() {
                return Err(LinkError::Silent("PINGRESP"));
            }
            link.write()?;
        }
        if link.out.is_settled()
            && let Some(pause) = role.cut()
        {
            return Ok(End::Cut(pause));
        }
        let ping_at = keep_alive.map(|keep_alive| quiet_since + keep_alive);
        if let Some(wake) = role.wake().into_iter().chain(ping_at).min() {
            let wake = fleet.instant(wake);
            if timer.deadline() != wake {
                timer.as_mut().reset(wake);
            }
        }
        tokio::select! {
            turned = link.turn() => {
                turned?;
                let now = fleet.now();
                link.hear(|heard, out| match heard {
                    Heard::Message { topic, payload } => {
                        fleet.book.heard.note(payload.len());
                        role.hear(topic, payload, now, out);
                    }
                    Heard::Denied { stream, code } => fleet.book.note_denied(stream, code),
                })?;
            }
            // Without anything to wake for it has elapsed long ago, and must not be asked again.
            () = timer.as_mut(), if !timer.is_elapsed() => {}
            // The sender lives until all have left.
            _ = phase.changed() => {}
        }
    }
}
