//! New certificates while connections stay.

use dockgate::config::Protocol;

use crate::certificates::Authority;
use crate::client::{Client, open};
use crate::common::{Broker, BrokerProcess, Connect, V311, eventually};

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_old_ones_stay() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| {
        settings.listeners = vec![authority.listener(Protocol::Mqtts), authority.listener(Protocol::Wss)];
    });
    let renewed = Authority::new("renewed");
    let (old, new) = (authority.trust().config(), renewed.trust().config());
    let mut clients: Vec<Client> = Vec::new();
    for (protocol, address) in [Protocol::Mqtts, Protocol::Wss].into_iter().zip(&broker.listeners) {
        assert!(open(protocol, *address, &new).await.is_err(), "nobody has heard of it yet");
        let client = open(protocol, *address, &old).await.expect("the way is open");
        clients.push(client.connect(protocol.as_str()).await);
    }
    authority.install(&renewed.certify(|_| ()));
    broker.reload();
    for (protocol, address) in [Protocol::Mqtts, Protocol::Wss].into_iter().zip(&broker.listeners) {
        open(protocol, *address, &new).await.expect("the new certificate is there").connect("new").await;
        // A client of its own has no ticket from before.
        assert!(open(protocol, *address, &authority.trust().config()).await.is_err(), "the old one is not");
    }
    for client in &mut clients {
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = vec![authority.listener(Protocol::Mqtts)]);
    let good = authority.certify(|_| ());
    let renewed = Authority::new("renewed").certify(|_| ());
    for (certificate, key) in [
        ("", &good.key[..]),
        (&good.certificate[..40], &good.key),
        // As if the renewal had written one of the two yet.
        (&renewed.certificate, &good.key),
        (&good.certificate, &renewed.key),
    ] {
        authority.write("cert.pem", certificate);
        authority.write("key.pem", key);
        broker.reload();
        let client = open(Protocol::Mqtts, broker.mqtt, &authority.trust().config()).await;
        client.expect("the old certificate is still there").connect("dock").await;
    }
}

#[tokio::test]
async fn who_has_a_ticket_is_asked_again_for_a_certificate_when_the_authority_has_changed() {
    let (server, clients, others) = (Authority::new("server"), Authority::new("clients"), Authority::new("others"));
    let mut listener = server.listener(Protocol::Mqtts);
    listener.client_ca = Some(server.write("clients.pem", &std::fs::read_to_string(clients.file()).expect("a file")));
    listener.require_client_cert = true;
    listener.allow_anonymous = Some(true);
    let broker = Broker::start(|settings| settings.listeners = vec![listener]);
    // One configuration keeps its tickets.
    let trust = server.trust().with_certificate(&clients.client("dock-1")).config();
    for _ in 0..2 {
        open(Protocol::Mqtts, broker.mqtt, &trust).await.expect("the way is open").connect("dock").await;
    }
    server.write("clients.pem", &std::fs::read_to_string(others.file()).expect("a file"));
    broker.reload();
    let code = match open(Protocol::Mqtts, broker.mqtt, &trust).await {
        Ok(mut client) => client.try_connect(&Connect::new(V311, "dock")).await,
        Err(_) => None,
    };
    assert_eq!(code, None, "its authority is not trusted any more");
}

#[tokio::test]
async fn sighup_reads_the_files_again_and_ends_nothing() {
    let authority = Authority::new("ours");
    let listener = authority.listener(Protocol::Mqtts);
    let file = |path: Option<std::path::PathBuf>| path.expect("it has one").display().to_string();
    let (certificate, key) = (file(listener.tls_cert), file(listener.tls_key));
    let listeners = format!(
        r#"[{{protocol="mqtts",bind="127.0.0.1:0",tls_cert="{certificate}",tls_key="{key}"}},{{bind="127.0.0.1:0"}}]"#
    );
    let mut broker = BrokerProcess::start(&[("DOCKGATE_LISTENERS", &listeners)]);
    assert_eq!(broker.listeners.iter().map(|(protocol, _)| &protocol[..]).collect::<Vec<_>>(), ["mqtts", "mqtt"]);
    let trust = authority.trust().config();
    let client = open(Protocol::Mqtts, broker.mqtt, &trust).await.expect("the way is open");
    let mut client = client.connect("stays").await;

    let renewed = Authority::new("renewed");
    authority.install(&renewed.certify(|_| ()));
    broker.hang_up();
    eventually("the log says so", || broker.log().contains("passwords and rules are read again"));
    let address = broker.mqtt.to_string();
    let renewal =
        broker.log().lines().find(|line| line.contains("certificate and key are read again")).map(str::to_owned);
    assert!(renewal.is_some_and(|line| line.contains(&address)), "{address} in {}", broker.log());
    let new = open(Protocol::Mqtts, broker.mqtt, &renewed.trust().config()).await;
    new.expect("the new certificate is there").connect("new").await;
    client.expect_alive().await;

    std::fs::write(&key, "no key").expect("our own file");
    broker.hang_up();
    eventually("the log says why", || broker.log().contains("there is no private key in this file"));
    assert!(broker.log().contains(&format!("of the listener on {address} stay in force")), "{}", broker.log());
    let new = open(Protocol::Mqtts, broker.mqtt, &renewed.trust().config()).await;
    new.expect("the new certificate is still there").connect("new").await;
    client.expect_alive().await;
    broker.expect_alive();
}
