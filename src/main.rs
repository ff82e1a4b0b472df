//! The command line of dockgate.
//!
//! Exit codes: 0 after a stop that was asked for, 1 if the broker could not start or had to stop by itself, or a command
//! could not do what it is for, 2 if the command line or the settings are wrong.

mod bench_command;
mod health_command;
mod logs;
mod pages;
mod passwd;
mod simulate;
mod token;

use std::error::Error as _;
use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use dockgate::access::Flaw;
use dockgate::config::{Listener, Loaded, Log, Policy, Scope, Settings, is_local};
use dockgate::files::{Files, Reloader};
use dockgate::mqtt::transport::crowd::OWN_FILES;
use dockgate::server::{self, Server, StartError};
use dockgate::store::{self, Probe, Sync};
use dockgate::{import, logging, sim, supervisor};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Sent to a process that writes a file beyond its limit (setrlimit(2)), which ends it unless it is caught.
const SIGXFSZ: i32 = 25;
/// Exit code for settings that cannot be used; clap uses the same for the command line.
const WRONG_SETTINGS: u8 = 2;
/// What shells report for a process that SIGINT has ended (128 + 2).
const INTERRUPTED: u8 = 130;

/// An MQTT broker for fleets of DJI docks that guards the remote log upload.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsFile,
    /// The same as the command check.
    #[arg(long)]
    test_config: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker until SIGTERM or SIGINT. This is what dockgate does without a command.
    Serve(SettingsFile),
    /// Say whether the settings can be used, and who can reach what.
    #[command(visible_alias = "test-config")]
    Check(SettingsFile),
    /// Print a settings file that does the same as a mosquitto.conf, with a comment for each line that it cannot carry over.
    ImportMosquitto {
        /// The mosquitto.conf; the folders that it includes are read too.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show an upload, a refused second one and a cancel, with a broker, a dock and a backend of its own.
    Demo,
    /// Fetch a dock's logs through a broker that runs.
    #[command(subcommand)]
    Logs(logs::Command),
    /// Load a broker, this or any other, with simulated docks and backends, and say what it lost and how late it was.
    Simulate(simulate::Arguments),
    /// Measure how fast brokers are, this or any other, and what a message costs them.
    Bench(bench_command::Arguments),
    /// Look into what the broker keeps over a restart. Not while it runs.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Make a token for the HTTP listener.
    Token(token::Arguments),
    /// Set a user's password in a password file, or delete the user.
    Passwd(passwd::Arguments),
    /// Ask a running broker whether it is ready.
    Health(health_command::Arguments),
    /// Print what a shell needs to complete this command line.
    Completions(pages::Completions),
    /// Print the manual page, or write those of all commands to a folder.
    Man(pages::Man),
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Check every sum and every row of the store, and say how much is in it.
    Check(SettingsFile),
    /// Print what is in the store as JSON: records, topics and sizes, never a payload.
    Dump(SettingsFile),
}

#[derive(Debug, Args)]
struct SettingsFile {
    /// The settings file (TOML; config/dockgate.toml documents it). DOCKGATE_… variables win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let command = match arguments.command {
        Some(command) => command,
        None if arguments.test_config => Command::Check(arguments.settings),
        None => Command::Serve(arguments.settings),
    };
    let file = match command {
        Command::Demo => return finish(demo()),
        Command::Simulate(arguments) => return simulate::run(arguments),
        Command::Bench(arguments) => return bench_command::run(&arguments),
        Command::Passwd(arguments) => return passwd::run(&arguments),
        Command::Token(arguments) => return finish(token::run(&arguments)),
        Command::Logs(command) => return logs::run(command),
        Command::Health(arguments) => return health_command::run(&arguments),
        Command::Completions(arguments) => return finish(pages::completions(&arguments)),
        Command::Man(arguments) => return finish(pages::man(&arguments)),
        Command::ImportMosquitto { file } => return finish(import_mosquitto(&file)),
        Command::Serve(ref file)
        | Command::Check(ref file)
        | Command::Store(StoreCommand::Check(ref file) | StoreCommand::Dump(ref file)) => file.config.as_deref(),
    };
    let loaded = match Settings::load(file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(WRONG_SETTINGS);
        }
    };
    match command {
        Command::Check(_) => {}
        Command::Store(command) => return finish(look_into_store(&command, &loaded.settings.data_dir)),
        _ => return finish(serve(loaded)),
    }
    match Files::open(&loaded.settings) {
        Ok(files) => {
            let mut unusable = server::unusable_addresses(&loaded.settings);
            unusable.extend(server::unusable_store(&loaded.settings));
            for error in &unusable {
                let cause = error.source().map_or_else(String::new, |cause| format!(" ({cause})"));
                eprintln!("{error}{cause}");
            }
            if unusable.is_empty() { finish(check(&loaded, &files)) } else { ExitCode::from(WRONG_SETTINGS) }
        }
        Err(flaws) => wrong(&flaws),
    }
}

