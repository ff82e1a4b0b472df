//! Listeners: how they are read, and what makes no sense about them.

use std::time::Duration;

use dockgate::config::{Protocol, Role};

use crate::{assert_only_problem, from_file, problems};

const TLS: &str = "tls_cert = \"server.pem\"\ntls_key = \"server.key\"\n";
const LOCAL: &str = "[[listeners]]\nbind = \"127.0.0.1:1883\"\n";

#[test]
fn a_listener_with_mistakes_is_told_each_of_them() {
    let text = "\
[[listeners]]
bind = \"127.0.0.1:1883\"

[[listeners]]
protocol = \"mqqt\"
bnd = \"127.0.0.1:1884\"
";
    let problems = problems(text, &[]);
    let expected = [
        ("dockgate.toml:4: listeners[1].bind: ", "no address"),
        ("dockgate.toml:5: listeners[1].protocol = \"mqqt\": ", "did you mean \"mqtt\"?"),
        ("dockgate.toml:6: listeners[1].bnd: ", "did you mean bind?"),
    ];
    for (start, part) in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(start) && problem.contains(part)),
            "{start} … {part} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn listeners_must_be_a_list_with_something_in_it() {
    assert_only_problem("listeners = \"127.0.0.1:1\"\n", &[], &["listeners = ", "[[listeners]]"]);
    assert_only_problem("listeners = []\n", &[], &["listeners = []", "nobody could connect"]);
    assert_only_problem(
        "",
        &[("DOCKGATE_LISTENERS__0__BIND", "127.0.0.1:1")],
        &["environment variable DOCKGATE_LISTENERS__0__BIND: listeners = ", "[[listeners]]"],
    );
}

#[test]
fn a_listener_that_others_can_reach_needs_leave_for_anonymous_clients() {
    for address in ["0.0.0.0:1883", "[::]:1883", "192.0.2.1:1883"] {
        let text = format!("[[listeners]]\nbind = \"{address}\"\n");
        assert_only_problem(&text, &[], &["dockgate.toml:2: listeners[0].bind", "access.allow_anonymous = true"]);
        let text = format!("{text}[access]\nallow_anonymous = true\n");
        assert!(from_file(&text, &[]).is_ok(), "{address}");
    }
    for address in ["127.0.0.1:1883", "127.8.8.8:1883", "[::1]:1883", "[::ffff:127.0.0.1]:1883"] {
        let text = format!("[[listeners]]\nbind = \"{address}\"\n");
        assert!(from_file(&text, &[]).is_ok(), "{address}");
    }
}

#[test]
fn two_sockets_cannot_take_one_address() {
    for (listeners, http) in [
        (vec!["127.0.0.1:1883", "127.0.0.1:1883"], "127.0.0.1:9641"),
        (vec!["0.0.0.0:1883", "127.0.0.1:1883"], "127.0.0.1:9641"),
        (vec!["[::]:1883", "127.0.0.1:1883"], "127.0.0.1:9641"),
        (vec!["127.0.0.1:9641"], "127.0.0.1:9641"),
        (vec!["127.0.0.1:9641"], "0.0.0.0:9641"),
    ] {
        let mut text = format!("[access]\nallow_anonymous = true\n[http]\nbind = \"{http}\"\ntoken_file = \"t\"\n");
        for address in &listeners {
            text.push_str(&format!("[[listeners]]\nbind = \"{address}\"\n"));
        }
        assert_only_problem(&text, &[], &["takes the same address", "its own port"]);
    }
    let free = "[http]\nbind = \"127.0.0.1:0\"\n\
                [[listeners]]\nbind = \"127.0.0.1:0\"\n[[listeners]]\nbind = \"127.0.0.1:0\"\n\
                [[listeners]]\nbind = \"127.0.0.2:1883\"\n[[listeners]]\nbind = \"127.0.0.1:1883\"\n";
    assert!(from_file(free, &[]).is_ok());
}

