//! The broker inside the test process, on free ports.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc;

use dockgate::config::Settings;
use dockgate::files::Reloader;
use dockgate::server::Server;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::wire::DEADLINE;

/// The broker that `DOCKGATE_TEST_BROKER` names, if it names one.
pub(crate) fn other_broker() -> Option<SocketAddr> {
    let name = std::env::var("DOCKGATE_TEST_BROKER").ok()?;
    let mut addresses = name.to_socket_addrs().expect("DOCKGATE_TEST_BROKER is host:port");
    addresses.next()
}

/// A broker on its own thread and runtime; it stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Where it takes MQTT, by its first listener.
    pub(crate) mqtt: SocketAddr,
    /// Where each listener is, in the order of the settings.
    pub(crate) listeners: Vec<SocketAddr>,
    /// Where it serves metrics and the API.
    pub(crate) http: SocketAddr,
    reloader: Option<Reloader>,
    stop: Option<oneshot::Sender<()>>,
    stopped: mpsc::Receiver<()>,
    _data: TempDir,
}

impl Broker {
    /// A broker with the default settings, but for what `change` does to them.
    #[track_caller]
    pub(crate) fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let (stop, stop_asked) = oneshot::channel();
        let (has_stopped, stopped) = mpsc::channel();
        let data = tempfile::tempdir().expect("a folder for its data");
        if let Some(mqtt) = other_broker() {
            return Self { mqtt, listeners: vec![mqtt], http: mqtt, reloader: None, stop: None, stopped, _data: data };
        }
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings::default();
        settings.listeners[0].bind = free;
        settings.http.bind = free;
        settings.data_dir = data.path().to_owned();
        change(&mut settings);
        let (has_started, started) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime starts");
            runtime.block_on(async {
                let server = Server::bind(settings).await.expect("the broker starts");
                let started = (server.mqtt_addresses().to_vec(), server.http_address(), server.reloader());
                has_started.send(started).expect("the test waits for it");
                let _ = server
                    .run(async {
                        stop_asked.await.ok();
                    })
                    .await;
            });
            runtime.shutdown_background();
            has_stopped.send(()).ok();
        });
        let (listeners, http, reloader) = started.recv_timeout(DEADLINE).expect("the broker starts in time");
        Self { mqtt: listeners[0], listeners, http, reloader: Some(reloader), stop: Some(stop), stopped, _data: data }
    }

    /// Reads the files again, as SIGHUP does.
    pub(crate) fn reload(&self) {
        self.reloader.as_ref().expect("our own broker").reload();
    }

    /// Asks the broker to stop, as SIGTERM does, and does not wait.
    pub(crate) fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
    }

    /// Waits until the broker has stopped.
    #[track_caller]
    pub(crate) fn expect_stopped(&self) {
        self.stopped.recv_timeout(DEADLINE).expect("the broker stops in time");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.stop.is_some() {
            self.ask_to_stop();
            // A test that is over need not fail because the broker takes its time.
            self.stopped.recv_timeout(DEADLINE).ok();
        }
    }
}