/// The files that the settings name cannot be used.
fn wrong(flaws: &[Flaw]) -> ExitCode {
    for flaw in flaws {
        eprintln!("{flaw}");
    }
    ExitCode::from(WRONG_SETTINGS)
}

fn finish(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(StartError::Files(flaws)) = error.downcast_ref() {
                return wrong(flaws);
            }
            eprintln!("dockgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(Loaded { settings, warnings }: Loaded) -> anyhow::Result<()> {
    logging::init(&settings.log)?;
    // A connection is an open file, and the usual soft limit of 1,024 is for programs that still use select().
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => {
            let connections = files.saturating_sub(OWN_FILES as u64).min(settings.limits.connections as u64);
            info!(files, connections, "this many files may be open, which allows this many connections");
        }
        Err(error) => warn!(%error, "the limit on open files cannot be raised"),
    }
    for warning in warnings.iter().map(ToString::to_string).chain(files_warning(&settings)) {
        warn!("{warning}");
    }
    block_on(async {
        // Before anything listens, so that no signal from here on ends the process half-way.
        let stop = stop_signal()?;
        // A file that may not grow is an error of the store like a full disk, and no reason to die. Once caught, always caught.
        drop(signal(SignalKind::from_raw(SIGXFSZ)).context("signals cannot be received")?);
        let hangup = signal(SignalKind::hangup()).context("signals cannot be received")?;
        info!(version = env!("CARGO_PKG_VERSION"), "starting");
        let server = Server::bind(settings).await?;
        tokio::spawn(reload_at(hangup, server.reloader()));
        tokio::spawn(supervisor::keep_telling());
        supervisor::ready();
        let stop = async {
            stop.await;
            supervisor::stopping();
        };
        Ok(server.run(stop).await?)
    })
}

fn look_into_store(command: &StoreCommand, data_dir: &Path) -> anyhow::Result<()> {
    let text = match command {
        StoreCommand::Check(_) => store::check(data_dir)?,
        StoreCommand::Dump(_) => format!("{:#}\n", store::dump(data_dir)?),
    };
    io::stdout().write_all(text.as_bytes()).context("what is in the store cannot be written")
}

fn import_mosquitto(file: &Path) -> anyhow::Result<()> {
    let settings = import::mosquitto(file)?;
    io::stdout().write_all(settings.as_bytes()).context("the settings cannot be written")
}

fn demo() -> anyhow::Result<()> {
    // The demo talks on the terminal itself; only what should not happen is worth interrupting it.
    logging::init(&Log { level: "error".to_owned(), ..Log::default() })?;
    block_on(async { sim::demo::run().await.context("the demo did not go as shown") })
}

/// Runs on a runtime with a worker for each core.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("dockgate")
        .build()
        .context("the runtime cannot start")?;
    let outcome = runtime.block_on(work);
    // What still runs has been told to stop, and must not keep the process.
    runtime.shutdown_background();
    outcome
}

/// Ready at the first SIGTERM or SIGINT. From then on a SIGINT ends the process at once.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("signals cannot be received");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "asked to stop");
        tokio::spawn(exit_at(interrupt));
    })
}

/// Reads the files again at each SIGHUP.
async fn reload_at(mut signal: Signal, reloader: Reloader) {
    while signal.recv().await.is_some() {
        info!(signal = "SIGHUP", "asked to read the files again");
        let reloader = reloader.clone();
        supervisor::reloading();
        if let Err(error) = tokio::task::spawn_blocking(move || reloader.reload()).await {
            warn!(%error, "the files were not read to the end");
        }
        supervisor::ready();
    }
}

async fn exit_at(mut signal: Signal) {
    signal.recv().await;
    std::process::exit(INTERRUPTED.into());
}

fn check(loaded: &Loaded, files: &Files) -> anyhow::Result<()> {
    io::stdout().write_all(summary(loaded, files).as_bytes()).context("the summary cannot be written")
}

