//! MQTT over WebSocket: the upgrade, and what frames may look like.

use std::io::ErrorKind;
use std::net::SocketAddr;

use bytes::Bytes;
use dockgate::config::{Listener, Protocol};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Client, Socket, request, soon, tcp, upgrade};
use crate::common::{Answer, Broker, BrokerProcess, Connect, PINGREQ, Publish, V311, eventually, frame, metric};

const REFUSED: &str = "dockgate_connections_refused_total";

fn broker() -> Broker {
    Broker::start(|settings| {
        settings.listeners = vec![Listener::new(Protocol::Ws, ([127, 0, 0, 1], 0).into())];
    })
}

async fn socket(broker: &Broker) -> Socket {
    Box::new(tcp(broker.mqtt).await)
}

async fn client(broker: &Broker) -> Client {
    let (stream, _) = upgrade(socket(broker).await, request("/mqtt", Some("mqtt"))).await.expect("an upgrade");
    Client::websocket(stream)
}

/// The code of the Close that must come.
async fn close_code(client: &mut Client) -> CloseCode {
    loop {
        match soon("a close", client.frames().next()).await {
            Some(Ok(Message::Close(Some(close)))) => return close.code,
            Some(Ok(Message::Binary(_))) => {}
            other => panic!("Close expected, {other:?} came"),
        }
    }
}

/// The broker gives a client that has broken the protocol a moment to read why; all of them the same one.
async fn all_closed(clients: Vec<Client>) {
    for mut client in clients {
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn the_sub_protocol_is_the_best_of_those_that_are_offered() {
    let broker = broker();
    for (path, offered, chosen) in [
        ("/mqtt", "mqtt", "mqtt"),
        ("/mqtt", "mqttv3.1", "mqttv3.1"),
        ("/mqtt", "chat, mqttv3.1,mqtt", "mqtt"),
        ("/mqtt?token=%20x&y", "mqtt", "mqtt"),
    ] {
        let (stream, protocol) = upgrade(socket(&broker).await, request(path, Some(offered))).await.expect(offered);
        assert_eq!(protocol, chosen, "{path} {offered}");
        Client::websocket(stream).connect("dock").await;
    }
}

/// As RFC 6455, 11.3.4, allows; tungstenite's client does not.
#[tokio::test]
async fn sub_protocols_may_be_offered_in_several_headers() {
    let broker = broker();
    let mut socket = tcp(broker.mqtt).await;
    let text = "GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                sec-websocket-protocol: chat\r\nsec-websocket-protocol: mqtt\r\n\r\n";
    socket.write_all(text.as_bytes()).await.expect("the broker reads");
    let mut answer = vec![0; 1024];
    let length = soon("an answer", socket.read(&mut answer)).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
    assert!(answer.starts_with("http/1.1 101 ") && answer.contains("sec-websocket-protocol: mqtt\r\n"), "{answer}");
}

#[tokio::test]
async fn another_path_is_not_found_and_another_sub_protocol_is_a_bad_request() {
    let broker = broker();
    for (path, offered, status) in [
        ("/", Some("mqtt"), 404),
        ("/mqtt/", Some("mqtt"), 404),
        ("/mqttx", Some("mqtt"), 404),
        ("/mqtt", None, 400),
        ("/mqtt", Some("MQTT"), 400),
        ("/mqtt", Some("mqttv5, chat"), 400),
    ] {
        match upgrade(socket(&broker).await, request(path, offered)).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{path} {offered:?}"),
            other => panic!("{path} {offered:?}: {other:?}"),
        }
    }
    eventually("they are counted", || metric(broker.http, REFUSED, "reason=\"handshake\"") == 6.0);
}

/// The status of the answer to a web page of this origin, or to a client that is no browser.
async fn knock(address: SocketAddr, origin: Option<&str>) -> u16 {
    let mut request = request("/mqtt", Some("mqtt"));
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().expect("a header"));
    }
    match upgrade(Box::new(tcp(address).await), request).await {
        Ok((stream, _)) => {
            Client::websocket(stream).connect("page").await;
            101
        }
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("{origin:?}: {other}"),
    }
}

