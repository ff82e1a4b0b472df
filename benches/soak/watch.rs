//! The run: the population churns, and now and then somebody looks how large the broker is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use dockgate::bench::{Version, process};
use tokio::time::{self, Instant, MissedTickBehavior};

use crate::churn::{Pace, World, churn};
use crate::client::Client;
use crate::client::packet::{self, Message};
use crate::report::{Report, Sample};
use crate::subject::{Live, Subject};

/// How long a broker may take to forget the last sessions: their longest expiry, and some seconds.
const FORGETTING: Duration = Duration::from_secs(25);
/// The files are written anew after so many samples.
const WRITE_EVERY: usize = 6;

/// What is to be watched, for how long.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) pace: Pace,
    pub(crate) time: Duration,
    /// The time from one sample to the next.
    pub(crate) every: Duration,
    pub(crate) json: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
}

impl Watch {
    /// Runs until the time is over, Ctrl-C, or the end of the broker.
    pub(crate) async fn run(&self, mut subject: Subject) -> anyhow::Result<Report> {
        let world = Arc::new(World::new(subject.address));
        let start = Instant::now();
        let end = start + self.time;
        let before = subject.live()?;
        let mut report = Report::new(self.pace, self.every);
        // Not one of the population: who breaks off may take with it what it said last.
        let mut cleaner = Client::open_clean(world.address, "soak-cleaner", 64).await?;
        let population = tokio::spawn(churn(Arc::clone(&world), self.pace, end));
        let mut tick = time::interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                stopped = tokio::signal::ctrl_c() => { stopped?; break }
            }
            if let Some(how) = subject.ended() {
                self.write(&report)?;
                bail!("the broker {how}");
            }
            clear(&mut cleaner, world.stale_retained()).await?;
            report.samples.push(self.sample(&subject, &world, start)?);
            report.done = world.done();
            report.faults = world.faults();
            if report.samples.len().is_multiple_of(WRITE_EVERY) {
                self.write(&report)?;
            }
            if Instant::now() >= end {
                break;
            }
        }
        // At the end of the time, the population leaves by itself; after Ctrl-C it is gone at once.
        let is_over = Instant::now() >= end;
        match is_over {
            true => population.await.context("the population")?,
            false => population.abort(),
        }
        report.done = world.done();
        report.faults = world.faults();
        clear(&mut cleaner, world.all_retained()).await?;
        cleaner.send(&packet::DISCONNECT).await?;
        drop(cleaner);
        if let Some(before) = before {
            let left = wait_until_forgotten(&subject, before).await?;
            report.left = Some(left);
            if is_over && left != before {
                report.faults.push(format!("the broker has not forgotten all who have gone: {left:?}"));
            }
        }
        report.at_end = Some(subject.memory()?);
        self.write(&report)?;
        Ok(report)
    }

    fn sample(&self, subject: &Subject, world: &World, start: Instant) -> anyhow::Result<Sample> {
        Ok(Sample {
            seconds: start.elapsed().as_secs_f64(),
            memory: subject.memory()?,
            cpu_seconds: process::cpu_time(subject.pid)?.as_secs_f64(),
            live: subject.live()?,
            done: world.done(),
        })
    }

    fn write(&self, report: &Report) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            std::fs::write(path, serde_json::to_vec(report)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        match &self.svg {
            Some(path) => report.draw(path),
            None => Ok(()),
        }
    }
}

/// Removes the retained messages of these topics.
async fn clear(cleaner: &mut Client, topics: Vec<String>) -> anyhow::Result<()> {
    for topic in topics {
        let nothing = Message { topic: &topic, payload: &[], qos: 0, retain: true };
        cleaner.send(&packet::publish(Version::V311, 0, &nothing)).await?;
    }
    Ok(())
}

/// Waits until there is no more than there was before, or the time for that is over, and says what there is.
async fn wait_until_forgotten(subject: &Subject, before: Live) -> anyhow::Result<Live> {
    let start = Instant::now();
    loop {
        let live = subject.live()?.unwrap_or_default();
        if live == before || start.elapsed() > FORGETTING {
            return Ok(live);
        }
        time::sleep(Duration::from_millis(250)).await;
    }
}