fn summary(Loaded { settings, warnings }: &Loaded, files: &Files) -> String {
    let mut text = String::from("OK: these settings can be used\n");
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    for listener in &settings.listeners {
        let (protocol, bind) = (listener.protocol.as_str(), listener.bind);
        let proxy = if listener.proxy_protocol { " and whoever its proxy brings" } else { "" };
        let (whom, guard) = (reach(bind), guard(settings, listener));
        line(format_args!("{protocol} {bind}: reached by {whom}{proxy}, {guard}"));
    }
    let (bind, whom) = (settings.http.bind, reach(settings.http.bind));
    let token = if settings.http.token_file.is_some() { "with a token" } else { "without a password" };
    line(format_args!("http {bind}: reached by {whom}, {token}"));
    let scope = match settings.uploads.scope {
        Scope::Gateway => "gateway",
        Scope::Module => "module of a gateway",
    };
    match settings.uploads.policy {
        Policy::Enforce => line(format_args!("uploads: one at a time on a {scope}; a second start is refused")),
        Policy::Observe => {
            line(format_args!("uploads: one at a time on a {scope}; a second start is let through and counted"));
        }
        Policy::Off => line(format_args!("uploads: neither guarded nor seen")),
    }
    if let Some(store) = &files.object_store {
        let keys = if store.has_token_service() { "credentials of their own" } else { "the long-lived keys" };
        let (endpoint, bucket) = (store.endpoint(), store.bucket());
        line(format_args!("object store: bucket {bucket} of {endpoint}; docks are given {keys} for each upload"));
    }
    line(format_args!("persistence: {}", persistence(settings)));
    let of_files = files.warnings.iter().map(ToString::to_string).chain(files_warning(settings));
    for warning in warnings.iter().map(ToString::to_string).chain(of_files) {
        line(format_args!("warning: {warning}"));
    }
    text
}

/// What survives a restart, and where it is kept.
fn persistence(settings: &Settings) -> String {
    if !settings.persistence.enabled {
        return "nothing survives a restart".to_owned();
    }
    let folder = settings.data_dir.display();
    let state = match store::probe(&settings.data_dir) {
        Ok(Probe::New) => ", which serve makes",
        Ok(Probe::InUse) => ", which a dockgate is using now",
        Ok(Probe::Usable) | Err(_) => "",
    };
    let when = match settings.persistence.sync {
        Sync::Always => "before it is acknowledged",
        Sync::Interval => "within a second",
    };
    format!("what survives a restart is on the disk {when}, in {folder}{state}")
}

/// What a client needs to get in, and what it may do then.
fn guard(settings: &Settings, listener: &Listener) -> String {
    let mut keys = Vec::new();
    match (&listener.client_ca, listener.require_client_cert) {
        (Some(_), true) => keys.push("with a certificate"),
        (Some(_), false) => keys.extend(["with a certificate", "with a password"]),
        (None, _) => keys.push("with a password"),
    }
    if settings.access.password_file.is_none() {
        keys.retain(|key| *key != "with a password");
    }
    if settings.admits_anonymous(listener) && !listener.require_client_cert {
        keys.push("without a password");
    }
    let keys = if keys.is_empty() { "who cannot get in".to_owned() } else { keys.join(" or ") };
    match listener.role {
        Some(role) => format!("{keys}, as {}", format!("{role:?}").to_lowercase()),
        None => keys,
    }
}

fn reach(address: SocketAddr) -> String {
    if is_local(address) {
        "this machine only".to_owned()
    } else if address.ip().is_unspecified() {
        "every machine that can reach this one".to_owned()
    } else {
        format!("every machine that can reach {}", address.ip())
    }
}

/// Connections are open files, of which this process may have too few.
fn files_warning(settings: &Settings) -> Option<String> {
    let (connections, files) = (settings.limits.connections, open_files_limit()?.saturating_sub(OWN_FILES));
    (files < connections).then(|| {
        format!(
            "limits.connections = {connections}, but the files that this process may open allow only {files}: raise \
             ulimit -n (LimitNOFILE)"
        )
    })
}

/// The files that this process may open once `serve` has raised its soft limit to the hard one.
fn open_files_limit() -> Option<usize> {
    let (_, hard) = rlimit::Resource::NOFILE.get().ok()?;
    usize::try_from(hard).ok()
}
