//! The settings themselves, with their defaults. `config/dockgate.toml` says why each default is what it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Origin, size};
use crate::access::{Role, Roles, SerialNumber, Sources};
use crate::ledger::{Policy, Rules, Scope};
use crate::object_store::ObjectStoreSettings;
use crate::store::Sync;

const MIB: usize = 1 << 20;

/// Every setting of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The folder of what must survive a restart.
    pub data_dir: PathBuf,
    /// Where MQTT clients connect.
    pub listeners: Vec<Listener>,
    /// Where metrics, health, the API and the page are served.
    pub http: Http,
    /// Who may connect.
    pub access: Access,
    /// The rules of the upload guard.
    pub uploads: Uploads,
    /// Where docks upload their logs.
    pub object_store: ObjectStoreSettings,
    /// What survives a restart.
    pub persistence: Persistence,
    /// How much of everything one client, or all of them, may take.
    pub limits: Limits,
    /// How often the topics under `$SYS/broker/` are published; 0 is never.
    #[serde(with = "humantime_serde")]
    pub sys_interval: Duration,
    /// What is logged, and how.
    pub log: Log,
}

impl Settings {
    /// Every path, under the name of its setting.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = (String, &mut PathBuf)> {
        let Access { password_file, acl_file, .. } = &mut self.access;
        let token = &mut self.http.token_file;
        let access =
            [("access.password_file", password_file), ("access.acl_file", acl_file), ("http.token_file", token)];
        let listeners = self.listeners.iter_mut().enumerate().flat_map(|(index, listener)| {
            let Listener { tls_cert, tls_key, client_ca, .. } = listener;
            [("tls_cert", tls_cert), ("tls_key", tls_key), ("client_ca", client_ca)]
                .map(|(name, path)| (format!("listeners[{index}].{name}"), path))
        });
        let others =
            access.into_iter().chain([("object_store.credentials_file", &mut self.object_store.credentials_file)]);
        let others = others.map(|(key, path)| (key.to_owned(), path));
        let optional = others.chain(listeners).filter_map(|(key, path)| Some((key, path.as_mut()?)));
        std::iter::once(("data_dir".to_owned(), &mut self.data_dir)).chain(optional)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("dockgate-data"),
            listeners: vec![Listener::new(Protocol::Mqtt, SocketAddr::from((Ipv4Addr::LOCALHOST, 1883)))],
            http: Http::default(),
            access: Access::default(),
            uploads: Uploads::default(),
            object_store: ObjectStoreSettings::default(),
            persistence: Persistence::default(),
            limits: Limits::default(),
            sys_interval: Duration::from_secs(10),
            log: Log::default(),
        }
    }
}

/// One address on which MQTT clients are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What is spoken there.
    #[serde(default)]
    pub protocol: Protocol,
    /// Address and port; port 0 takes any free one.
    pub bind: SocketAddr,
    /// Certificate chain of an `mqtts` or `wss` listener, PEM; read again on SIGHUP.
    #[serde(default)]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[serde(default)]
    pub tls_key: Option<PathBuf>,
    /// Certificates of the authorities whose client certificates are taken, PEM. A client with such a certificate needs
    /// no password: its common name is its user name.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away in the TLS handshake.
    #[serde(default)]
    pub require_client_cert: bool,
    /// Whether every connection begins with a PROXY protocol v2 header, which says who the client is.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Whose web pages may open a WebSocket here. None listed is any, but those of this machine alone where
    /// [`Listener::admits_local_pages_only`]. Clients that are no browsers are not asked.
    #[serde(default)]
    pub origins: Vec<Origin>,
    /// Whether clients without a user name may connect here; if it is not given, `access.allow_anonymous` counts.
    #[serde(default)]
    pub allow_anonymous: Option<bool>,
    /// What the clients of this listener may do, unless `access.roles` names them.
    #[serde(default)]
    pub role: Option<Role>,
    /// What differs here from `limits`.
    #[serde(default)]
    pub limits: ListenerLimits,
}

