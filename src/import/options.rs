//! Every option of Mosquitto: what it is about, and what is lost where dockgate has nothing like it.

use super::source::Line;

/// What an option is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The broker.
    Broker,
    /// The listener above it; with `per_listener_settings`, the security options too.
    Listener,
    /// Who gets in and may do what: the broker, or the listener with `per_listener_settings`.
    Security,
    /// A connection to another broker.
    Bridge,
}

const LISTENER: &[&str] = &[
    "accept_protocol_versions",
    "bind_interface",
    "cafile",
    "capath",
    "certfile",
    "ciphers",
    "ciphers_tls1.3",
    "crlfile",
    "dhparamfile",
    "disable_client_cert_date_checks",
    "enable_proxy_protocol",
    "http_dir",
    "keyfile",
    "listener_allow_anonymous",
    "listener_auto_id_prefix",
    "max_connections",
    "max_qos",
    "max_topic_alias",
    "max_topic_alias_broker",
    "maximum_qos",
    "mount_point",
    "protocol",
    "proxy_protocol_v2_require_tls",
    "psk_hint",
    "require_certificate",
    "socket_domain",
    "tls_engine",
    "tls_engine_kpass_sha1",
    "tls_keyform",
    "tls_version",
    "use_identity_as_username",
    "use_subject_as_username",
    "use_username_as_clientid",
    "websockets_origin",
];
const SECURITY: &[&str] = &[
    "acl_file",
    "allow_anonymous",
    "allow_zero_length_clientid",
    "auth_plugin",
    "auth_plugin_deny_special_chars",
    "auto_id_prefix",
    "password_file",
    "plugin",
    "plugin_use",
    "psk_file",
];
const BRIDGE: &[&str] = &[
    "address",
    "addresses",
    "cleansession",
    "clientid",
    "connection",
    "idle_timeout",
    "keepalive_interval",
    "local_cleansession",
    "local_clientid",
    "local_password",
    "local_username",
    "notification_topic",
    "notifications",
    "notifications_local_only",
    "password",
    "remote_clientid",
    "remote_password",
    "remote_username",
    "restart_timeout",
    "round_robin",
    "start_type",
    "threshold",
    "topic",
    "try_private",
    "username",
];

/// What this option is about.
pub(super) fn scope(name: &str) -> Scope {
    if LISTENER.contains(&name) {
        Scope::Listener
    } else if SECURITY.contains(&name) || is_plugin_option(name) {
        Scope::Security
    } else if BRIDGE.contains(&name) || name.starts_with("bridge_") {
        Scope::Bridge
    } else {
        Scope::Broker
    }
}

/// An option that is handed on to a plugin.
fn is_plugin_option(name: &str) -> bool {
    name.starts_with("auth_opt_") || name.starts_with("plugin_opt_")
}

/// The line as it may be shown: without a password in it.
pub(super) fn shown(line: &Line) -> String {
    let secret = line.name.ends_with("password")
        || matches!(&*line.name, "bridge_psk" | "tls_engine_kpass_sha1")
        || is_plugin_option(&line.name);
    let value = match (&*line.value, secret) {
        ("", _) => String::new(),
        (_, true) => " (not shown)".to_owned(),
        (value, false) => format!(" {value}"),
    };
    // TOML allows no control characters in comments.
    format!("{}: {}{value}", line.at, line.name).replace(|c: char| c.is_control(), " ")
}

/// Values that ask for what dockgate does anyway.
const ANYWAY: &[(&str, &str)] = &[
    ("allow_duplicate_messages", "false"),
    ("allow_zero_length_clientid", "true"),
    ("check_retain_source", "false"),
    ("connection_messages", "true"),
    ("disable_client_cert_date_checks", "false"),
    ("enable_control_api", "false"),
    ("log_dest", "stderr"),
    ("log_timestamp", "true"),
    ("max_inflight_bytes", "0"),
    ("max_qos", "2"),
    ("maximum_qos", "2"),
    ("memory_limit", "0"),
    ("proxy_protocol_v2_require_tls", "false"),
    ("queue_qos0_messages", "false"),
    ("require_certificate", "false"),
    ("retain_available", "true"),
    ("retain_expiry_interval", "0"),
    ("set_tcp_nodelay", "true"),
    ("tls_keyform", "pem"),
    ("tls_version", "tlsv1.2"),
    ("upgrade_outgoing_qos", "false"),
    ("use_identity_as_username", "false"),
    ("use_subject_as_username", "false"),
    ("use_username_as_clientid", "false"),
];

