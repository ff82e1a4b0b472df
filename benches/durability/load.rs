//! Publishing, as it is measured: what it costs until it is acknowledged, and whether it is there afterwards.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use crate::arrivals::Arrivals;
use crate::client::Client;
use crate::closed::{self, Amount};
use crate::figures::{Figure, Measured};
use crate::host::{Host, Used};
use crate::publishing::{self, Published};
use crate::scenario::{Scale, Shape, Subscribers};
use crate::spread::ratio;
use crate::{disk, fleet, paced, process};

/// Runs one shape of publishing.
pub(crate) async fn run(shape: Shape, scale: &Scale, host: &mut Host) -> anyhow::Result<Measured> {
    let (publishers, window) = if shape.single { (1, 1) } else { (scale.publishers, scale.window) };
    let sessions = publishers;
    let arrivals = Arc::new(Arrivals::new(sessions, scale.payload_bytes));
    let mut online = match shape.subscribers {
        Subscribers::Away => {
            fleet::join_and_leave(host.mqtt, sessions).await?;
            JoinSet::new()
        }
        Subscribers::Kept => listen(fleet::join(host.mqtt, sessions, false).await?, &arrivals),
        Subscribers::Clean => listen(fleet::join(host.mqtt, sessions, true).await?, &arrivals),
    };
    let clients = publishing::connect(host.mqtt, publishers, sessions, scale.payload_bytes).await?;
    tokio::time::sleep(scale.lag(host.contestant)).await; // the sessions themselves are no part of the load

    process::forget_peak(host.pid());
    let generator = process::cpu_time(std::process::id())?;
    let before = host.used()?;
    let published = match shape.paced {
        true => paced::publish(clients, scale.rate, scale.time).await?,
        false => closed::publish(clients, sessions, window, Amount::Time(scale.time)).await?,
    };
    let at_end = host.used()?;
    let generator = process::cpu_time(std::process::id())?.saturating_sub(generator);
    if shape.subscribers != Subscribers::Away {
        arrivals.reach(published.total()).await;
    }
    tokio::time::sleep(scale.lag(host.contestant)).await;
    let after = Used { commits: at_end.commits, ..host.used()? };

    let mut figures = figures(&published, before, after);
    figures.push(Figure::side("disk MiB", disk::allocated(&host.data()) as f64 / f64::from(1 << 20), 1));
    let peak = process::peak_resident_kib(host.pid()).ok();
    figures.extend(peak.map(|kib| Figure::side("peak MiB", kib as f64 / 1024.0, 0)));
    let load = 100.0 * ratio(generator.as_secs_f64(), published.elapsed.as_secs_f64());
    figures.push(Figure::side("generator %", load, 0));

    let mut measured = Measured::new(figures);
    match shape.subscribers {
        Subscribers::Away => {
            let back = fleet::come_back(host.mqtt, &published.sent, &arrivals, Instant::now()).await?;
            measured.sessions_gone(back.gone);
        }
        Subscribers::Kept | Subscribers::Clean => {
            while let Some(ended) = online.try_join_next() {
                if let Err(error) = ended? {
                    measured.faults.push(format!("{error:#}"));
                }
            }
        }
    }
    measured.arrived(published.total(), &arrivals, 0);
    Ok(measured)
}

/// Receives for all of these clients until the returned set is dropped.
fn listen(clients: Vec<(usize, Client)>, arrivals: &Arc<Arrivals>) -> JoinSet<anyhow::Result<()>> {
    let mut listening = JoinSet::new();
    for (session, mut client) in clients {
        let arrivals = Arc::clone(arrivals);
        listening.spawn(async move {
            loop {
                // It returns when nothing has come for a while, which may be before the first message.
                arrivals.receive(&mut client, session, u64::MAX).await?;
            }
        });
    }
    listening
}

fn figures(published: &Published, before: Used, after: Used) -> Vec<Figure> {
    let (total, seconds) = (published.total() as f64, published.elapsed.as_secs_f64());
    let mut figures = vec![
        Figure::main("acknowledged/s", ratio(total, seconds), 0),
        Figure::main("p50 ms", published.millis(0.5), 2),
        Figure::main("p99 ms", published.millis(0.99), 2),
        Figure::side("max ms", published.millis(1.0), 1),
        Figure::main("CPU µs", ratio(after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6, total), 1),
    ];
    if let Some((after, before)) = after.commits.zip(before.commits) {
        let commits = after.saturating_sub(before) as f64;
        figures.push(Figure::side("commits/s", ratio(commits, seconds), 0));
        figures.push(Figure::side("publishes/commit", ratio(total, commits), 1));
    }
    if let Some((after, before)) = after.written.zip(before.written) {
        figures.push(Figure::side("written B/publish", ratio(after.saturating_sub(before) as f64, total), 0));
    }
    figures
}
