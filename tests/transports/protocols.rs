//! One broker, four ways to it.

use dockgate::config::{Listener, Protocol};

use crate::certificates::Authority;
use crate::client::{Client, open};
use crate::common::{Answer, Broker, Connect, DISCONNECT, Publish, VERSIONS, metric};

pub(crate) const ALL: [Protocol; 4] = [Protocol::Mqtt, Protocol::Mqtts, Protocol::Ws, Protocol::Wss];

/// A listener of each protocol, in the order of [`ALL`].
pub(crate) fn listeners(authority: &Authority) -> Vec<Listener> {
    ALL.into_iter()
        .map(|protocol| {
            if protocol.is_tls() {
                authority.listener(protocol)
            } else {
                Listener::new(protocol, ([127, 0, 0, 1], 0).into())
            }
        })
        .collect()
}

async fn clients(broker: &Broker, authority: &Authority, name: &str) -> Vec<Client> {
    let trust = authority.trust().config();
    let mut clients = Vec::new();
    for (protocol, address) in ALL.into_iter().zip(&broker.listeners) {
        let client = open(protocol, *address, &trust).await.expect("the way is open");
        clients.push(client.connect(&format!("{name}-{}", protocol.as_str())).await);
    }
    clients
}

#[tokio::test]
async fn what_comes_one_way_leaves_by_all() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = listeners(&authority));
    let mut subscribers = clients(&broker, &authority, "sub").await;
    for subscriber in &mut subscribers {
        subscriber.subscribe("a/b", 1).await;
    }
    for (mut publisher, protocol) in clients(&broker, &authority, "pub").await.into_iter().zip(ALL) {
        publisher.publish(&Publish::new("a/b", protocol.as_str()).qos(1, 9)).await;
        assert!(matches!(publisher.next().await, Answer::Ack(_, 9, 0, _)));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.expect_message().await.text(), protocol.as_str());
        }
    }
}

#[tokio::test]
async fn every_version_of_mqtt_comes_every_way_and_leaves() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = listeners(&authority));
    let trust = authority.trust().config();
    for (protocol, address) in ALL.into_iter().zip(&broker.listeners) {
        for version in VERSIONS {
            let mut client = open(protocol, *address, &trust).await.expect("the way is open");
            assert_eq!(client.try_connect(&Connect::new(version, "dock")).await, Some(0), "{protocol:?} {version:?}");
            client.expect_alive().await;
            client.send(&DISCONNECT).await;
            client.expect_closed().await;
        }
    }
    assert_eq!(metric(broker.http, "dockgate_disconnects_total", "reason=\"client\""), 12.0);
}

/// More than any buffer on the way holds, both ways, in pieces that fit nothing.
#[tokio::test]
async fn a_message_of_megabytes_comes_through_whole() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = listeners(&authority));
    let payload: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect();
    for (mut client, protocol) in clients(&broker, &authority, "big").await.into_iter().zip(ALL) {
        client.subscribe(protocol.as_str(), 0).await;
        client.publish(&Publish::new(protocol.as_str(), &payload)).await;
        let message = client.expect_message().await;
        assert!(message.payload == payload, "{protocol:?}: {} bytes came", message.payload.len());
    }
}

/// What does not fit the kernel's buffers waits in the session, and comes when there is room.
#[tokio::test]
async fn a_reader_that_pauses_gets_everything_to_the_last_byte() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = listeners(&authority));
    let mut publisher = clients(&broker, &authority, "pub").await.remove(0);
    for (mut subscriber, protocol) in clients(&broker, &authority, "sub").await.into_iter().zip(ALL) {
        subscriber.subscribe("slow", 0).await;
        // 12 MB is more than the kernel buffers; it is not read before all of it is sent.
        let payload = vec![7; 60_000];
        for _ in 0..200 {
            publisher.publish(&Publish::new("slow", &payload).qos(1, 1)).await;
            assert!(matches!(publisher.next().await, Answer::Ack(..)));
        }
        publisher.publish(&Publish::new("slow", "last")).await;
        for number in 0..200 {
            let message = subscriber.expect_message().await;
            assert_eq!(message.payload.len(), 60_000, "{protocol:?}, message {number}");
        }
        assert_eq!(subscriber.expect_message().await.text(), "last", "{protocol:?}");
    }
}