/// What is lost with a line that nothing else has carried over; `None` if nothing is.
pub(super) fn lost(line: &Line) -> Option<&'static str> {
    let asks_for = |expected: &str| match (expected, line.word()) {
        ("true", word) => word == "true" || word == "1",
        ("false", word) => word == "false" || word == "0",
        (expected, word) => word == expected,
    };
    if ANYWAY.iter().any(|(name, expected)| *name == line.name && asks_for(expected)) {
        return None;
    }
    let reason = match &*line.name {
        // Mosquitto itself has no use for these any more.
        "retry_interval" | "store_clean_interval" => return None,
        // What has changed is written at once; persistence.sync says whether acknowledgements wait for it.
        "autosave_interval" | "autosave_on_changes" => return None,
        "accept_protocol_versions" => "every listener takes MQTT 3.1, 3.1.1 and 5",
        "allow_duplicate_messages" => "a client gets one copy, at the highest QoS, however many of its filters match",
        "allow_zero_length_clientid" => "clients without an identifier are given one",
        "auto_id_prefix" | "listener_auto_id_prefix" => {
            "the identifiers that the broker gives have no prefix to choose"
        }
        "bind_interface" => "a listener is bound to an address; give the interface's",
        "capath" => "client_ca is one file; put the certificates of the folder into one",
        "check_retain_source" => "retained messages stay whatever becomes of the rights of who published them",
        "ciphers" | "ciphers_tls1.3" => "the ciphers are those of rustls, all of them of today's strength",
        "clientid_prefixes" => "any client identifier is taken; it proves nothing",
        "connection_messages" => "log.level decides what is logged",
        "crlfile" => "revoked certificates are not known",
        "dhparamfile" => "key exchange is by elliptic curves, which take no parameters",
        "disable_client_cert_date_checks" => "a client certificate that has expired is refused",
        "enable_control_api" => "there are no $CONTROL topics",
        "http_dir" => "no files are served",
        "include_dir" => "Mosquitto follows it from the main file only",
        "log_dest" => "the log goes to standard error, where systemd and containers collect it",
        "log_facility" => "the log goes to standard error, not to syslog",
        "log_timestamp" | "log_timestamp_format" => "every line of the log has an RFC 3339 timestamp",
        "max_inflight_bytes" => "limits.inflight bounds messages, limits.max_packet_size their size",
        "max_qos" | "maximum_qos" => "every listener takes QoS 0, 1 and 2",
        "max_topic_alias_broker" => "how many topic aliases messages to a client may use is the client's to say",
        "memory_limit" => {
            "each of the limits has a bound of its own; see limits.queue_bytes_total and limits.retained_bytes"
        }
        "mount_point" => "topics are not prefixed",
        "packet_buffer_size" => "buffers grow and shrink by themselves",
        "persistence_file" => "the files in data_dir have names of their own",
        "pid_file" => "no file is written; systemd and containers know the process",
        "proxy_protocol_v2_require_tls" => {
            "whether the client came to the proxy by TLS is not checked; let the proxy do it"
        }
        "psk_file" | "psk_hint" => "there is no TLS with pre-shared keys",
        "queue_qos0_messages" => "QoS 0 messages are not queued for clients that are away (MQTT 3.1.1, 3.1.2.4)",
        "retain_available" => "retained messages cannot be turned off; an acl_file can keep clients from publishing",
        "retain_expiry_interval" => "retained messages expire only if their publisher says so (MQTT 5)",
        "set_tcp_nodelay" => "TCP_NODELAY is always set",
        "sys_interval" => "it takes seconds, 3600 at most",
        "tls_engine" | "tls_engine_kpass_sha1" | "tls_keyform" => "the private key is a PEM file",
        "tls_version" => "TLS 1.2 and 1.3 are taken, and neither more nor less",
        "upgrade_outgoing_qos" => {
            "a message is never delivered at a higher QoS than it was published at (MQTT 3.1.1, 3.8.4)"
        }
        "use_subject_as_username" => "the user name is the common name of the certificate, not its whole subject",
        "use_username_as_clientid" => "the client identifier stays what the client says",
        "user" => "dockgate runs as whoever starts it: User= in systemd",
        "websockets_headers_size" | "websockets_log_level" => {
            "this is about libwebsockets, which dockgate does not use"
        }
        "auth_plugin"
        | "plugin"
        | "global_plugin"
        | "plugin_load"
        | "plugin_use"
        | "auth_plugin_deny_special_chars" => {
            "there are no plugins; access.password_file, access.acl_file and access.roles say who may do what"
        }
        "acl_file"
        | "allow_anonymous"
        | "certfile"
        | "keyfile"
        | "listener_allow_anonymous"
        | "max_connections"
        | "max_topic_alias"
        | "password_file"
        | "require_certificate"
        | "socket_domain"
        | "use_identity_as_username"
        | "websockets_origin" => "Mosquitto does not take this value",
        name if is_plugin_option(name) => "there are no plugins",
        name if scope(name) == Scope::Bridge => "there are no bridges",
        _ => "mosquitto.conf(5) does not know this option either",
    };
    Some(reason)
}
