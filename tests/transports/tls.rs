//! TLS: versions, client certificates, and files that cannot be used.

use std::net::SocketAddr;
use std::sync::Arc;

use dockgate::config::{Listener, Protocol};
use dockgate::mqtt::transport::tls::load;
use rcgen::{DistinguishedName, DnType, KeyPair, date_time_ymd};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::rustls::ClientConfig;

use crate::certificates::{Authority, TLS12, TLS13, private};
use crate::client::{Client, open, soon, tcp};
use crate::common::{Answer, Broker, Connect, V5, V311, eventually, metric, subscribe};

const REFUSED: &str = "dockgate_connections_refused_total";

/// CONNACK's code, if the broker gets that far. In TLS 1.3 a client may send before it learns that its certificate is not
/// taken.
async fn try_connect(address: SocketAddr, trust: &Arc<ClientConfig>) -> Option<u8> {
    let mut client = open(Protocol::Mqtts, address, trust).await.ok()?;
    client.try_connect(&Connect::new(V311, "dock")).await
}

#[tokio::test]
async fn clients_with_tls_1_2_only_and_with_1_3_only_are_served() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = vec![authority.listener(Protocol::Mqtts)]);
    for versions in [TLS12, TLS13] {
        let trust = authority.trust().only(versions).config();
        assert_eq!(try_connect(broker.mqtt, &trust).await, Some(0), "{versions:?}");
    }
}

#[tokio::test]
async fn a_client_may_name_mqtt_as_its_protocol_but_no_other() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = vec![authority.listener(Protocol::Mqtts)]);
    let trust = authority.trust().naming(&["something", "mqtt"]).config();
    assert_eq!(try_connect(broker.mqtt, &trust).await, Some(0));
    let trust = authority.trust().naming(&["h2"]).config();
    assert_eq!(try_connect(broker.mqtt, &trust).await, None);
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_is_closed_and_counted() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = vec![authority.listener(Protocol::Mqtts)]);
    let mut client = Client::bytes(tcp(broker.mqtt).await);
    client.send(&Connect::new(V311, "plain").bytes()).await;
    // TLS answers with an alert, which is no MQTT packet.
    let mut socket = tcp(broker.mqtt).await;
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("the broker reads");
    eventually("both are counted", || metric(broker.http, REFUSED, "reason=\"handshake\"") == 2.0);
}

fn with_client_ca(server: &Authority, clients: &Authority, required: bool) -> Listener {
    let mut listener = server.listener(Protocol::Mqtts);
    listener.client_ca = Some(clients.file());
    listener.require_client_cert = required;
    // What matters here is the certificate.
    listener.allow_anonymous = Some(true);
    listener
}

#[tokio::test]
async fn a_required_client_certificate_must_be_there_and_of_the_right_authority() {
    let (server, clients, others) = (Authority::new("server"), Authority::new("clients"), Authority::new("others"));
    let broker = Broker::start(|settings| settings.listeners = vec![with_client_ca(&server, &clients, true)]);
    for versions in [TLS12, TLS13] {
        let trust = server.trust().only(versions);
        let right = trust.clone().with_certificate(&clients.client("dock-1"));
        assert_eq!(try_connect(broker.mqtt, &right.config()).await, Some(0), "{versions:?}");
        let wrong = trust.clone().with_certificate(&others.client("dock-1"));
        assert_eq!(try_connect(broker.mqtt, &wrong.config()).await, None, "{versions:?}");
        assert_eq!(try_connect(broker.mqtt, &trust.config()).await, None, "{versions:?}");
    }
    eventually("they are counted", || metric(broker.http, REFUSED, "reason=\"handshake\"") == 4.0);
}

#[tokio::test]
async fn an_optional_client_certificate_may_be_missing_but_not_wrong() {
    let (server, clients, others) = (Authority::new("server"), Authority::new("clients"), Authority::new("others"));
    let broker = Broker::start(|settings| settings.listeners = vec![with_client_ca(&server, &clients, false)]);
    assert_eq!(try_connect(broker.mqtt, &server.trust().config()).await, Some(0));
    let right = server.trust().with_certificate(&clients.client("dock-1"));
    assert_eq!(try_connect(broker.mqtt, &right.config()).await, Some(0));
    let wrong = server.trust().with_certificate(&others.client("dock-1"));
    assert_eq!(try_connect(broker.mqtt, &wrong.config()).await, None);
}

