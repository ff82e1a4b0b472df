//! A fleet that grows: what its docks cost while they are silent, what happens when they all come back at once, and how
//! its traffic fares.

use std::time::Duration;

use anyhow::{Context, bail};
use dockgate::bench::process;
use dockgate::sim::fleet::{self, Settings, Version};
use serde_json::Value;

use crate::brokers::{Broker, Running};
use crate::client::Client;
use crate::crowd::{Coming, Crowd, backend_filters};
use crate::figures::Measured;
use crate::{Times, bounded};

/// Connected first and not counted, so that threads, pools and tables which every broker allocates once are there.
const WARM_UP: usize = 50;
/// Where the numbers of those begin.
const WARM_UP_FIRST: usize = 900_000_000;
/// Docks that connect at the same time when nothing has happened.
const AT_A_TIME: usize = 100;
/// Docks that join the traffic a second: fewer than rumqttd lets in, one a millisecond.
const RAMP: u32 = 800;
/// Of ten docks, so many are in flight, and these cause most of the traffic.
const FLYING_OF_TEN: u32 = 1;
/// The first moments of full traffic, which are not counted in CPU time.
const ONSET: Duration = Duration::from_millis(500);

/// Backends, and whether they share what comes.
const ALONE: (u32, bool) = (1, false);
const GROUP: (u32, bool) = (10, true);

/// Measures one broker with so many docks.
pub(crate) async fn measure(broker: &Broker, docks: usize, times: Times) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    let mut running = broker.start()?;
    let were_all_there = presence(&mut running, docks, times.settle, &mut measured).await;
    if let Err(error) = &were_all_there {
        measured.note(format!("{error:#}"));
    }
    if !were_all_there.unwrap_or(false) {
        // What it could not carry must not keep it from what comes next.
        running = broker.start()?;
    }
    for (backends, shared) in [ALONE, GROUP] {
        if let Err(error) = bounded(load(&running, docks, (backends, shared), times.traffic, &mut measured)).await {
            measured.note(format!("traffic to {backends} backend(s): {error:#}"));
        }
        if let Some(how) = running.ended() {
            measured.note(format!("traffic to {backends} backend(s): the broker {how}"));
            running = broker.start()?;
        }
    }
    Ok(measured)
}

/// What it costs that docks are there, and that all come back. False if not all did.
async fn presence(
    running: &mut Running,
    docks: usize,
    settle: Duration,
    measured: &mut Measured,
) -> anyhow::Result<bool> {
    let (address, pid) = (running.address, running.pid.context("no process to look at")?);
    let calm = Coming { at_a_time: Some(AT_A_TIME), kept: false };
    let _warm = bounded(Crowd::come(address, WARM_UP_FIRST..WARM_UP_FIRST + WARM_UP, calm)).await?;
    let mut backend = Client::open_clean(address, "growth-backend", 1024).await?;
    backend.subscribe(&backend_filters(), 1).await?;
    tokio::time::sleep(settle).await;

    let (memory, cpu) = (process::resident_kib(pid)?, process::cpu_time(pid)?);
    let crowd = bounded(Crowd::come(address, 1..docks + 1, calm)).await.context("connecting")?;
    measured.add("all there s", crowd.all.as_secs_f64());
    tokio::time::sleep(settle).await;
    let resident = process::resident_kib(pid)?;
    let spent = process::cpu_time(pid)?.saturating_sub(cpu);
    measured.add("CPU ms/dock", spent.as_secs_f64() * 1000.0 / docks as f64);
    measured.add("resident MiB", resident as f64 / 1024.0);
    measured.add("KiB/dock", resident.saturating_sub(memory) as f64 / docks as f64);

    crowd.drop_all()?;
    let storm = Coming { at_a_time: None, kept: false };
    let back = bounded(Crowd::come(address, 1..docks + 1, storm)).await;
    let all_are_back = back.is_ok();
    match back {
        Ok(crowd) => {
            measured.add("all back s", crowd.all.as_secs_f64());
            measured.add("worst CONNECT s", crowd.worst_connect.as_secs_f64());
            if crowd.failures > 0 {
                measured.note(format!("all docks at once: {} were turned away first", crowd.failures));
            }
            crowd.drop_all()?;
            tokio::time::sleep(settle).await; // their end is no part of what comes next
        }
        Err(error) => measured.note(format!("all docks at once: {error:#}")),
    }
    match running.ended() {
        Some(how) => bail!("the broker {how}"),
        None => Ok(all_are_back),
    }
}

/// The traffic of docks by the clock, with latencies from when each message was due.
async fn load(
    running: &Running,
    docks: usize,
    (backends, shared): (u32, bool),
    traffic: Duration,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let pid = running.pid.context("no process to look at")?;
    let docks = u32::try_from(docks)?;
    let settings = Settings {
        broker: running.address,
        user: None,
        password: None,
        docks,
        first: 1,
        flying: docks * FLYING_OF_TEN / 10,
        backends,
        shared,
        uploads: 0,
        upload_every: Duration::from_secs(10),
        faults: Vec::new(),
        seed: 1,
        duration: Some(traffic),
        every: Duration::from_secs(3600),
        ramp: RAMP,
        qos: None,
        docks_speak: Version::V311, // rumqttd speaks MQTT 5 on another port only
        backends_speak: Version::V311,
    };
    settings.check()?;
    let onset = Duration::from_secs_f64(f64::from(docks) / f64::from(RAMP)) + ONSET;
    let busy = async {
        tokio::time::sleep(onset).await;
        let before = process::cpu_time(pid)?;
        tokio::time::sleep(traffic.saturating_sub(ONSET * 2)).await;
        anyhow::Ok(process::cpu_time(pid)?.saturating_sub(before).as_secs_f64())
    };
    let (report, busy) = tokio::join!(fleet::run(settings, std::future::pending(), |_| {}), busy);
    let report = serde_json::to_value(report?)?;
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);

    let streams = report.pointer("/data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // That of the slowest stream: telemetry alone would hide what QoS 1 costs.
    let slowest = streams.iter().filter_map(|stream| stream.pointer("/latency_ms/p99")?.as_f64()).fold(0.0, f64::max);
    // Docks in flight come first and cause most of it: while half of them were there, it was half as much.
    let coming = f64::from(docks * FLYING_OF_TEN / 10) / f64::from(RAMP) / 2.0;
    let share = busy? / traffic.saturating_sub(ONSET * 2).as_secs_f64() * 100.0;
    let [rate, cpu, p99] = match shared {
        false => ["messages/s", "CPU %", "p99 ms"],
        true => ["messages/s, 10 share", "CPU %, 10 share", "p99 ms, 10 share"],
    };
    measured.add(rate, number("/heard/messages") / (number("/seconds") - coming).max(0.1));
    measured.add(cpu, share);
    measured.add(p99, slowest);
    let flaws: Vec<&str> =
        report.pointer("/flaws").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !flaws.is_empty() {
        measured.note(format!("traffic to {backends} backend(s): {}", flaws.join("; ")));
    }
    Ok(())
}
