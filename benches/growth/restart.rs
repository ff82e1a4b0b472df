//! A broker that keeps sessions, ended as an operator ends it and started again: how long until it answers, and until all
//! docks are back on their sessions.
//!
//! dockgate has its defaults, and Mosquitto `persistence true`; the others keep nothing that outlives the process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use dockgate::bench::process;
use tempfile::TempDir;

use crate::bounded;
use crate::brokers::Broker;
use crate::client::Client;
use crate::crowd::{Coming, Crowd};
use crate::daemon::{self, Daemon, free_port};
use crate::figures::Measured;

const AT_A_TIME: usize = 100;
/// How long a broker may take to write down what it has, and end.
const ENDING: Duration = Duration::from_secs(30);

/// Whether a broker keeps sessions over a restart.
pub(crate) fn can(broker: &Broker) -> bool {
    matches!(broker, Broker::Dockgate | Broker::Mosquitto)
}

/// Measures one broker with so many sessions of six subscriptions each.
pub(crate) async fn measure(broker: &Broker, docks: usize) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    let folder = Arc::new(tempfile::tempdir().context("no temporary directory")?);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let mut daemon = Daemon::spawn(command(broker, &folder, address)?, address, Arc::clone(&folder))?;
    daemon.wait_until_it_accepts()?;
    let calm = Coming { at_a_time: Some(AT_A_TIME), kept: true };
    bounded(Crowd::come(address, 1..docks + 1, calm)).await.context("before the restart")?.drop_all()?;

    let ending = Instant::now();
    end(&mut daemon).await?;
    measured.add("ending s", ending.elapsed().as_secs_f64());
    let start = Instant::now();
    daemon = Daemon::spawn(command(broker, &folder, address)?, address, Arc::clone(&folder))?;
    bounded(first_answer(address, &mut daemon)).await?;
    measured.add("first CONNECT s", start.elapsed().as_secs_f64());
    let storm = Coming { at_a_time: None, kept: true };
    let crowd = bounded(Crowd::come(address, 1..docks + 1, storm)).await.context("after the restart")?;
    measured.add("all back s", start.elapsed().as_secs_f64());
    measured.add("resident MiB", process::resident_kib(daemon.pid())? as f64 / 1024.0);
    if crowd.known < docks {
        measured.note(format!("{} of {docks} sessions were not there after the restart", docks - crowd.known));
    }
    Ok(measured)
}

async fn end(daemon: &mut Daemon) -> anyhow::Result<()> {
    let sent = Command::new("kill").args(["-TERM", &daemon.pid().to_string()]).status()?;
    ensure!(sent.success(), "kill -TERM failed");
    let start = Instant::now();
    while daemon.ended().is_none() {
        ensure!(start.elapsed() < ENDING, "does not end within {ENDING:?} of a SIGTERM");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Tries until a CONNECT is answered.
async fn first_answer(address: SocketAddr, daemon: &mut Daemon) -> anyhow::Result<()> {
    loop {
        if let Some(how) = daemon.ended() {
            bail!("the broker {how} when it was started again");
        }
        if Client::open_clean(address, "growth-probe", 64).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn command(broker: &Broker, folder: &TempDir, address: SocketAddr) -> anyhow::Result<Command> {
    match broker {
        Broker::Dockgate => dockgate(folder.path(), address),
        Broker::Mosquitto => mosquitto(folder.path(), address),
        other => bail!("{} keeps nothing over a restart", other.name()),
    }
}

fn dockgate(folder: &Path, address: SocketAddr) -> anyhow::Result<Command> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    command
        .current_dir(folder)
        .env("DOCKGATE_LISTENERS", format!(r#"[{{protocol="mqtt",bind="{address}"}}]"#))
        .env("DOCKGATE_HTTP__BIND", format!("127.0.0.1:{}", free_port()?));
    Ok(command)
}

fn mosquitto(folder: &Path, address: SocketAddr) -> anyhow::Result<Command> {
    let configuration = folder.join("mosquitto.conf");
    // Started by root it becomes the user `mosquitto`, who may not write here, unless it is told not to.
    let settings = format!(
        "listener {} 127.0.0.1\n\
         allow_anonymous true\n\
         set_tcp_nodelay true\n\
         persistence true\n\
         persistence_location {}/\n\
         user root\n\
         log_type none\n",
        address.port(),
        folder.display()
    );
    fs::write(&configuration, settings)?;
    let mut command = Command::new(daemon::mosquitto());
    command.arg("-c").arg(configuration);
    Ok(command)
}