/// It is a proof where anonymous clients are not let in, and gives the name that a `CONNECT` may not contradict.
#[tokio::test]
async fn the_common_name_of_a_client_certificate_is_a_user_name() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let broker = Broker::start(|settings| {
        let mut listener = with_client_ca(&server, &clients, false);
        listener.allow_anonymous = Some(false);
        settings.listeners = vec![listener];
        settings.access.roles.dock = vec!["4TAD*".to_owned()];
    });
    assert_eq!(try_connect(broker.mqtt, &server.trust().config()).await, Some(5), "no certificate, no password");
    let trust = server.trust().with_certificate(&clients.client("4TADDOCK1")).config();
    let mut client = open(Protocol::Mqtts, broker.mqtt, &trust).await.expect("the way is open");
    assert_eq!(client.try_connect(&Connect::new(V5, "4TADDOCK1")).await, Some(0));
    // The dock of that name, and no other.
    for (topic, code) in [("thing/product/4TADDOCK1/services", 1), ("thing/product/4TADDOCK2/services", 0x87)] {
        client.send(&subscribe(V5, 7, &[], &[(topic, 1)])).await;
        assert_eq!(client.next().await, Answer::Suback(7, vec![code]), "{topic}");
    }
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_not_taken_for_none() {
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let broker = Broker::start(|settings| settings.listeners = vec![with_client_ca(&server, &clients, false)]);
    let nameless = clients.certify(|params| params.distinguished_name = DistinguishedName::new());
    let trust = server.trust().with_certificate(&nameless).config();
    assert_eq!(try_connect(broker.mqtt, &trust).await, None);
    let control = clients.client("dock\n1");
    let trust = server.trust().with_certificate(&control).config();
    assert_eq!(try_connect(broker.mqtt, &trust).await, None);
    eventually("they are counted", || metric(broker.http, REFUSED, "reason=\"handshake\"") == 2.0);
}

#[tokio::test]
async fn a_client_that_closes_without_close_notify_has_just_closed() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = vec![authority.listener(Protocol::Mqtts)]);
    let client = open(Protocol::Mqtts, broker.mqtt, &authority.trust().config()).await.expect("the way is open");
    drop(client.connect("dock").await);
    eventually("it is gone", || metric(broker.http, "dockgate_disconnects_total", "reason=\"closed\"") == 1.0);
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_tls_session() {
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = vec![authority.listener(Protocol::Mqtts)]);
    let config = authority.trust().config();
    let connector = tokio_rustls::TlsConnector::from(config);
    let mut kinds = Vec::new();
    for round in 0..2 {
        let name = tokio_rustls::rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let stream = connector.connect(name, tcp(broker.mqtt).await);
        let mut stream = soon("TLS", stream).await.expect("the handshake");
        stream.write_all(&Connect::new(V311, "dock").bytes()).await.expect("the broker reads");
        // The ticket comes with the first bytes that are read.
        let mut connack = [0; 4];
        soon("CONNACK", tokio::io::AsyncReadExt::read_exact(&mut stream, &mut connack)).await.expect("CONNACK");
        kinds.push(stream.get_ref().1.handshake_kind().expect("it is over"));
        if round == 0 {
            broker.reload();
        }
    }
    use tokio_rustls::rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed], "although the certificate was read again in between");
}

