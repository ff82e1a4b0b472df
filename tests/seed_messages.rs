//! The protocol page's own messages (`tests/seed`), through clients that others wrote: mosquitto_pub and mosquitto_sub,
//! and rumqttc. What arrives is what was sent, byte for byte.

mod common;

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use common::{Broker, DEADLINE, Publish, V311, Wire};

/// Name of the file, last level of the topic.
const MESSAGES: [(&str, &str); 7] = [
    ("fileupload_list", "services"),
    ("fileupload_list_reply", "services_reply"),
    ("fileupload_start", "services"),
    ("fileupload_start_reply", "services_reply"),
    ("fileupload_update", "services"),
    ("fileupload_update_reply", "services_reply"),
    ("fileupload_progress", "events"),
];

const MISSING: &str = "mosquitto_pub and mosquitto_sub are needed: apt-get install mosquitto-clients (see README.md)";

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/seed/{name}.json"))
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).expect("the seed's messages are in tests/seed")
}

/// A mosquitto_sub that has its subscription; it is killed when this is dropped.
struct MosquittoSub(Child);

impl Drop for MosquittoSub {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Starts mosquitto_sub for one message and returns once it is subscribed. A retained message on a second filter
/// of the same SUBSCRIBE shows that it is.
fn mosquitto_sub(
    broker: SocketAddr,
    version: &str,
    qos: &str,
    filter: &str,
) -> (MosquittoSub, mpsc::Receiver<Vec<u8>>) {
    let mut helper = Wire::clean(broker, V311, "helper");
    helper.publish(&Publish::new("seed/ready", "ready").qos(1, 1).retain());
    let (host, port) = (broker.ip().to_string(), broker.port().to_string());
    let mut child = Command::new("mosquitto_sub")
        .args(["-h", &host, "-p", &port, "-V", version, "-q", qos])
        .args(["-t", filter, "-t", "seed/ready", "-C", "2", "-N"])
        .stdout(Stdio::piped())
        .spawn()
        .expect(MISSING);
    let mut output = child.stdout.take().expect("it is piped");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut ready = [0; 5];
        output.read_exact(&mut ready).expect("mosquitto_sub gets the retained message");
        tell.send(ready.to_vec()).ok();
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).expect("mosquitto_sub writes to its end");
        tell.send(rest).ok();
    });
    let ready = told.recv_timeout(DEADLINE).expect("mosquitto_sub is ready in time");
    assert_eq!(ready, b"ready");
    (MosquittoSub(child), told)
}

fn mosquitto_pub(broker: SocketAddr, version: &str, qos: &str, topic: &str, name: &str) {
    let (host, port) = (broker.ip().to_string(), broker.port().to_string());
    let status = Command::new("mosquitto_pub")
        .args(["-h", &host, "-p", &port, "-V", version, "-q", qos, "-t", topic, "-f"])
        .arg(file(name))
        .status()
        .expect(MISSING);
    assert!(status.success(), "mosquitto_pub {name} at {version}: {status}");
}

#[track_caller]
fn expect_same(came: &[u8], name: &str, how: &str) {
    let sent = bytes(name);
    assert!(
        came == sent,
        "{name}, {how}:\nsent {}\ncame {}",
        String::from_utf8_lossy(&sent),
        String::from_utf8_lossy(came)
    );
}

/// Each combination has a gateway of its own, so that no upload is in the way of another.
fn through_mosquitto(from: &str, to: &str) {
    let broker = Broker::start(|_| {});
    for (gateway, qos) in [("4TADK7E0000000", "0"), ("4TADK7E0000001", "1"), ("4TADK7E0000002", "2")] {
        for (name, kind) in MESSAGES {
            let topic = format!("thing/product/{gateway}/{kind}");
            let wild = format!("thing/product/+/{kind}");
            let filter = if qos == "1" { &wild } else { &topic };
            let (_subscriber, output) = mosquitto_sub(broker.mqtt, to, qos, filter);
            mosquitto_pub(broker.mqtt, from, qos, &topic, name);
            let came = output.recv_timeout(DEADLINE).expect("mosquitto_sub ends");
            expect_same(&came, name, &format!("{from} to {to}, {filter} at QoS {qos}"));
        }
    }
}

#[test]
fn through_mosquitto_clients_from_3_1_1_to_3_1_1() {
    through_mosquitto("mqttv311", "mqttv311");
}

#[test]
fn through_mosquitto_clients_from_5_to_3_1_1() {
    through_mosquitto("mqttv5", "mqttv311");
}

#[test]
fn through_mosquitto_clients_from_3_1_1_to_5() {
    through_mosquitto("mqttv311", "mqttv5");
}

#[test]
fn through_mosquitto_clients_from_5_to_5() {
    through_mosquitto("mqttv5", "mqttv5");
}

/// Drives a client of rumqttc until its connection ends.
macro_rules! drive {
    ($connection:expr) => {
        std::thread::spawn(move || while let Ok(Ok(_)) = $connection.recv() {})
    };
}

#[test]
fn through_rumqttc_at_3_1_1() {
    use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
    let broker = Broker::start(|_| {});
    let options = |id: &str| MqttOptions::new(id, "127.0.0.1", broker.mqtt.port());
    let (subscriber, mut incoming) = Client::new(options("sub"), 10);
    let (publisher, mut outgoing) = Client::new(options("pub"), 10);
    let driver = drive!(outgoing);
    let mut next = || incoming.recv_timeout(DEADLINE).expect("in time").expect("connected");
    for (name, kind) in MESSAGES {
        let topic = format!("thing/product/4TADK7E0000003/{kind}");
        subscriber.subscribe(&topic, QoS::AtLeastOnce).expect("a subscription");
        while !matches!(next(), Event::Incoming(Packet::SubAck(_))) {}
        publisher.publish(&topic, QoS::AtLeastOnce, false, bytes(name)).expect("a message");
        let message = loop {
            if let Event::Incoming(Packet::Publish(message)) = next() {
                break message;
            }
        };
        assert_eq!(message.topic, topic);
        expect_same(&message.payload, name, "rumqttc at 3.1.1");
    }
    publisher.disconnect().expect("a disconnect");
    driver.join().expect("the driver ends");
}

#[test]
fn through_rumqttc_at_5() {
    use rumqttc::v5::mqttbytes::{QoS, v5::Packet};
    use rumqttc::v5::{Client, Event, MqttOptions};
    let broker = Broker::start(|_| {});
    let options = |id: &str| MqttOptions::new(id, "127.0.0.1", broker.mqtt.port());
    let (subscriber, mut incoming) = Client::new(options("sub"), 10);
    let (publisher, mut outgoing) = Client::new(options("pub"), 10);
    let driver = drive!(outgoing);
    let mut next = || incoming.recv_timeout(DEADLINE).expect("in time").expect("connected");
    for (name, kind) in MESSAGES {
        let topic = format!("thing/product/4TADK7E0000003/{kind}");
        subscriber.subscribe(&topic, QoS::ExactlyOnce).expect("a subscription");
        while !matches!(next(), Event::Incoming(Packet::SubAck(_))) {}
        publisher.publish(&topic, QoS::ExactlyOnce, false, bytes(name)).expect("a message");
        let message = loop {
            if let Event::Incoming(Packet::Publish(message)) = next() {
                break message;
            }
        };
        assert_eq!(&message.topic[..], topic.as_bytes());
        expect_same(&message.payload, name, "rumqttc at 5");
    }
    publisher.disconnect().expect("a disconnect");
    driver.join().expect("the driver ends");
}
