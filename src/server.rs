//! Puts the rooms together.
//!
//! The MQTT side runs in the caller's tokio runtime. HTTP and the watchdog have threads of their own, so that they
//! answer while every worker of that runtime, or the routing core, is busy or stuck.

use crate::access::{Access, Flaw};
use crate::clock::Clock;
use crate::config::{Persistence, Settings};
use crate::files::{Files, Reloader, warn_of};
use crate::hook::{DigestKey, Hook};
use crate::http::{self, Guard, Health, HttpServer, HttpState, Reason};
use crate::ledger::{Journal, Ledger, Now, Policy, Records};
use crate::metrics::Metrics;
use crate::mqtt::listener::{self, Entrance};
use crate::mqtt::transport::crowd::Crowd;
use crate::mqtt::{Broker, Restored};
use crate::retrieval::Retrieval;
use crate::route::Route;
use crate::store::{self, OpenError, Options, Saved, Store};
use crate::watchdog::{self, Watchdog};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections may take to say good-bye.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the store may take to write what is pending; a commit that takes longer counts as stalled.
const CLOSE: Duration = Duration::from_secs(10);
/// How often gauges are brought up to date and the ledger looks at the time.
const TICK: Duration = Duration::from_millis(250);
/// Connections that wait to be accepted; the kernel lowers it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken, not ours, or needs more rights.
    #[error("{what} cannot listen on {address}: set {key} to an address of this machine that is free")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// The setting to change.
        key: String,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A file with passwords, rules or certificates cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files(Vec<Flaw>),
    /// The HTTP thread did not start.
    #[error("the HTTP listener cannot start: {0}")]
    Http(io::Error),
    /// The watchdog's thread did not start.
    #[error("the watchdog cannot start: {0}")]
    Watchdog(io::Error),
    /// What must survive a restart cannot be kept.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What is in it cannot be used.
    #[error("{0}: `dockgate store dump` shows what is there; move the folder away to start without it")]
    Restore(#[from] crate::mqtt::Unusable),
    /// Reading it ended half-way.
    #[error("the store was not read to the end ({0}): `dockgate store check` says more")]
    StoreStopped(String),
    /// The routing core did not start.
    #[error(transparent)]
    Core(#[from] crate::route::core::CoreDown),
}

/// Why the broker ended without being told to.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum RunError {
    /// The watchdog's probe did not come back.
    #[error(
        "the routing core has not answered for {}: messages to wildcard subscribers are lost, so the process ends; \
         a supervisor (systemd: Restart=on-failure) should start it again",
        humantime::format_duration(watchdog::DEAD)
    )]
    RouterStopped,
}

/// A broker that is bound to its addresses; clients that connect already wait for [`Server::run`].
#[derive(Debug)]
pub struct Server {
    broker: Arc<Broker>,
    ledger: Arc<Ledger>,
    hook: Hook,
    health: Arc<Health>,
    access: Arc<Access>,
    guard: Arc<Guard>,
    crowd: Arc<Crowd>,
    listeners: Vec<TcpListener>,
    entrances: Vec<Arc<Entrance>>,
    mqtt_addresses: Vec<SocketAddr>,
    http_address: SocketAddr,
    http: HttpServer,
    route: Arc<Route>,
    store: Arc<Store>,
    sys_interval: Duration,
}