#[tokio::test]
async fn a_web_page_comes_in_if_its_origin_is_listed() {
    let listed = |origins: &[&str]| Listener {
        origins: origins.iter().map(|text| text.parse().expect("an origin")).collect(),
        allow_anonymous: Some(true),
        ..Listener::new(Protocol::Ws, ([127, 0, 0, 1], 0).into())
    };
    let broker = Broker::start(|settings| {
        settings.listeners =
            vec![listed(&["https://ops.example", "http://10.0.0.1:8080"]), listed(&["null"]), listed(&["*"])];
    });
    let [some, null, any] = broker.listeners[..] else { panic!("there are three") };
    for (address, origin, status) in [
        (some, Some("https://ops.example"), 101),
        (some, Some("https://OPS.example:443"), 101),
        (some, Some("http://10.0.0.1:8080"), 101),
        (some, None, 101),
        (some, Some("http://ops.example"), 403),
        (some, Some("https://ops.example:8443"), 403),
        (some, Some("https://ops.example.evil.example"), 403),
        (some, Some("http://localhost"), 403),
        (some, Some("null"), 403),
        (some, Some("*"), 403),
        (some, Some(""), 403),
        (null, Some("null"), 101),
        (null, Some("https://ops.example"), 403),
        (any, Some("https://evil.example"), 101),
        (any, Some("null"), 101),
        (any, Some("file://"), 101),
    ] {
        assert_eq!(knock(address, origin).await, status, "{origin:?}");
    }
    eventually("they are counted", || metric(broker.http, REFUSED, "reason=\"handshake\"") == 8.0);
}

/// Any page that somebody on this machine looks at can connect to its loopback address.
#[tokio::test]
async fn of_an_open_listener_of_this_machine_the_pages_of_others_stay_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let passwords = folder.path().join("passwd");
    std::fs::write(&passwords, "").expect("our own file");
    let open = broker();
    let guarded = Broker::start(|settings| {
        settings.listeners = vec![Listener::new(Protocol::Ws, ([127, 0, 0, 1], 0).into())];
        settings.access.password_file = Some(passwords);
    });
    for (origin, status) in [
        (None, 101),
        (Some("http://localhost:3000"), 101),
        (Some("http://127.0.0.1"), 101),
        (Some("https://[::1]:8443"), 101),
        (Some("https://evil.example"), 403),
        (Some("http://localhost.evil.example"), 403),
        (Some("null"), 403),
    ] {
        assert_eq!(knock(open.mqtt, origin).await, status, "{origin:?}");
    }
    // A page does not know the password, so it may try.
    let mut request = request("/mqtt", Some("mqtt"));
    request.headers_mut().insert("origin", "https://ops.example".parse().expect("a header"));
    let (stream, _) = upgrade(Box::new(tcp(guarded.mqtt).await), request).await.expect("an upgrade");
    assert_eq!(Client::websocket(stream).try_connect(&Connect::new(V311, "page")).await, Some(5));
}

#[tokio::test]
async fn the_log_says_which_page_was_refused_and_how_to_let_it_in() {
    let listeners = r#"[{bind="127.0.0.1:0"},{protocol="ws",bind="127.0.0.1:0",origins=["https://ops.example"]}]"#;
    let broker = BrokerProcess::start(&[("DOCKGATE_LISTENERS", listeners)]);
    assert_eq!(knock(broker.listeners[1].1, Some("https://evil.example")).await, 403);
    eventually("it is logged", || {
        let log = broker.log();
        log.lines()
            .any(|line| line.contains("https://evil.example: ") && line.contains("add it to listeners[1].origins"))
    });
}