/// What `load` says about a listener's files.
fn faults(listener: &Listener) -> Vec<String> {
    load(listener).expect_err("this cannot be used").iter().map(ToString::to_string).collect()
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_reason() {
    let authority = Authority::new("ours");
    let good = authority.listener(Protocol::Mqtts);
    assert!(load(&good).is_ok());
    let changed = |change: &dyn Fn(&mut Listener)| {
        let mut listener = good.clone();
        change(&mut listener);
        faults(&listener)
    };
    let one = |faults: Vec<String>, path: &str, fault: &str| {
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(path) && faults[0].contains(fault), "{path}: {fault}: {faults:?}");
    };
    one(changed(&|l| l.tls_key = None), "listeners", "has no tls_key");
    one(changed(&|l| l.tls_cert = Some("/nowhere/cert.pem".into())), "/nowhere/cert.pem", "cannot be read");
    let key = std::fs::read_to_string(good.tls_key.as_ref().expect("it has one")).expect("a file");
    let certificate = std::fs::read_to_string(good.tls_cert.as_ref().expect("it has one")).expect("a file");
    let file = |name: &str, text: &str| Some(authority.write(name, text));
    one(changed(&|l| l.tls_cert = file("no-cert.pem", &key)), "no-cert.pem", "no certificate");
    one(changed(&|l| l.tls_key = file("no-key.pem", &certificate)), "no-key.pem", "no private key");
    one(changed(&|l| l.tls_key = file("cut.pem", &key[..key.len() / 2])), "cut.pem", "no end");
    one(
        changed(&|l| l.tls_cert = file("bin.pem", "-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n")),
        "bin.pem",
        "Base64",
    );
    one(
        changed(&|l| l.tls_cert = file("text.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        "text.pem",
        "certificate 1",
    );
    let other = KeyPair::generate().expect("a key").serialize_pem();
    one(changed(&|l| l.tls_key = file("other.pem", &other)), "other.pem", "does not belong");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    one(changed(&|l| l.tls_key = file("encrypted.pem", encrypted)), "encrypted.pem", "is encrypted");
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    one(changed(&|l| l.tls_key = file("legacy.pem", legacy)), "legacy.pem", "is encrypted");
    one(changed(&|l| l.client_ca = file("no-ca.pem", "")), "no-ca.pem", "no certificate");
    for (name, from, until, fault) in [("old", 2001, 2002, "has expired"), ("new", 3001, 3002, "is not valid before")] {
        let certified = authority.certify(|params| {
            (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        });
        let mut listener = good.clone();
        listener.tls_cert = file(&format!("{name}.pem"), &certified.certificate);
        listener.tls_key = file(&format!("{name}.key"), &certified.key);
        one(faults(&listener), &format!("{name}.pem"), fault);
    }
}

#[test]
fn nothing_of_a_key_is_in_a_complaint_about_it() {
    let authority = Authority::new("ours");
    let mut listener = authority.listener(Protocol::Mqtts);
    let key = std::fs::read_to_string(listener.tls_key.as_ref().expect("it has one")).expect("a file");
    let secret = key.lines().nth(1).expect("a line of the key").to_owned();
    for broken in [key.replace("-----END", "-----FIN"), key.replace("-----BEGIN PRIVATE KEY-----\n", "-----BEGIN ")] {
        listener.tls_key = Some(authority.write("broken.pem", &broken));
        let faults = faults(&listener);
        assert!(!format!("{faults:?}").contains(&secret[..16]), "{faults:?}");
    }
}

#[test]
fn certificates_that_will_be_a_nuisance_are_warned_about() {
    let authority = Authority::new("ours");
    let listener = authority.listener(Protocol::Mqtts);
    let warnings = |listener: &Listener| -> Vec<String> {
        load(listener).expect("it can be used").warnings.iter().map(ToString::to_string).collect()
    };
    let key = listener.tls_key.clone().expect("it has one");
    private(&key);
    assert_eq!(warnings(&listener), [""; 0]);

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later");
    let soon = authority.certify(|params| {
        params.not_after = date_time_ymd(1970, 1, 1) + now + std::time::Duration::from_secs(5 * 24 * 3600 + 60);
    });
    authority.install(&soon);
    assert!(matches!(&warnings(&listener)[..], [one] if one.contains("expires in 5 days")));

    let own_key = KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    authority.write("cert.pem", &params.self_signed(&own_key).expect("a certificate").pem());
    authority.write("key.pem", &own_key.serialize_pem());
    assert!(matches!(&warnings(&listener)[..], [one] if one.contains("signed by itself")));

    let certified = authority.certify(|_| ());
    authority.install(&certified);
    let stranger = Authority::new("stranger").client("x").certificate;
    authority.write("cert.pem", &(certified.certificate.clone() + &stranger));
    assert!(matches!(&warnings(&listener)[..], [one] if one.contains("certificate 2 is not that of the authority")));

    authority.install(&certified);
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("our own file");
    assert!(matches!(&warnings(&listener)[..], [one] if one.contains("everybody on this machine may read")));
}
