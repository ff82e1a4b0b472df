//! What each line of a `mosquitto.conf` becomes.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use super::{convert, source};
use crate::config::Settings;

/// The settings file for this `mosquitto.conf`, which must be one that dockgate can use.
fn import(conf: &str) -> (String, Settings) {
    let text = convert("m.conf", &source::parse("m.conf", 0, conf));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let settings =
        Settings::load_from(Some(file.path()), []).unwrap_or_else(|error| panic!("{error}\n{text}")).settings;
    (text, settings)
}

/// The settings of the listeners, one line each, in the order of the settings.
fn listeners(text: &str) -> Vec<String> {
    let settings = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let upto: Vec<_> = settings.take_while(|line| *line != "[access]").collect();
    let sections = upto.join(" ");
    sections.split("[[listeners]] ").skip(1).map(|section| section.trim().to_owned()).collect()
}

#[test]
fn listeners_are_carried_over_with_their_address_and_protocol() {
    let tls = "certfile /c\nkeyfile /k\n";
    for (conf, expected) in [
        ("", vec![r#"protocol = "mqtt" bind = "127.0.0.1:1883""#]),
        ("port 1884\nallow_anonymous true\n", vec![r#"protocol = "mqtt" bind = "[::]:1884""#]),
        ("bind_address 127.0.0.1\n", vec![r#"protocol = "mqtt" bind = "127.0.0.1:1883" allow_anonymous = false"#]),
        ("listener 1883 ::1\nallow_anonymous true\n", vec![r#"protocol = "mqtt" bind = "[::1]:1883""#]),
        (
            "listener 1883 localhost # here\nallow_anonymous true\n",
            vec![r#"protocol = "mqtt" bind = "127.0.0.1:1883""#],
        ),
        (
            "listener 1883\nsocket_domain ipv4\nlistener 1884\nsocket_domain ipv6\nallow_anonymous true\n",
            vec![r#"protocol = "mqtt" bind = "0.0.0.0:1883""#, r#"protocol = "mqtt" bind = "[::]:1884""#],
        ),
        (
            &format!("allow_anonymous true\nlistener 8883\n{tls}listener 443\nprotocol websockets\n{tls}"),
            vec![
                r#"protocol = "mqtts" bind = "[::]:8883" tls_cert = "/c" tls_key = "/k""#,
                r#"protocol = "wss" bind = "[::]:443" tls_cert = "/c" tls_key = "/k""#,
            ],
        ),
        (
            &format!("listener 8883\n{tls}cafile /a\nrequire_certificate true\nuse_identity_as_username true\n"),
            vec![
                r#"protocol = "mqtts" bind = "[::]:8883" tls_cert = "/c" tls_key = "/k" client_ca = "/a" require_client_cert = true"#,
            ],
        ),
        (
            "password_file /p\nlistener 1883\nenable_proxy_protocol 2\nmax_connections 50\n",
            vec![r#"protocol = "mqtt" bind = "[::]:1883" proxy_protocol = true limits.connections = 50"#],
        ),
        (
            "listener 9001\nwebsockets_origin https://Ops.example:443\nwebsockets_origin null\nprotocol websockets\n\
             allow_anonymous true\n",
            vec![r#"protocol = "ws" bind = "[::]:9001" origins = ["https://ops.example", "null"]"#],
        ),
        // Options before the first listener are about the default listener, which there is then.
        (
            "allow_anonymous true\nmax_connections 5\nlistener 1884\nmax_connections -1\n",
            vec![
                r#"protocol = "mqtt" bind = "[::]:1883" limits.connections = 5"#,
                r#"protocol = "mqtt" bind = "[::]:1884""#,
            ],
        ),
    ] {
        assert_eq!(listeners(&import(conf).0), expected, "{conf}");
    }
}

#[test]
fn the_lines_of_an_included_file_are_not_about_the_listener_of_another() {
    let mut lines = source::parse("m.conf", 0, "allow_anonymous true\nlistener 1884\n");
    lines.extend(source::parse("conf.d/a.conf", 1, "max_connections 5\nlistener 1885\n"));
    lines.extend(source::parse("m.conf", 0, "max_connections 6\n"));
    let text = convert("m.conf", &lines);
    let expected = [
        r#"protocol = "mqtt" bind = "[::]:1884" limits.connections = 6"#,
        r#"protocol = "mqtt" bind = "[::]:1883" limits.connections = 5"#,
        r#"protocol = "mqtt" bind = "[::]:1885""#,
    ];
    assert_eq!(listeners(&text), expected);
}

#[test]
fn anonymous_clients_get_in_just_where_mosquitto_lets_them_in() {
    for (conf, admitted) in [
        // Without a listener, only this machine gets in, and needs no name.
        ("", true),
        ("password_file /p\n", true),
        ("allow_anonymous false\n", false),
        ("password_file /p\nallow_anonymous false\n", false),
        // With one, nobody does who is not let in.
        ("listener 1883 127.0.0.1\n", false),
        ("port 1883\nbind_address 127.0.0.1\n", false),
        ("listener 1883 127.0.0.1\nallow_anonymous true\n", true),
        ("listener 1883\npassword_file /p\n", false),
        ("listener 1883\npassword_file /p\nallow_anonymous true\n", true),
        ("listener 1883\nallow_anonymous 1\n", true),
        ("per_listener_settings true\nlistener 1883\npassword_file /p\n", false),
        ("per_listener_settings true\nlistener 1883\nallow_anonymous true\n", true),
        ("password_file /p\nlistener 1883\nlistener_allow_anonymous true\n", true),
    ] {
        let (text, settings) = import(conf);
        assert_eq!(settings.admits_anonymous(&settings.listeners[0]), admitted, "{conf}\n{text}");
    }
}

#[test]
fn each_listener_may_let_anonymous_clients_in_by_itself() {
    let (text, settings) = import(
        "per_listener_settings true\nlistener 1883 127.0.0.1\nallow_anonymous true\nlistener 1884\npassword_file /p\nacl_file /a\n",
    );
    let admitted: Vec<_> = settings.listeners.iter().map(|listener| settings.admits_anonymous(listener)).collect();
    assert_eq!(admitted, [true, false]);
    assert!(text.contains("password_file = \"/p\"\nacl_file = \"/a\"\n"), "{text}");
    assert!(text.contains("# - user names are checked against access.password_file = /p here too\n"), "{text}");
    assert!(text.contains("# - access.acl_file = /a counts here too\n"), "{text}");
}

#[test]
fn a_listener_that_would_let_in_more_than_mosquitto_does_is_left_out_with_the_reason() {
    let tls = "certfile /c\nkeyfile /k\n";
    for (conf, reason) in [
        ("listener 1883\n", "nothing says who may use it"),
        ("enable_proxy_protocol 2\n", "through its proxy, other machines reach this listener"),
        ("listener 1883 127.0.0.1\nmount_point a/\n", "topics are not prefixed"),
        ("listener 0 /run/mosquitto.sock\nallow_anonymous true\n", "Unix sockets"),
        ("listener 70000\nallow_anonymous true\n", "not a port"),
        ("listener 1883 broker.local\nallow_anonymous true\n", "\"broker.local\" is a name"),
        ("allow_anonymous true\nlistener 1883\nbind_interface eth0\n", "m.conf:3: bind_interface eth0: "),
        ("allow_anonymous true\nlistener 1883\nmount_point a/\n", "m.conf:3: mount_point a/: "),
        ("allow_anonymous true\nlistener 1883\npsk_hint a\n", "pre-shared keys"),
        ("allow_anonymous true\nlistener 1883\nprotocol http_api\n", "does not speak it"),
        ("allow_anonymous true\nlistener 1883\nenable_proxy_protocol 1\n", "version 2 of the PROXY protocol"),
        (
            "allow_anonymous true\nlistener 1\nprotocol websockets\nwebsockets_origin ops.example\n",
            "m.conf:4: websockets_origin ops.example: this is not the origin",
        ),
        ("allow_anonymous true\nplugin /x.so\nlistener 1883\n", "m.conf:2: plugin /x.so: "),
        (
            "per_listener_settings true\nlistener 1883\nallow_anonymous true\nauth_plugin /x.so\n",
            "m.conf:4: auth_plugin",
        ),
        (
            "global_plugin /x.so\nper_listener_settings true\nlistener 1883\nallow_anonymous true\n",
            "m.conf:1: global_plugin",
        ),
        ("allow_anonymous true\nlistener 1883\ncertfile /c\n", "belong together"),
        (&format!("allow_anonymous true\nlistener 1\n{tls}tls_keyform engine\n"), "tls_keyform engine"),
        (
            &format!("allow_anonymous true\nlistener 1\n{tls}require_certificate true\ncapath /d\n"),
            "there is no cafile",
        ),
        (
            &format!("listener 1\n{tls}cafile /a\nrequire_certificate true\npassword_file /p\n"),
            "a certificate and a password",
        ),
        (
            &format!(
                "listener 1\n{tls}cafile /a\nrequire_certificate true\nuse_identity_as_username true\ncrlfile /r\n"
            ),
            "m.conf:7: crlfile /r: revoked",
        ),
        (
            &format!("password_file /p\nlistener 1\n{tls}cafile /a\nuse_identity_as_username true\n"),
            "lets nobody in here",
        ),
    ] {
        let (text, settings) = import(conf);
        let left_out = text.split("It is left out").nth(1).unwrap_or_else(|| panic!("{conf}\n{text}"));
        assert!(left_out.contains(reason) && left_out.contains("\n#[[listeners]]\n#protocol = "), "{reason}: {text}");
        // Nobody gets in by the listener that dockgate has by itself.
        assert_eq!(settings.listeners.len(), 1, "{text}");
        assert!(!settings.admits_anonymous(&settings.listeners[0]), "{text}");
    }
    let conf = "per_listener_settings true\nlistener 1883\npassword_file /p\nlistener 1884\npassword_file /q\n\
                listener 1885\nlistener 1886\npassword_file /p\nacl_file /a\nlistener 1887\npassword_file /p\nacl_file /b\n";
    let (text, settings) = import(conf);
    let ports: Vec<_> = settings.listeners.iter().map(|listener| listener.bind.port()).collect();
    assert_eq!(ports, [1883, 1886], "{text}");
    for reason in
        ["password_file /q: dockgate has one", "Mosquitto lets nobody in here", "acl_file /b: dockgate has one"]
    {
        assert!(text.contains(reason), "{reason}: {text}");
    }
}

#[test]
fn web_pages_that_mosquitto_takes_and_dockgate_does_not_are_spoken_of() {
    for (conf, comment) in [
        (
            "allow_anonymous true\nlistener 1 127.0.0.1\nprotocol websockets\n",
            "any web page that somebody on this machine",
        ),
        (
            "allow_anonymous true\nlistener 1\nwebsockets_origin https://ops.example\n",
            "m.conf:3: websockets_origin https://ops.example: it has no effect without protocol websockets",
        ),
    ] {
        let (text, settings) = import(conf);
        assert!(text.contains(comment), "{text}");
        assert!(settings.listeners[0].origins.is_empty(), "{text}");
    }
    for conf in [
        "allow_anonymous true\nlistener 1\nprotocol websockets\n",
        "password_file /p\nlistener 1 127.0.0.1\nprotocol websockets\n",
        "allow_anonymous true\nlistener 1 127.0.0.1\nprotocol websockets\nwebsockets_origin https://ops.example\n",
    ] {
        let text = import(conf).0;
        assert!(!text.contains("any web page"), "{text}");
    }
}

#[test]
fn limits_are_carried_over() {
    for (conf, expected) in [
        ("", "session_expiry_max = \"49710d\""),
        ("persistent_client_expiration 2m\n", "session_expiry_max = \"60d\""),
        ("persistent_client_expiration 36h\n", "session_expiry_max = \"36h\""),
        ("persistent_client_expiration 1000y\n", "session_expiry_max = \"49710d\""),
        ("max_inflight_messages 20\n", "inflight = 20"),
        ("max_inflight_messages 0\n", "inflight = 65535"),
        ("max_keepalive 120\n", "keep_alive_max = 120"),
        ("max_packet_size 100000\n", "max_packet_size = 100000"),
        ("max_packet_size 20\n", "max_packet_size = 256"),
        ("max_packet_size 268435455\n", "retained_bytes = 268435455"),
        ("message_size_limit 1000000\n", "max_packet_size = 1002048"),
        ("message_size_limit 1000000\nmax_packet_size 500000\n", "max_packet_size = 500000"),
        ("max_packet_size 500000\nmessage_size_limit 1000000\n", "max_packet_size = 500000"),
        ("max_queued_bytes 33554432\n", "queue_bytes = 33554432"),
        ("max_queued_bytes 1\n", "queue_bytes = 4194304"),
        ("max_queued_bytes 500000000\n", "queue_bytes_total = 500000000"),
        ("max_queued_messages 1000\n", "queue_messages = 1000"),
        ("max_queued_messages 0\n", "queue_messages = 100000000"),
        ("global_max_connections 100\n", "connections = 100"),
        ("global_max_clients 100\n", "sessions = 100\n"),
        ("global_max_clients 100\n", "connections = 100\n"),
        ("listener 1\nmax_connections 30000\nallow_anonymous true\n", "connections = 30000\n"),
        ("listener 1\nmax_topic_alias 20\nlistener 2\nallow_anonymous true\n", "topic_alias_maximum = 20"),
        ("log_type error\nlog_type warning\n", "level = \"warn\""),
        ("log_type all\n", "level = \"debug\""),
        ("log_type none\n", "level = \"off\""),
    ] {
        let text = import(conf).0;
        assert!(text.contains(&format!("\n{expected}")), "{conf}: {text}");
    }
    for conf in
        ["max_packet_size 5\n", "max_keepalive 70000\n", "max_queued_bytes many\n", "persistent_client_expiration 5\n"]
    {
        let text = import(conf).0;
        let comment = format!("# - m.conf:1: {}: Mosquitto does not take this value\n", conf.trim());
        assert!(text.contains(&comment), "{text}");
    }
}

/// The options of mosquitto.conf(5) of Mosquitto 2.0.11, and those that 1.6 and 2.1 have besides; what bridges have is below.
const OPTIONS: &str = "accept_protocol_versions acl_file allow_anonymous allow_duplicate_messages \
    allow_zero_length_clientid auth_opt_x auth_plugin auth_plugin_deny_special_chars auto_id_prefix autosave_interval \
    autosave_on_changes bind_address bind_interface cafile capath certfile check_retain_source ciphers ciphers_tls1.3 \
    clientid_prefixes connection_messages crlfile dhparamfile disable_client_cert_date_checks enable_control_api \
    enable_proxy_protocol global_max_clients global_max_connections global_plugin http_dir include_dir keyfile listener \
    listener_allow_anonymous listener_auto_id_prefix log_dest log_facility log_timestamp log_timestamp_format log_type \
    max_connections max_inflight_bytes max_inflight_messages max_keepalive max_packet_size max_qos max_queued_bytes \
    max_queued_messages max_topic_alias max_topic_alias_broker maximum_qos memory_limit message_size_limit mount_point \
    packet_buffer_size password_file per_listener_settings persistence persistence_file persistence_location \
    persistent_client_expiration pid_file plugin plugin_load plugin_opt_x plugin_use port protocol \
    proxy_protocol_v2_require_tls psk_file psk_hint queue_qos0_messages require_certificate retain_available \
    retain_expiry_interval retained_persistence retry_interval set_tcp_nodelay socket_domain store_clean_interval \
    sys_interval tls_engine tls_engine_kpass_sha1 tls_keyform tls_version upgrade_outgoing_qos use_identity_as_username \
    use_subject_as_username use_username_as_clientid user websockets_headers_size websockets_log_level websockets_origin";

const OF_BRIDGES: &str = "address addresses bridge_alpn bridge_attempt_unsubscribe bridge_bind_address bridge_cafile \
    bridge_capath bridge_certfile bridge_identity bridge_insecure bridge_keyfile bridge_max_packet_size \
    bridge_outgoing_retain bridge_protocol_version bridge_psk bridge_require_ocsp bridge_tls_version cleansession clientid \
    connection idle_timeout keepalive_interval local_cleansession local_clientid local_password local_username \
    notification_topic notifications notifications_local_only password remote_clientid remote_password remote_username \
    restart_timeout round_robin start_type threshold topic try_private username";

#[test]
fn every_option_is_known_and_whatever_its_value_the_outcome_can_be_used() {
    for option in OPTIONS.split_whitespace() {
        for value in ["", "x", "true", "false", "-1", "0", "1", "20", "9999999999", "\u{1}\"\\é"] {
            let text = import(&format!("allow_anonymous true\nlistener 1884\n{option} {value}\n")).0;
            assert!(!text.contains("does not know this option"), "{option} {value}: {text}");
        }
    }
    for option in OF_BRIDGES.split_whitespace() {
        let text = import(&format!("{option} a b\n")).0;
        let (_, bridges) = text.split_once("There are no bridges").unwrap_or_else(|| panic!("{option}: {text}"));
        assert!(bridges.contains(&format!("m.conf:1: {option}")), "{option}: {text}");
    }
    let text = import("allow_anonymus true\n").0;
    assert!(
        text.contains("m.conf:1: allow_anonymus true: mosquitto.conf(5) does not know this option either"),
        "{text}"
    );
}

#[test]
fn each_line_that_is_not_carried_over_is_named_with_the_reason() {
    for option in [
        "accept_protocol_versions 5",
        "allow_zero_length_clientid false",
        "auth_opt_db secret",
        "clientid_prefixes dock-",
        "log_dest topic",
        "max_qos 1",
        "persistence_file mosquitto.db",
        "pid_file /run/mosquitto.pid",
        "psk_file /psk",
        "queue_qos0_messages true",
        "retain_available false",
        "sys_interval 99999",
        "tls_version tlsv1.3",
        "upgrade_outgoing_qos true",
        "use_username_as_clientid true",
        "user mosquitto",
        "websockets_log_level 3",
    ] {
        let text = import(&format!("allow_anonymous true\nlistener 1884\n{option}\n")).0;
        let named = option.replace(" secret", " (not shown)");
        assert!(text.contains(&format!("# - m.conf:3: {named}: ")), "{text}");
    }
    for option in [
        "accept_protocol_versions 3,4,5",
        "log_dest stderr",
        "autosave_interval 1800",
        "autosave_on_changes true",
        "max_qos 2",
        "persistence false",
        "persistence true",
        "queue_qos0_messages 0",
        "require_certificate false",
        "retain_available true",
        "set_tcp_nodelay 1",
        "sys_interval 10",
        "tls_version tlsv1.2",
    ] {
        let text = import(&format!("allow_anonymous true\nlistener 1884\n{option}\n")).0;
        assert!(!text.contains("m.conf:3"), "{option} is what dockgate does anyway: {text}");
    }
}

#[test]
fn what_mosquitto_keeps_over_a_restart_dockgate_keeps() {
    for (conf, enabled, data_dir) in [
        ("", false, "dockgate-data"),
        ("persistence false\npersistence_location /var/lib/mosquitto/\n", false, "dockgate-data"),
        ("persistence true\n", true, "dockgate-data"),
        ("retained_persistence 1\n", true, "dockgate-data"),
        ("persistence true\npersistence_location /var/lib/my data/\n", true, "/var/lib/my data/"),
    ] {
        let (text, settings) = import(conf);
        assert_eq!(settings.persistence.enabled, enabled, "{text}");
        assert!(settings.data_dir.ends_with(data_dir), "{text}");
        assert!(!text.contains("Not carried over:\n# - m.conf"), "{text}");
    }
    assert!(import("persistence maybe\n").0.contains("persistence maybe: Mosquitto does not take this value"));
}

#[test]
fn passwords_are_not_shown() {
    let conf = "connection b\nremote_password hunter2\nlocal_password hunter2\npassword hunter2\nbridge_psk hunter2\n\
                plugin /x\nplugin_opt_dsn hunter2\nauth_opt_pass hunter2\ntls_engine_kpass_sha1 hunter2\n";
    let text = import(conf).0;
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(text.matches("(not shown)").count(), 7, "{text}");
}

#[test]
fn what_mosquitto_1_and_2_do_differently_is_said() {
    let said = "# - allow_anonymous is not given: Mosquitto 2 lets nobody in here, Mosquitto 1 everybody\n";
    for (conf, is_said) in [
        ("listener 1883 127.0.0.1\n", true),
        ("listener 1883 127.0.0.1\nallow_anonymous false\n", false),
        ("listener 1883 127.0.0.1\npassword_file /p\n", false),
        ("", false),
    ] {
        assert_eq!(import(conf).0.contains(said), is_said, "{conf}");
    }
}

#[test]
fn relative_paths_stay_and_are_explained() {
    let (text, _) = import("password_file passwd\n");
    assert!(text.contains("password_file = \"passwd\"") && text.contains("# Relative paths start from"), "{text}");
    assert!(!import("password_file /passwd\n").0.contains("Relative"));
    assert!(import("password_file /etc/\"my\" passwd\n").0.contains(r#"/etc/"my" passwd"#));
}

proptest::proptest! {
    #[test]
    fn whatever_the_lines_say_together_the_outcome_can_be_used(
        lines in proptest::collection::vec(
            (proptest::sample::select(OPTIONS.split_whitespace().collect::<Vec<_>>()), proptest::sample::select(VALUES)),
            0..20,
        ),
    ) {
        let conf: String = lines.iter().map(|(option, value)| format!("{option} {value}\n")).collect();
        let (text, settings) = import(&conf);
        // Without a line that says so, no listener that others reach lets anonymous clients in.
        if !conf.contains("anonymous true") && !conf.contains("anonymous 1") {
            for listener in settings.listeners.iter().filter(|listener| listener.is_reached_by_others()) {
                proptest::prop_assert!(!settings.admits_anonymous(listener), "{}\n{}", conf, text);
            }
        }
    }
}

const VALUES: &[&str] = &[
    "",
    "x",
    "true",
    "false",
    "-1",
    "0",
    "1",
    "2",
    "1883",
    "1884 127.0.0.1",
    "9001 ::",
    "/x y",
    "websockets",
    "14d",
    "4194304",
];

#[test]
fn the_interval_of_sys_topics_is_carried_over() {
    for (line, expected) in [("sys_interval 0", "sys_interval = \"0s\""), ("sys_interval 60", "sys_interval = \"60s\"")]
    {
        let text = import(&format!("listener 1884 127.0.0.1\n{line}\n")).0;
        assert!(text.lines().any(|line| line == expected), "{text}");
    }
}