#[tokio::test]
async fn what_is_no_upgrade_is_answered_with_400_and_closed() {
    let broker = broker();
    let long = format!("GET /mqtt HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(70_000));
    let many = format!("GET /mqtt HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    for text in [
        "GET /mqtt HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /mqtt HTTP/1.1\r\nhost: x\r\n\r\n",
        "\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0",
        &many,
        &long,
    ] {
        let mut socket = tcp(broker.mqtt).await;
        let _closed_early = socket.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        match soon("an answer", socket.read_to_end(&mut answer)).await {
            Ok(_) => assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}: {answer:?}", &text[..20]),
            // Not all of the header was read.
            Err(error) => assert!(error.kind() == ErrorKind::ConnectionReset && text == long, "{error}"),
        }
    }
}

#[tokio::test]
async fn packets_may_be_split_and_gathered_as_the_client_likes() {
    let broker = broker();
    let mut client = client(&broker).await;
    for byte in Connect::new(V311, "dock").bytes() {
        client.send(&[byte]).await;
    }
    assert!(matches!(client.next().await, Answer::Connack(connack) if connack.code == 0));
    client.subscribe("t", 0).await;
    // Three packets and a half, an empty frame, the other half.
    let packets: Vec<u8> = ["a", "b", "c", "d"].iter().flat_map(|text| Publish::new("t", text).bytes(V311)).collect();
    let (head, tail) = packets.split_at(packets.len() - 3);
    client.send(head).await;
    client.send(&[]).await;
    client.send(tail).await;
    for text in ["a", "b", "c", "d"] {
        assert_eq!(client.expect_message().await.text(), text);
    }
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_in_between_is_one() {
    let broker = broker();
    let mut client = client(&broker).await.connect("dock").await;
    client.subscribe("t", 0).await;
    let bytes = Publish::new("t", "fragmented").bytes(V311);
    let fragment =
        |bytes: &[u8], opcode, last| Message::Frame(Frame::message(Bytes::copy_from_slice(bytes), opcode, last));
    let frames = client.frames();
    frames.send(fragment(&bytes[..4], OpCode::Data(Data::Binary), false)).await.expect("it goes out");
    frames.send(Message::Ping(Bytes::from_static(b"still there?"))).await.expect("it goes out");
    frames.send(fragment(&[], OpCode::Data(Data::Continue), false)).await.expect("it goes out");
    frames.send(fragment(&bytes[4..], OpCode::Data(Data::Continue), true)).await.expect("it goes out");
    let pong = soon("a pong", frames.next()).await.expect("a frame").expect("a frame");
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"still there?")));
    assert_eq!(client.expect_message().await.text(), "fragmented");
}

#[tokio::test]
async fn a_text_frame_ends_the_connection() {
    let broker = broker();
    let mut client = client(&broker).await.connect("dock").await;
    client.frames().send(Message::text("hello")).await.expect("it goes out");
    assert_eq!(close_code(&mut client).await, CloseCode::Unsupported);
    client.expect_closed().await;
    eventually("it is counted", || metric(broker.http, "dockgate_protocol_errors_total", "kind=\"malformed\"") == 1.0);
}

#[tokio::test]
async fn the_client_closes_with_close_and_gets_one_back() {
    let broker = broker();
    let mut client = client(&broker).await.connect("dock").await;
    client.frames().close(None).await.expect("it goes out");
    client.expect_closed().await;
    eventually("it is gone", || metric(broker.http, "dockgate_disconnects_total", "reason=\"closed\"") == 1.0);
}

#[tokio::test]
async fn a_frame_that_says_it_is_huge_is_refused_at_once() {
    let broker = broker();
    let mut closing = Vec::new();
    for length in [1_u64 << 63, u64::MAX, (4 << 20) + 1] {
        let mut client = client(&broker).await.connect(&format!("dock-{length}")).await;
        let mut header = vec![0x82, 0xff];
        header.extend(length.to_be_bytes());
        header.extend([1, 2, 3, 4]);
        client.frames().get_mut().write_all(&header).await.expect("it goes out");
        assert_eq!(close_code(&mut client).await, CloseCode::Size, "{length}");
        closing.push(client);
    }
    all_closed(closing).await;
}