impl Server {
    /// Binds every address and starts the routing core and the HTTP side, which says that it is not ready yet.
    ///
    /// # Errors
    /// [`StartError`] says what could not be had and which setting to change.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let clock = Clock::start();
        let Files { access, entrances, guard, crowd, warnings, object_store } =
            Files::open(&settings).map_err(StartError::Files)?;
        warn_of(&warnings);
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::new());
        let Sockets { listeners, mqtt_addresses, http: http_listener, http_address } = Sockets::open(&settings)?;

        let (store, saved) = open_store(&settings, metrics.clone()).await?;
        let Saved { sessions, retained, gateways, ended, digest_key } = saved;
        let ledger = Arc::new(open_ledger(&settings, &store, Records { gateways, ended }, Now(clock.now_ms())));
        let lanes = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(1, 4));
        let route = Route::start(lanes)?;
        let key = digest_key.map_or_else(DigestKey::random, DigestKey::from);
        let hook = || Hook::new(ledger.clone(), metrics.clone(), key.clone());
        let broker = Arc::new(Broker::new(
            settings.limits,
            access.clone(),
            metrics.clone(),
            clock,
            route.clone(),
            ledger.clone(),
            hook(),
            store.clone(),
        ));
        let Restored { sessions, subscriptions, messages, retained } = broker.restore(sessions, retained)?;
        if store.is_enabled() {
            tracing::info!(sessions, subscriptions, messages, retained, "what was there before is there again");
        }
        let hook = hook();
        let state = HttpState {
            metrics,
            ledger: ledger.clone(),
            health: health.clone(),
            clock: Arc::new(move || Now(clock.now_ms())),
            started: Now(clock.now_ms()),
            retrieval: Arc::new(Retrieval::new(broker.clone(), ledger.clone(), object_store)),
            guard: guard.clone(),
        };
        let http = http::spawn(http_listener, state).map_err(StartError::Http)?;
        Ok(Self {
            broker,
            ledger,
            hook,
            health,
            access,
            guard,
            crowd,
            listeners,
            entrances,
            mqtt_addresses,
            http_address,
            http,
            route,
            store,
            sys_interval: settings.sys_interval,
        })
    }

    /// What reads the files again while the broker runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        let entrances = self.mqtt_addresses.iter().copied().zip(self.entrances.iter().cloned());
        Reloader::new(self.broker.clone(), self.access.clone(), self.guard.clone(), entrances)
    }

    /// Where MQTT clients connect, in the order of the settings.
    #[must_use]
    pub fn mqtt_addresses(&self) -> &[SocketAddr] {
        &self.mqtt_addresses
    }

    /// Where `/metrics` and the rest of HTTP is.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Serves until `shutdown`; then stops accepting, tells the clients, and waits a few seconds for them.
    ///
    /// # Errors
    /// [`RunError`] if the broker cannot go on.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let housekeeping = tokio::spawn(keep_house(
            self.broker.clone(),
            self.ledger.clone(),
            self.hook,
            self.store.clone(),
            self.health.clone(),
        ));
        let deadlines = tokio::spawn(self.broker.clone().run_deadlines());
        let sys = (!self.sys_interval.is_zero()).then(|| tokio::spawn(self.broker.clone().run_sys(self.sys_interval)));
        let watchdog = Watchdog::start(self.route, self.broker.metrics.clone(), self.health.clone());
        self.health.ready(Reason::Starting);
        let entrances = self.listeners.into_iter().zip(self.entrances).zip(&self.mqtt_addresses);
        for ((listener, entrance), address) in entrances {
            tracing::info!(protocol = entrance.protocol.as_str(), %address, "listening");
            tokio::spawn(listener::accept(listener, entrance, self.broker.clone(), stop.clone(), tasks.clone()));
        }
        tracing::info!(protocol = "http", address = %self.http_address, "listening");

        let ended = match watchdog {
            Ok(mut watchdog) => {
                tokio::select! {
                    () = shutdown => Ok(()),
                    () = watchdog.router_died() => Err(RunError::RouterStopped),
                }
            }
            Err(error) => {
                tracing::error!(%error, "the watchdog cannot start");
                Err(RunError::RouterStopped)
            }
        };

        tracing::info!(connections = self.crowd.sockets(), "stopping");
        self.health.not_ready(Reason::Stopping, "the broker is stopping");
        stop.cancel();
        tasks.close();
        let drained = tokio::time::timeout(DRAIN, async {
            // A connection may be between CONNECT and its session: tell those who come late, too.
            while tokio::time::timeout(Duration::from_millis(100), tasks.wait()).await.is_err() {
                self.broker.shut_down();
            }
        });
        self.broker.shut_down();
        if drained.await.is_err() {
            tracing::warn!(connections = self.crowd.sockets(), "some connections did not end in time");
        }
        housekeeping.abort();
        deadlines.abort();
        if let Some(sys) = sys {
            sys.abort();
        }
        self.ledger.flush(self.broker.now());
        close(self.store).await;
        self.http.stop();
        tracing::info!("stopped");
        ended
    }
}

/// The addresses of the settings, bound: clients that connect wait until they are accepted.
struct Sockets {
    listeners: Vec<TcpListener>,
    mqtt_addresses: Vec<SocketAddr>,
    http: std::net::TcpListener,
    http_address: SocketAddr,
}

