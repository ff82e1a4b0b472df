//! Mosquitto's own clients, where they are installed.

use std::process::{Command, Stdio};

use dockgate::config::Protocol;

use crate::certificates::Authority;
use crate::common::{Broker, eventually, metric};

#[test]
fn mosquittos_clients_speak_tls_with_the_broker() {
    if Command::new("mosquitto_sub").arg("--help").stdout(Stdio::null()).status().is_err() {
        eprintln!("mosquitto_sub is not installed");
        return;
    }
    let authority = Authority::new("ours");
    let broker = Broker::start(|settings| settings.listeners = vec![authority.listener(Protocol::Mqtts)]);
    let (port, file) = (broker.mqtt.port().to_string(), authority.file());
    let command = |program: &str| {
        let mut command = Command::new(program);
        command.args(["-h", "localhost", "-p", &port, "-t", "a/b", "-q", "1", "--cafile"]).arg(&file);
        command.stdin(Stdio::null());
        command
    };
    for version in ["tlsv1.2", "tlsv1.3"] {
        let mut subscriber = command("mosquitto_sub");
        subscriber.args(["--tls-version", version, "-C", "1", "-W", "20"]).stdout(Stdio::piped());
        let subscriber = subscriber.spawn().expect("it starts");
        eventually("the subscriber is there", || metric(broker.http, "dockgate_subscriptions", "") > 0.0);
        let sent = command("mosquitto_pub").args(["--tls-version", version, "-m", version]).status();
        assert!(sent.expect("it starts").success(), "{version}");
        let output = subscriber.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), version);
        eventually("the subscriber is gone", || metric(broker.http, "dockgate_subscriptions", "") == 0.0);
    }
}
