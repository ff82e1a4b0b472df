//! A waiting line.

use crate::access::Denied;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Servers, and a line of bounded length before them. First come, first served.
#[derive(Debug, Clone)]
pub(super) struct Line {
    places: Arc<Semaphore>,
    servers: Arc<Semaphore>,
    size: u32,
}

/// What is being served; its end is the next one's turn.
#[derive(Debug)]
pub(super) struct Turn {
    _server: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Line {
    pub(super) fn new(servers: u32, waiting: u32) -> Self {
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { places: semaphore(servers.saturating_add(waiting)), servers: semaphore(servers), size: servers }
    }

    /// Waits for as many servers, or for all if there are fewer.
    ///
    /// # Errors
    /// [`Denied::Busy`] at once if the line is full.
    pub(super) async fn enter(&self, servers: u32) -> Result<Turn, Denied> {
        let place = self.places.clone().try_acquire_owned().map_err(|_full| Denied::Busy)?;
        let servers = servers.min(self.size);
        let server = self.servers.clone().acquire_many_owned(servers).await.map_err(|_never_closed| Denied::Busy)?;
        Ok(Turn { _server: server, _place: place })
    }
}