#[test]
fn a_listener_has_everything_that_is_written_for_it() {
    let text = format!(
        "[[listeners]]\nprotocol = \"wss\"\nbind = \"0.0.0.0:443\"\n{TLS}client_ca = \"ca.pem\"\n\
         require_client_cert = true\nproxy_protocol = true\nallow_anonymous = false\nrole = \"observer\"\n\
         origins = [\"https://Ops.Example:443\", \"null\"]\n\
         [listeners.limits]\nconnections = 100\nconnections_per_address = 0\nconnect_timeout = \"3s\"\n\
         keep_alive_max = 60\nmax_packet_size = \"64 KiB\"\nsubscriptions_per_session = 5\nmessages_per_second = 6\n\
         bytes_per_second = \"7 KiB\"\n{LOCAL}"
    );
    let settings = from_file(&text, &[]).unwrap();
    let [listener, plain] = &*settings.listeners else { panic!("{settings:?}") };
    assert_eq!((listener.protocol, listener.role), (Protocol::Wss, Some(Role::Observer)));
    assert!(listener.require_client_cert && listener.proxy_protocol);
    assert_eq!(listener.allow_anonymous, Some(false));
    let origins: Vec<_> = listener.origins.iter().map(ToString::to_string).collect();
    assert_eq!(origins, ["https://ops.example", "null"]);
    let limits = listener.limits.over(&settings.limits);
    assert_eq!((limits.connections, limits.connections_per_address), (100, 0));
    assert_eq!((limits.connect_timeout, limits.keep_alive_max), (Duration::from_secs(3), 60));
    assert_eq!((limits.max_packet_size, limits.subscriptions_per_session), (64 << 10, 5));
    assert_eq!((limits.messages_per_second, limits.bytes_per_second), (6, 7 << 10));
    assert_eq!(limits.queue_messages, settings.limits.queue_messages);
    assert_eq!(plain.limits.over(&settings.limits), settings.limits);
}

#[test]
fn every_mistake_in_a_listener_is_named_with_its_line() {
    let text = "\
[[listeners]]
bind = \"127.0.0.1:1883\"
protocol = \"mqtss\"
tls_cert = 5
require_client_cert = \"yes\"
role = \"doc\"
tls_certs = \"a\"
max_packet_size = 5
persistence = true
[listeners.limits]
max_packet_sise = 5
connections = -1
connect_timeout = 5
max_packet_size = \"4 MB\"
keep_alive_max = 65536
[[listeners]]
bind = \"127.0.0.1:1884\"
limits = 5
";
    let problems = problems(text, &[]);
    let expected = [
        ("dockgate.toml:3: listeners[0].protocol = \"mqtss\": ", "did you mean \"mqtts\"?"),
        ("dockgate.toml:4: listeners[0].tls_cert = 5: this must be a path", "quotes"),
        ("dockgate.toml:5: listeners[0].require_client_cert = \"yes\": ", "true or false"),
        ("dockgate.toml:6: listeners[0].role = \"doc\": ", "did you mean \"dock\"?"),
        ("dockgate.toml:7: listeners[0].tls_certs: ", "did you mean tls_cert?"),
        ("dockgate.toml:8: listeners[0].max_packet_size: ", "did you mean limits.max_packet_size?"),
        ("dockgate.toml:9: listeners[0].persistence: ", "it may have allow_anonymous, bind, client_ca, limits.bytes"),
        ("dockgate.toml:11: listeners[0].limits.max_packet_sise: ", "did you mean limits.max_packet_size?"),
        ("dockgate.toml:12: listeners[0].limits.connections = -1: ", "0 or more"),
        ("dockgate.toml:13: listeners[0].limits.connect_timeout = 5: ", "\"15s\""),
        ("dockgate.toml:14: listeners[0].limits.max_packet_size = \"4 MB\": ", "4 MiB"),
        ("dockgate.toml:15: listeners[0].limits.keep_alive_max = 65536: ", "65535"),
        ("dockgate.toml:18: listeners[1].limits = 5: ", "give listeners[1].limits.bytes_per_second"),
    ];
    for (start, part) in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(start) && problem.contains(part)),
            "{start} … {part} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn a_listener_that_cannot_be_read_hides_no_flaw_of_the_others() {
    let text = "\
[[listeners]]
bind = \"0.0.0.0:1883\"
rol = \"dock\"
[[listeners]]
bind = \"0.0.0.0:1884\"
[[listeners]]
bind = \"127.0.0.1:9641\"
";
    let problems = problems(text, &[]);
    for start in ["dockgate.toml:3: listeners[0].rol: ", "dockgate.toml:5: listeners[1].bind = ", "dockgate.toml:7: "] {
        assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start} in {problems:#?}");
    }
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