impl Listener {
    /// A listener with nothing but a protocol and an address.
    #[must_use]
    pub fn new(protocol: Protocol, bind: SocketAddr) -> Self {
        Self {
            protocol,
            bind,
            tls_cert: None,
            tls_key: None,
            client_ca: None,
            require_client_cert: false,
            proxy_protocol: false,
            origins: Vec::new(),
            allow_anonymous: None,
            role: None,
            limits: ListenerLimits::default(),
        }
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// MQTT 3.1, 3.1.1 and 5 over plain TCP.
    #[default]
    Mqtt,
    /// The same over TLS.
    Mqtts,
    /// The same over WebSocket, at `/mqtt`.
    Ws,
    /// The same over WebSocket over TLS.
    Wss,
}

impl Protocol {
    /// Whether it is encrypted.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether it is MQTT in WebSocket frames.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// As it is written in the settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// Those of [`Limits`] that a listener may have for itself; what is not given is as for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerLimits {
    /// Connections at one time through this listener.
    pub connections: Option<usize>,
    /// Of these, from one address.
    pub connections_per_address: Option<usize>,
    /// See [`Limits`].
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Option<Duration>,
    /// See [`Limits`].
    pub keep_alive_max: Option<u16>,
    /// See [`Limits`].
    #[serde(deserialize_with = "size::deserialize_option")]
    pub max_packet_size: Option<u32>,
    /// See [`Limits`].
    pub subscriptions_per_session: Option<usize>,
    /// See [`Limits`].
    pub messages_per_second: Option<u32>,
    /// See [`Limits`].
    #[serde(deserialize_with = "size::deserialize_option")]
    pub bytes_per_second: Option<u32>,
}

impl ListenerLimits {
    /// The limits of a listener: its own, and `all` where it has none.
    #[must_use]
    pub fn over(&self, all: &Limits) -> Limits {
        let own = self.clone();
        Limits {
            connections: own.connections.unwrap_or(all.connections),
            connections_per_address: own.connections_per_address.unwrap_or(all.connections_per_address),
            connect_timeout: own.connect_timeout.unwrap_or(all.connect_timeout),
            keep_alive_max: own.keep_alive_max.unwrap_or(all.keep_alive_max),
            max_packet_size: own.max_packet_size.unwrap_or(all.max_packet_size),
            subscriptions_per_session: own.subscriptions_per_session.unwrap_or(all.subscriptions_per_session),
            messages_per_second: own.messages_per_second.unwrap_or(all.messages_per_second),
            bytes_per_second: own.bytes_per_second.unwrap_or(all.bytes_per_second),
            ..all.clone()
        }
    }
}

/// The HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port; port 0 takes any free one.
    pub bind: SocketAddr,
    /// A file with the bearer token that everything but health asks for; read again on SIGHUP. A listener that others can
    /// reach is refused without one.
    pub token_file: Option<PathBuf>,
    /// Names under which a proxy in front of it asks for it. Without a token, others than `localhost` and addresses are
    /// refused, lest a web page make one up that means this machine.
    pub hosts: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self { bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 9641)), token_file: None, hosts: Vec::new() }
    }
}

/// Who may connect, and do what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Whether clients without a user name may connect. A listener on a loopback address needs no permission as long as
    /// there is no `password_file`: only this machine reaches it. Any other listener is refused unless this is true, or
    /// there is a password file, or it requires client certificates.
    pub allow_anonymous: bool,
    /// User names and password hashes, in Mosquitto's format; read again on SIGHUP.
    pub password_file: Option<PathBuf>,
    /// Who may publish and read what, in Mosquitto's format; read again on SIGHUP.
    pub acl_file: Option<PathBuf>,
    /// Who has which role.
    pub roles: Roles,
    /// What the serial number of a client with the role `dock` is.
    pub serial_number: SerialNumber,
}

impl Access {
    /// The same as the access room wants it.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources {
            password_file: self.password_file.clone(),
            acl_file: self.acl_file.clone(),
            roles: self.roles.clone(),
            serial_number: self.serial_number,
        }
    }
}

/// The rules of the upload guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uploads {
    /// What happens to a start that finds its slot taken.
    pub policy: Policy,
    /// What has one slot.
    pub scope: Scope,
    /// `data.result` of the answer to a refused start.
    pub conflict_result: i64,
    /// How long a started upload may wait for the dock's reply.
    #[serde(with = "humantime_serde")]
    pub reply_timeout: Duration,
    /// How long an accepted cancel may wait for the upload's end.
    #[serde(with = "humantime_serde")]
    pub cancel_timeout: Duration,
    /// How long an upload may go without progress.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
    /// How long a dock may be away before its upload counts as lost.
    #[serde(with = "humantime_serde")]
    pub offline_grace: Duration,
    /// Ended uploads remembered for one gateway.
    pub history_per_gateway: usize,
    /// Ended uploads remembered for all gateways together.
    pub history_total: usize,
    /// Gateways remembered.
    pub max_gateways: usize,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            policy: Policy::Enforce,
            scope: Scope::Gateway,
            conflict_result: 325_009,
            reply_timeout: Duration::from_secs(15),
            cancel_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(10 * 60),
            offline_grace: Duration::from_secs(2 * 60),
            history_per_gateway: 20,
            history_total: 10_000,
            max_gateways: 10_000,
        }
    }
}

