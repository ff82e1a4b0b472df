//! What rumqttd 0.20, the routing core, does wrong behind its own listeners, tried on the binary: one test for each fault.
//! After each, the process is alive and others are served.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod flow;
mod footprint;
mod topics;

use std::net::TcpStream;
use std::time::Duration;

use common::{BrokerProcess, Publish, V311, Wire, eventually};

/// The process lives, routes exact and wildcard topics, and says that it is well.
#[track_caller]
fn expect_sound(broker: &mut BrokerProcess) {
    broker.expect_alive();
    let mut witness = Wire::subscriber(broker.mqtt, "sound-sub", &[("sound/x", 1), ("sound/+/y", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "sound-pub");
    for topic in ["sound/x", "sound/1/y"] {
        publisher.publish(&Publish::new(topic, topic).qos(1, 1));
        witness.expect_message(topic);
    }
    if common::other_broker().is_none() {
        eventually("it says that it is ready", || common::status(broker.http, "/readyz") == 200);
    }
    broker.expect_alive();
}

/// Makes the close of this connection a TCP reset.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("TCP lingers");
}
