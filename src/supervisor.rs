//! What systemd is told (sd_notify(3), `Type=notify-reload`): that the broker serves, that it is alive, that it stops.
//! Under another supervisor, or none, nothing happens.

use crate::logging::RateLimit;
use sd_notify::NotifyState;
use std::time::Duration;

/// Clients that connect from now on are served.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The files are being read again; [`ready`] says when that is over.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the supervisor is not told of the reload"),
    }
}

/// The broker stops.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the process is alive, twice as often as its unit demands (`WatchdogSec=`); never ends. It is a task among those
/// that serve clients: when these are stuck, so is it, and systemd starts the broker again. That messages flow through the
/// routing core is for the broker's own watchdog to see.
pub async fn keep_telling() {
    let Some(wanted) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((wanted / 2).max(Duration::from_millis(1)));
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    static FAILED: RateLimit = RateLimit::per_second(1);
    if let Err(error) = sd_notify::notify(state)
        && FAILED.allow().is_some()
    {
        tracing::warn!(%error, "the supervisor cannot be told: NOTIFY_SOCKET cannot be written to");
    }
}