#[test]
fn mistakes_in_listeners_from_the_environment_name_the_variable() {
    for (listeners, part) in [
        (r#"[{bind="127.0.0.1:0",limits={inflight=5}}]"#, "listeners[0].limits.inflight: "),
        (r#"[{bind="127.0.0.1:0"},{bind="127.0.0.1:0",protocol="mqtts",tls_cert="a"}]"#, "listeners[1].tls_key: "),
    ] {
        let place = "environment variable DOCKGATE_LISTENERS: ";
        assert_only_problem("", &[("DOCKGATE_LISTENERS", listeners)], &[place, part]);
    }
}

#[test]
fn certificates_belong_to_encrypted_listeners_and_to_no_others() {
    let listener = |rest: &str| format!("[[listeners]]\nbind = \"127.0.0.1:1883\"\n{rest}");
    for protocol in ["mqtts", "wss"] {
        let encrypted = format!("protocol = \"{protocol}\"\n");
        assert!(from_file(&listener(&format!("{encrypted}{TLS}")), &[]).is_ok());
        assert_only_problem(
            &listener(&format!("{encrypted}tls_cert = \"a\"\n")),
            &[],
            &["dockgate.toml:1: listeners[0].tls_key: ", protocol, "give tls_key = "],
        );
        assert_only_problem(
            &listener(&format!("{encrypted}tls_key = \"a\"\n")),
            &[],
            &["dockgate.toml:1: listeners[0].tls_cert: ", protocol, "give tls_cert = "],
        );
        assert_only_problem(
            &listener(&format!("{encrypted}{TLS}client_ca = \"\"\n")),
            &[],
            &["dockgate.toml:6: listeners[0].client_ca = \"\": ", "no file"],
        );
        assert_only_problem(
            &listener(&format!("{encrypted}{TLS}require_client_cert = true\n")),
            &[],
            &["dockgate.toml:6: listeners[0].require_client_cert = true: ", "give client_ca"],
        );
        let complete = format!("{encrypted}{TLS}client_ca = \"ca.pem\"\nrequire_client_cert = true\n");
        assert!(from_file(&listener(&complete), &[]).is_ok());
    }
    for (protocol, encrypted) in [("mqtt", "mqtts"), ("ws", "wss")] {
        for name in ["tls_cert", "tls_key", "client_ca"] {
            assert_only_problem(
                &listener(&format!("protocol = \"{protocol}\"\n{name} = \"a\"\n")),
                &[],
                &[&format!("dockgate.toml:4: listeners[0].{name} = \"a\": "), &format!("protocol = \"{encrypted}\"")],
            );
        }
    }
}

#[test]
fn origins_are_those_of_web_pages_and_belong_to_listeners_that_web_pages_can_speak_to() {
    let listener = |rest: &str| format!("[[listeners]]\nbind = \"127.0.0.1:1883\"\n{rest}");
    let some = "origins = [\"https://ops.example\", \"null\", \"*\"]\n";
    assert!(from_file(&listener(&format!("protocol = \"ws\"\n{some}")), &[]).is_ok());
    assert!(from_file(&listener(&format!("protocol = \"wss\"\n{TLS}{some}")), &[]).is_ok());
    for (protocol, rest, websocket) in [("mqtt", "", "ws"), ("mqtts", TLS, "wss")] {
        assert_only_problem(
            &listener(&format!("origins = [\"HTTPS://ops.example\"]\nprotocol = \"{protocol}\"\n{rest}")),
            &[],
            &[
                "dockgate.toml:3: listeners[0].origins = [\"https://ops.example\"]: no web page can speak protocol = ",
                &format!("set protocol = \"{websocket}\", or delete this"),
            ],
        );
        assert!(from_file(&listener(&format!("protocol = \"{protocol}\"\n{rest}origins = []\n")), &[]).is_ok());
    }
    for (given, part) in [
        ("[\"https://ops.example/\"]", "\"https://ops.example/\" is not the origin of a web page; give "),
        ("[\"https://a.example\", \"b.example\"]", ": \"b.example\" is not the origin of a web page; give "),
        ("[5]", "this must be text"),
        ("\"https://ops.example\"", "this must be a list of texts"),
    ] {
        let text = listener(&format!("protocol = \"ws\"\norigins = {given}\n"));
        assert_only_problem(&text, &[], &["dockgate.toml:4: listeners[0].origins = ", part]);
    }
}

#[test]
fn the_limits_of_a_listener_make_the_same_sense_as_those_of_all() {
    for (name, value, part) in [
        ("connections", "0", "the least that makes sense is 1"),
        ("connections", "1_000_001", "the most that makes sense is 1000000"),
        ("connections_per_address", "1_000_001", "the most"),
        ("connect_timeout", "\"0s\"", "the least"),
        ("connect_timeout", "\"2h\"", "the most"),
        ("max_packet_size", "255", "the least that makes sense is 256 B"),
        ("max_packet_size", "268435456", "the most"),
        ("max_packet_size", "\"17 MiB\"", "limits.queue_bytes = 16 MiB"),
        ("subscriptions_per_session", "0", "the least"),
    ] {
        assert_only_problem(
            &format!("{LOCAL}[listeners.limits]\n{name} = {value}\n"),
            &[],
            &[&format!("dockgate.toml:4: listeners[0].limits.{name} = "), part],
        );
    }
}
