//! `$SYS/broker/…`, beside Mosquitto's.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::common::{Broker, Publish, V5, V311, Wire, eventually, metric};

struct Mosquitto(Child);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What is said under `$SYS`, until the uptime has been said twice: by then, every topic has.
fn said(at: SocketAddr) -> BTreeMap<String, String> {
    let mut reader = Wire::subscriber(at, "reader", &[("$SYS/#", 0)]);
    let (mut said, mut times) = (BTreeMap::new(), 0);
    while times < 2 {
        let message = reader.expect_publish();
        times += usize::from(message.topic == "$SYS/broker/uptime");
        said.insert(message.topic, String::from_utf8(message.payload).unwrap());
    }
    said
}

fn every_second() -> Broker {
    Broker::start(|settings| settings.sys_interval = Duration::from_secs(1))
}

#[test]
fn every_topic_of_mosquitto_is_there_and_its_values_look_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let file = folder.path().join("mosquitto.conf");
    let settings =
        format!("listener {} 127.0.0.1\nallow_anonymous true\nsys_interval 1\nlog_dest none\n", address.port());
    std::fs::write(&file, settings).unwrap();
    let started = Command::new("mosquitto").arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _mosquitto = Mosquitto(started.expect("mosquitto is needed: apt-get install mosquitto (see README.md)"));
    eventually("mosquitto listens", || TcpStream::connect(address).is_ok());
    let (theirs, broker) = (said(address), every_second());
    let ours = said(broker.mqtt);
    assert!(theirs.len() > 50, "{theirs:#?}");
    let shape = |value: &str| -> String {
        let digits = value.chars().map(|c| if c.is_ascii_digit() { '0' } else { c });
        let mut shape: String = digits.collect();
        while shape.contains("00") {
            shape = shape.replace("00", "0");
        }
        shape
    };
    for (topic, value) in &theirs {
        let Some(own) = ours.get(topic) else { panic!("{topic} ({value}) is missing in {ours:#?}") };
        if topic != "$SYS/broker/version" {
            assert_eq!(shape(own), shape(value), "{topic}: {own} and {value}");
        }
    }
    assert_eq!(ours["$SYS/broker/version"], concat!("dockgate version ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_figures_are_those_of_what_happened() {
    let broker = every_second();
    let mut reader = Wire::clean(broker.mqtt, V5, "reader");
    reader.subscribe(&[("$SYS/broker/publish/messages/received", 1)]);
    let mut publisher = Wire::clean(broker.mqtt, V311, "publisher");
    for n in 1..=20 {
        publisher.publish(&Publish::new("t", "12345").qos(1, n));
    }
    loop {
        if reader.expect_publish().payload == b"20" {
            break;
        }
    }
    // All of one round are published together.
    let mut late = Wire::subscriber(
        broker.mqtt,
        "late",
        &[("$SYS/broker/publish/bytes/received", 0), ("$SYS/broker/messages/received", 0)],
    );
    let mut figures = BTreeMap::new();
    while figures.len() < 2 {
        let message = late.expect_publish();
        assert!(message.retain);
        figures.insert(message.topic, String::from_utf8(message.payload).unwrap());
    }
    assert_eq!(figures["$SYS/broker/publish/bytes/received"], "100");
    // Twenty PUBLISH packets and at least the reader's SUBSCRIBE.
    let packets: u64 = figures["$SYS/broker/messages/received"].parse().unwrap();
    assert!((21..60).contains(&packets), "{packets}");
    assert_eq!(metric(broker.http, "dockgate_packets_sent_total", "") as u64 / 20, 1, "PUBACKs and little else");
}

#[test]
fn a_wildcard_at_the_first_level_does_not_bring_them_and_nothing_of_them_is_stored_or_counted_as_retained() {
    let broker = every_second();
    said(broker.mqtt);
    let mut reader = Wire::subscriber(broker.mqtt, "reader", &[("#", 0), ("+/broker/uptime", 0)]);
    reader.expect_alive();
    assert_eq!(metric(broker.http, "dockgate_retained_messages", ""), 0.0);
    let silent = Broker::start(|settings| settings.sys_interval = Duration::ZERO);
    let mut reader = Wire::subscriber(silent.mqtt, "reader", &[("$SYS/#", 0)]);
    reader.expect_alive();
}
