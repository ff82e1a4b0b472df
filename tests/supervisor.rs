//! What systemd is told, by a socket like its own.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

mod common;

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use common::{BrokerProcess, DEADLINE};

/// The notification socket of a service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// The next message but for those of the watchdog, unless it is `WATCHDOG` that is waited for.
    fn hears(&self, wanted: &str) -> BTreeMap<String, String> {
        loop {
            let mut datagram = [0; 4096];
            let length = self.0.recv(&mut datagram).unwrap_or_else(|error| panic!("{wanted}: nothing comes ({error})"));
            let text = std::str::from_utf8(&datagram[..length]).unwrap();
            let said: BTreeMap<_, _> =
                text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
            if said.contains_key(wanted) {
                return said;
            }
            assert!(said.contains_key("WATCHDOG"), "{text} instead of {wanted}");
        }
    }
}

#[test]
fn systemd_is_told_of_the_start_of_life_of_a_reload_and_of_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let mut broker = BrokerProcess::start(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")]);
    manager.hears("READY");
    for _ in 0..5 {
        manager.hears("WATCHDOG");
    }
    broker.hang_up();
    assert!(manager.hears("RELOADING").contains_key("MONOTONIC_USEC"), "Type=notify-reload wants the time");
    manager.hears("READY");
    broker.terminate();
    manager.hears("STOPPING");
    assert!(broker.expect_exit().success());
}

#[test]
fn a_process_that_hangs_tells_systemd_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let broker = BrokerProcess::start(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")]);
    manager.hears("READY");
    manager.hears("WATCHDOG");
    broker.pause();
    // What it said before is still on its way.
    manager.0.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    let mut datagram = [0; 4096];
    while manager.0.recv(&mut datagram).is_ok() {}
    broker.resume();
    manager.0.set_read_timeout(Some(DEADLINE)).unwrap();
    manager.hears("WATCHDOG");
}
