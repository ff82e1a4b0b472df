//! A broker whose folder outlives it.

use std::net::SocketAddr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::common::{BrokerProcess, Publish, V5, Wire};

/// A broker on a folder of its own.
pub(crate) struct Ground {
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    broker: BrokerProcess,
}

impl Ground {
    /// With the default settings but for these.
    #[track_caller]
    pub(crate) fn with(settings: &[(&'static str, &str)]) -> Self {
        Self::on_with(tempfile::tempdir().unwrap(), settings)
    }

    /// On what another one has left.
    #[track_caller]
    pub(crate) fn on(folder: TempDir) -> Self {
        Self::on_with(folder, &[])
    }

    #[track_caller]
    fn on_with(folder: TempDir, settings: &[(&'static str, &str)]) -> Self {
        let mut all = vec![("DOCKGATE_DATA_DIR", folder.path().join("data").display().to_string())];
        all.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let broker = start(&all);
        Self { folder, settings: all, broker }
    }

    /// With the default settings.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With no file that grows beyond so many bytes, until it is restarted or [`Ground::free_the_disk`].
    #[track_caller]
    pub(crate) fn with_a_disk_of(bytes: u64) -> Self {
        let mut ground = Self::new();
        ground.broker.kill();
        let settings: Vec<_> = ground.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ground.broker = BrokerProcess::start_with_files_up_to(bytes, &settings);
        ground
    }

    /// There is room on its disk again.
    pub(crate) fn free_the_disk(&self) {
        self.broker.unlimit_files();
    }

    /// What the broker has logged since it was started.
    pub(crate) fn log(&self) -> String {
        self.broker.log()
    }

    /// Kills the broker and starts it again.
    #[track_caller]
    pub(crate) fn crash(&mut self) {
        self.broker.kill();
        self.broker = start(&self.settings);
    }

    /// Kills the broker, and starts it again after this.
    #[track_caller]
    pub(crate) fn crash_and(&mut self, meanwhile: impl FnOnce()) {
        self.broker.kill();
        meanwhile();
        self.broker = start(&self.settings);
    }

    /// Stops the broker as a supervisor does.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.broker.terminate();
        assert!(self.broker.expect_exit().success());
    }

    /// Starts it again after a stop.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        self.broker = start(&self.settings);
    }

    /// What it leaves behind.
    pub(crate) fn into_folder(self) -> TempDir {
        self.folder
    }

    /// The same, and starts it again.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(crate) fn mqtt(&self) -> SocketAddr {
        self.broker.mqtt
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.broker.http
    }

    /// The broker's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Has everything committed that has happened until now, also what nobody waits for.
    #[track_caller]
    pub(crate) fn commit(&self) {
        self.publish(&Publish::new("ground/commit", "").qos(1, 1).retain());
    }

    /// Publishes one message, which must be accepted.
    #[track_caller]
    pub(crate) fn publish(&self, message: &Publish) {
        let mut publisher = Wire::clean(self.mqtt(), V5, "publisher");
        assert!(publisher.publish(message) < 0x80);
        publisher.leave();
    }
}

#[track_caller]
fn start(settings: &[(&'static str, String)]) -> BrokerProcess {
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    BrokerProcess::start(&settings)
}