impl Uploads {
    /// The same as the ledger wants it.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            policy: self.policy,
            scope: self.scope,
            conflict_result: self.conflict_result,
            reply_timeout: self.reply_timeout,
            cancel_timeout: self.cancel_timeout,
            stall_timeout: self.stall_timeout,
            offline_grace: self.offline_grace,
            history_per_gateway: self.history_per_gateway,
            history_total: self.history_total,
            max_gateways: self.max_gateways,
            ..Rules::default()
        }
    }
}

/// What survives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Persistence {
    /// Whether anything does.
    pub enabled: bool,
    /// When what has changed is on the disk.
    pub sync: Sync,
}

impl Default for Persistence {
    fn default() -> Self {
        Self { enabled: true, sync: Sync::default() }
    }
}

/// How much of everything one client, or all of them, may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// MQTT connections at one time.
    pub connections: usize,
    /// Of these, from one address (IPv6: from one /64); those from this machine are not counted. 0 is no limit.
    pub connections_per_address: usize,
    /// How long a connection may take to send its CONNECT.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long a socket may take nothing of what is written to it.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// Longest keep-alive in seconds; 0 leaves it to the client. A client that asks for more, or for none, is
    /// told this one in MQTT 5 (Server Keep Alive).
    pub keep_alive_max: u16,
    /// Largest packet in bytes.
    #[serde(deserialize_with = "size::deserialize")]
    pub max_packet_size: u32,
    /// Longest client identifier in bytes.
    pub client_id_length: usize,
    /// Longest topic name or filter in bytes.
    pub topic_length: usize,
    /// Most levels of a topic name or filter.
    pub topic_levels: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_session: usize,
    /// PUBLISH packets a second from one client, above which it is read more slowly; 0 is no limit.
    pub messages_per_second: u32,
    /// Bytes a second from one client, above which it is read more slowly; 0 is no limit.
    #[serde(deserialize_with = "size::deserialize")]
    pub bytes_per_second: u32,
    /// User properties of one packet.
    pub user_properties: usize,
    /// Messages towards one client that it has not acknowledged.
    pub inflight: u16,
    /// Messages from one client that the broker has not acknowledged (MQTT 5 Receive Maximum).
    pub receive_maximum: u16,
    /// Topic aliases that one client may define; 0 is none.
    pub topic_alias_maximum: u16,
    /// Messages queued for one session.
    pub queue_messages: usize,
    /// Bytes queued for one session.
    #[serde(deserialize_with = "size::deserialize")]
    pub queue_bytes: usize,
    /// Bytes queued for all sessions together.
    #[serde(deserialize_with = "size::deserialize")]
    pub queue_bytes_total: usize,
    /// How long a session may outlive its connection.
    #[serde(with = "humantime_serde")]
    pub session_expiry_max: Duration,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Retained messages.
    pub retained_messages: usize,
    /// Bytes of all retained messages.
    #[serde(deserialize_with = "size::deserialize")]
    pub retained_bytes: usize,
    /// Distinct topic filters with a wildcard, over all sessions.
    pub wildcard_filters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 1_000,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
            keep_alive_max: 0,
            max_packet_size: 4 << 20,
            client_id_length: 256,
            topic_length: 1024,
            topic_levels: 32,
            subscriptions_per_session: 1_000,
            messages_per_second: 0,
            bytes_per_second: 0,
            user_properties: 64,
            inflight: 512,
            receive_maximum: 512,
            topic_alias_maximum: 64,
            queue_messages: 10_000,
            queue_bytes: 16 * MIB,
            queue_bytes_total: 256 * MIB,
            session_expiry_max: Duration::from_secs(7 * 24 * 60 * 60),
            sessions: 100_000,
            retained_messages: 100_000,
            retained_bytes: 64 * MIB,
            wildcard_filters: 10_000,
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or a list of `target=level` (`tracing-subscriber`'s filter directives).
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::default() }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
