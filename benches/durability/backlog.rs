//! What waits for clients: how fast they get it when they come back, and how a broker takes a restart with it.

use std::sync::Arc;
use std::time::Instant;

use crate::arrivals::Arrivals;
use crate::closed::{self, Amount};
use crate::contestant::Ending;
use crate::figures::{Figure, Measured};
use crate::host::Host;
use crate::publishing::{self, Published};
use crate::scenario::{Backlog, Scale};
use crate::spread::ratio;
use crate::{disk, fleet, process};

/// Sessions with messages, a crash or a stop, and everything again.
pub(crate) async fn restart(ending: Ending, scale: &Scale, host: &mut Host) -> anyhow::Result<Measured> {
    let published = fill(scale.restart, scale, host).await?;
    if ending == Ending::Kill {
        // So that it takes nothing from those who promise a second.
        tokio::time::sleep(host.contestant.lag()).await;
    }
    let stop = host.end(ending)?;
    let disk = disk::allocated(&host.data());

    let arrivals = Arc::new(Arrivals::new(scale.restart.sessions, scale.payload_bytes));
    let start = Instant::now();
    let first = host.start_again().await?;
    let resident = process::resident_kib(host.pid()).ok();
    let back = fleet::come_back(host.mqtt, &published.sent, &arrivals, start).await?;

    let mut figures = Vec::new();
    if ending == Ending::Term {
        figures.push(Figure::main("stopped s", stop.as_secs_f64(), 2));
    }
    figures.push(Figure::main("first CONNECT s", first.as_secs_f64(), 2));
    if back.gone == 0 {
        figures.push(Figure::main("all resumed s", back.all_back.as_secs_f64(), 2));
        figures.push(Figure::main("all delivered s", arrivals.last().as_secs_f64(), 2));
    }
    figures.push(Figure::side("disk MiB", disk as f64 / f64::from(1 << 20), 1));
    figures.extend(resident.map(|kib| Figure::side("resident MiB", kib as f64 / 1024.0, 0)));
    let mut measured = Measured::new(figures);
    let excused = if host.contestant.keeps_over(ending) { 0 } else { published.total() };
    if excused == 0 {
        measured.sessions_gone(back.gone);
    }
    measured.arrived(published.total(), &arrivals, excused);
    Ok(measured)
}

/// All subscribers come back at once.
pub(crate) async fn drain(scale: &Scale, host: &mut Host) -> anyhow::Result<Measured> {
    let published = fill(scale.drain, scale, host).await?;
    tokio::time::sleep(scale.lag(host.contestant)).await;

    let before = host.used()?;
    let arrivals = Arc::new(Arrivals::new(scale.drain.sessions, scale.payload_bytes));
    let back = fleet::come_back(host.mqtt, &published.sent, &arrivals, Instant::now()).await?;
    tokio::time::sleep(scale.lag(host.contestant)).await;
    let after = host.used()?;

    let (total, seconds) = (arrivals.distinct() as f64, arrivals.last().as_secs_f64());
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6;
    let mut figures = vec![
        Figure::main("delivered/s", ratio(total, seconds), 0),
        Figure::main("seconds", seconds, 2),
        Figure::main("CPU µs", ratio(cpu, total), 1),
    ];
    if let Some((after, before)) = after.commits.zip(before.commits) {
        figures.push(Figure::side("commits", after.saturating_sub(before) as f64, 0));
    }
    if let Some((after, before)) = after.written.zip(before.written) {
        figures.push(Figure::side("written B/message", ratio(after.saturating_sub(before) as f64, total), 0));
    }
    let mut measured = Measured::new(figures);
    measured.sessions_gone(back.gone);
    measured.arrived(published.total(), &arrivals, 0);
    Ok(measured)
}

/// Lets sessions subscribe and leave, and publishes to them.
async fn fill(backlog: Backlog, scale: &Scale, host: &Host) -> anyhow::Result<Published> {
    let Backlog { sessions, messages } = backlog;
    fleet::join_and_leave(host.mqtt, sessions).await?;
    let publishers = scale.publishers.min(sessions);
    let clients = publishing::connect(host.mqtt, publishers, sessions, scale.payload_bytes).await?;
    closed::publish(clients, sessions, scale.window, Amount::Messages(messages)).await
}