impl Sockets {
    fn open(settings: &Settings) -> Result<Self, StartError> {
        let (mut listeners, mut mqtt_addresses) = (Vec::new(), Vec::new());
        for (index, wanted) in settings.listeners.iter().enumerate() {
            let failed = |source| StartError::Listen {
                what: "MQTT",
                key: format!("listeners[{index}].bind"),
                address: wanted.bind,
                source,
            };
            let listener = TcpListener::from_std(listen(wanted.bind).map_err(failed)?).map_err(failed)?;
            mqtt_addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        let address = settings.http.bind;
        let failed = |source| StartError::Listen { what: "HTTP", key: "http.bind".to_owned(), address, source };
        let http = listen(address).map_err(failed)?;
        let http_address = http.local_addr().map_err(failed)?;
        Ok(Self { listeners, mqtt_addresses, http, http_address })
    }
}

/// The ledger's journal in the store.
#[derive(Debug)]
struct StoreJournal(Arc<Store>);

impl Journal for StoreJournal {
    fn gateway(&self, gateway: &str, record: Option<Vec<u8>>) -> u64 {
        self.0.put_gateway(gateway, record).mark()
    }

    fn ended(&self, place: u64, record: Option<Vec<u8>>) -> u64 {
        self.0.put_ended(place, record).mark()
    }
}

/// The ledger as it was left, if there is a store.
fn open_ledger(settings: &Settings, store: &Arc<Store>, records: Records, now: Now) -> Ledger {
    let rules = settings.uploads.rules();
    // With the guard off, what it left stays in the store for when it is on again.
    if !store.is_enabled() || rules.policy == Policy::Off {
        return Ledger::new(rules);
    }
    let (ledger, restored) = Ledger::restore(rules, Arc::new(StoreJournal(store.clone())), records, now);
    tracing::info!(
        gateways = restored.gateways,
        running = restored.running,
        ended = restored.ended,
        "the uploads are known again"
    );
    ledger
}

/// Opens the store that the settings ask for; reading it may take a while.
async fn open_store(settings: &Settings, metrics: Arc<Metrics>) -> Result<(Arc<Store>, Saved), StartError> {
    let Persistence { enabled, sync } = settings.persistence;
    if !enabled {
        tracing::warn!("persistence.enabled = false: nothing survives a restart");
        return Ok((Store::none(), Saved::default()));
    }
    let options = Options { data_dir: settings.data_dir.clone(), sync, metrics };
    let opened = tokio::task::spawn_blocking(move || Store::open(&options)).await;
    let (store, saved) = opened.map_err(|panic| StartError::StoreStopped(panic.to_string()))??;
    let (sessions, retained) = (saved.sessions.len(), saved.retained.len());
    let folder = settings.data_dir.display();
    tracing::info!(%folder, starts = store.epoch(), sessions, retained, "the store is open");
    Ok((store, saved))
}

/// Closes the store, which has to wait for the disk; but no longer than a disk may take that works.
async fn close(store: Arc<Store>) {
    let closed = tokio::task::spawn_blocking(move || store.close());
    if tokio::time::timeout(CLOSE, closed).await.is_err() {
        tracing::error!("the disk does not answer: what was not acknowledged yet may be lost");
    }
}

/// Lets time pass for the ledger, keeps the gauges up to date, and says how the store is.
async fn keep_house(broker: Arc<Broker>, ledger: Arc<Ledger>, hook: Hook, store: Arc<Store>, health: Arc<Health>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut round = 0u32;
    loop {
        tick.tick().await;
        let now = broker.now();
        if ledger.next_deadline().is_some_and(|deadline| deadline <= now) {
            hook.tick(now);
        }
        match store.trouble() {
            Some(text) => health.not_ready(Reason::Store, text),
            None => health.ready(Reason::Store),
        }
        if round.is_multiple_of(4) {
            broker.refresh_gauges();
            store.refresh_gauges();
        }
        round = round.wrapping_add(1);
    }
}

/// What keeps [`Server::bind`] from listening on the addresses of the settings, whoever has their ports at the moment.
#[must_use]
pub fn unusable_addresses(settings: &Settings) -> Vec<StartError> {
    let mqtt = settings.listeners.iter().enumerate();
    let mqtt = mqtt.map(|(index, listener)| ("MQTT", format!("listeners[{index}].bind"), listener.bind));
    let all = mqtt.chain([("HTTP", "http.bind".to_owned(), settings.http.bind)]);
    all.filter_map(|(what, key, address)| {
        let mut any_port = address;
        any_port.set_port(0);
        listen(any_port).err().map(|source| StartError::Listen { what, key, address, source })
    })
    .collect()
}

/// What keeps [`Server::bind`] from opening the store of the settings, but for a broker that has it at the moment.
#[must_use]
pub fn unusable_store(settings: &Settings) -> Option<StartError> {
    let enabled = settings.persistence.enabled;
    enabled.then(|| store::probe(&settings.data_dir).err())?.map(StartError::Store)
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted broker must have its port back while old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
