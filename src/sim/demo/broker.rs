//! A broker inside this process, on free ports that only this machine reaches.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time;

use super::error::DemoError;
use super::script::Addresses;
use crate::config::Settings;
use crate::server::Server;

/// How long the broker may take to let its clients go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A broker that runs.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) at: Addresses,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), DemoError>>,
}

impl Broker {
    /// Starts with these settings, but on free ports of the loopback address.
    pub(super) async fn start(mut settings: Settings) -> Result<Self, DemoError> {
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        for listener in &mut settings.listeners {
            listener.bind = free_port;
        }
        settings.http.bind = free_port;
        // It is over in seconds, and leaves nothing behind.
        settings.persistence.enabled = false;
        let server = Server::bind(settings).await.map_err(|cause| DemoError::Broker(cause.into()))?;
        let mqtt = server.mqtt_addresses().first().copied();
        let mqtt = mqtt.ok_or_else(|| DemoError::Broker("it has no MQTT listener".into()))?;
        let at = Addresses { mqtt, http: server.http_address() };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            // Dropping the sender asks for the same as sending.
            let shutdown = async { drop(stopped.await) };
            server.run(shutdown).await.map_err(|cause| DemoError::Stop(cause.to_string()))
        });
        Ok(Self { at, stop, running })
    }

    /// Stops the broker and waits for its end.
    pub(super) async fn stop(self) -> Result<(), DemoError> {
        drop(self.stop);
        match time::timeout(PATIENCE, self.running).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(broken)) => Err(DemoError::Stop(broken.to_string())),
            Err(_) => Err(DemoError::Stop(format!("it was still there after {PATIENCE:?}"))),
        }
    }
}
