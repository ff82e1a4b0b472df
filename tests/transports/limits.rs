//! Who says nothing, who comes too often, and who else is served meanwhile.

use std::time::Duration;

use dockgate::config::{Listener, ListenerLimits, Protocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::client::{Client, open, soon, tcp};
use crate::common::{Broker, Connect, Publish, V5, V311, eventually, metric};
use crate::protocols::{ALL, listeners};

const REFUSED: &str = "dockgate_connections_refused_total";

/// On each protocol 500: a hundred each that say nothing, and that stop in the middle of each handshake there is.
#[tokio::test]
async fn five_hundred_silent_clients_on_each_protocol_delay_nobody() {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit on files can be raised");
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| {
        settings.listeners = listeners(&authority);
        // None of them is to be gone by the end of the test.
        settings.limits.connect_timeout = Duration::from_secs(600);
    });
    let half: [&[u8]; 5] =
        [b"", b"\x10", b"\x16\x03\x01\x02", b"GET /mqtt HTTP/1.1\r\nhost: ", &Connect::new(V311, "x").bytes()[..9]];
    let mut silent: Vec<TcpStream> = Vec::new();
    for address in &broker.listeners {
        for number in 0..500 {
            let mut socket = tcp(*address).await;
            // What does not fit the protocol is closed at once, which is as good.
            let _closed = socket.write_all(half[number % half.len()]).await;
            silent.push(socket);
        }
    }
    let trust = authority.trust().config();
    let mut subscribers = Vec::new();
    for (protocol, address) in ALL.into_iter().zip(&broker.listeners) {
        let client = open(protocol, *address, &trust).await.expect("the way is open");
        let mut client = client.connect(protocol.as_str()).await;
        client.subscribe("a", 0).await;
        subscribers.push(client);
    }
    let publisher = open(Protocol::Wss, broker.listeners[3], &trust).await.expect("the way is open");
    publisher.connect("pub").await.publish(&Publish::new("a", "all the same")).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.expect_message().await.text(), "all the same");
    }
    assert_eq!(silent.len(), 2000);
    assert_eq!(metric(broker.http, REFUSED, "reason=\"timeout\""), 0.0);
}

#[tokio::test]
async fn one_deadline_is_for_all_handshakes_of_a_connection() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| {
        settings.listeners = listeners(&authority);
        for listener in &mut settings.listeners {
            listener.limits.connect_timeout = Some(Duration::from_millis(300));
            listener.proxy_protocol = true;
        }
    });
    let trust = authority.trust().config();
    let header = crate::proxy::header("192.0.2.1:5000");
    let mut sockets: Vec<Client> = Vec::new();
    for (protocol, address) in ALL.into_iter().zip(&broker.listeners) {
        // Silent from the first byte on; behind the header; and behind everything but CONNECT.
        sockets.push(Client::bytes(tcp(*address).await));
        let mut socket = tcp(*address).await;
        socket.write_all(&header).await.expect("the broker reads");
        sockets.push(Client::bytes(socket));
        let mut socket = tcp(*address).await;
        socket.write_all(&header).await.expect("the broker reads");
        if protocol == Protocol::Mqtts {
            let socket = crate::client::tls(socket, &trust).await.expect("TLS");
            sockets.push(Client::bytes(socket));
        } else {
            sockets.push(Client::bytes(socket));
        }
    }
    for client in &mut sockets {
        client.expect_closed().await;
    }
    eventually("they are counted", || metric(broker.http, REFUSED, "reason=\"timeout\"") == 12.0);
}

fn small(protocol: Protocol, connections: usize) -> Listener {
    let limits = ListenerLimits { connections: Some(connections), ..ListenerLimits::default() };
    Listener { limits, ..Listener::new(protocol, ([127, 0, 0, 1], 0).into()) }
}

#[tokio::test]
async fn a_full_listener_says_so_and_the_others_are_not_full() {
    let broker = Broker::start(|settings| {
        settings.listeners = vec![small(Protocol::Mqtt, 2), small(Protocol::Mqtt, 50)];
    });
    let connect = |at: usize, id: &'static str, version| {
        let address = broker.listeners[at];
        async move {
            let mut client = Client::bytes(tcp(address).await);
            let code = client.try_connect(&Connect::new(version, id)).await;
            (client, code)
        }
    };
    let (first, second) = (connect(0, "one", V311).await, connect(0, "two", V311).await);
    assert_eq!((first.1, second.1), (Some(0), Some(0)));
    assert_eq!(connect(0, "three", V311).await.1, Some(3));
    assert_eq!(connect(0, "four", V5).await.1, Some(0x89));
    assert_eq!(connect(1, "five", V311).await.1, Some(0));
    drop(first);
    eventually("it is gone", || metric(broker.http, "dockgate_disconnects_total", "reason=\"closed\"") >= 1.0);
    let mut code = None;
    for _ in 0..1000 {
        code = connect(0, "six", V311).await.1;
        if code == Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(code, Some(0), "its place is free again");
}

/// As many as there are places for connections do nothing, and take none.
#[tokio::test]
async fn who_has_not_said_connect_takes_no_place_from_who_has() {
    let broker = Broker::start(|settings| settings.listeners = vec![small(Protocol::Mqtt, 3)]);
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(tcp(broker.mqtt).await);
    }
    let mut clients = Vec::new();
    for id in ["one", "two", "three"] {
        clients.push(Client::bytes(tcp(broker.mqtt).await).connect(id).await);
    }
    // Twice as many sockets as connections is the end: the next is closed unheard.
    let mut socket = tcp(broker.mqtt).await;
    let read = soon("a close", socket.read(&mut [0; 8])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    eventually("it is counted", || metric(broker.http, REFUSED, "reason=\"limit\"") == 1.0);
}