/// A message has no size, only packets have.
#[tokio::test]
async fn a_message_may_go_on_for_ever_in_fragments() {
    let broker = Broker::start(|settings| {
        settings.listeners = vec![Listener::new(Protocol::Ws, ([127, 0, 0, 1], 0).into())];
        settings.limits.max_packet_size = 1 << 20;
    });
    let mut client = client(&broker).await.connect("dock").await;
    client.subscribe("t", 0).await;
    let packet = Bytes::from(Publish::new("t", vec![7; 100_000]).bytes(V311));
    for number in 0..20 {
        let opcode = if number == 0 { Data::Binary } else { Data::Continue };
        let frame = Message::Frame(Frame::message(packet.clone(), OpCode::Data(opcode), false));
        client.frames().send(frame).await.expect("the broker takes it");
        assert_eq!(client.expect_message().await.payload.len(), 100_000, "{number}");
    }
}

/// As an unmasked frame, one with a reserved bit, an unknown opcode, a fragment of nothing, a control frame in pieces.
#[tokio::test]
async fn frames_that_break_rfc_6455_end_the_connection() {
    let broker = broker();
    let mut closing = Vec::new();
    for bytes in [
        &[0x82, 0x01, 0x00][..],
        &[0xc2, 0x80, 0, 0, 0, 0],
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x80, 0x80, 0, 0, 0, 0],
        &[0x09, 0x80, 0, 0, 0, 0],
        &[0x89, 0xfe, 0, 126, 0, 0, 0, 0],
    ] {
        let mut client = client(&broker).await.connect(&format!("dock-{}", closing.len())).await;
        let socket = client.frames().get_mut();
        socket.write_all(bytes).await.expect("it goes out");
        if bytes.len() == 8 {
            socket.write_all(&[0; 126]).await.expect("it goes out");
        }
        assert_eq!(close_code(&mut client).await, CloseCode::Protocol, "{bytes:02x?}");
        closing.push(client);
    }
    all_closed(closing).await;
}

#[tokio::test]
async fn a_packet_that_lies_about_its_length_is_mqtts_matter_and_not_the_frames() {
    let broker = broker();
    // More than the limit: refused when the length is there, whatever the frame says.
    let mut liar = client(&broker).await.connect("large").await;
    liar.send(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    liar.expect_closed().await;
    // Five bytes of length are none.
    let mut liar = client(&broker).await.connect("long").await;
    liar.send(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01]).await;
    liar.expect_closed().await;
    // Less than the frame holds: what is left over is the next packet, and that is none.
    let mut liar = client(&broker).await.connect("short").await;
    liar.send(&[0x30, 0x03, 0x00, 0x01, b't', 0x00, 0x00]).await;
    liar.expect_closed().await;
    // More than the frame holds: the rest comes in the next one.
    let mut patient = client(&broker).await.connect("patient").await;
    patient.subscribe("t", 0).await;
    patient.send(&frame(0x30, b"\0\x01tpayload")[..5]).await;
    patient.send(b"payload").await;
    assert_eq!(patient.expect_message().await.text(), "payload");
}

/// The last packets before the end come, and the end is a WebSocket's end.
#[tokio::test]
async fn what_the_broker_says_last_arrives_before_its_close() {
    let mut broker = broker();
    let mut client = client(&broker).await;
    assert_eq!(client.try_connect(&Connect::new(crate::common::V5, "dock")).await, Some(0));
    client.send(&PINGREQ).await;
    assert_eq!(client.next().await, Answer::Pingresp);
    broker.ask_to_stop();
    assert!(matches!(client.next().await, Answer::Disconnect(0x8b, _)));
    client.expect_closed().await;
}
