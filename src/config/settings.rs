//! The settings themselves, with their defaults. `config/dockgate.toml` says why each default is what it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::size;
use crate::ledger::{Policy, Rules, Scope};

const MIB: usize = 1 << 20;

/// Every setting of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where MQTT clients connect.
    pub listeners: Vec<Listener>,
    /// Where metrics, health, the API and the page are served.
    pub http: Http,
    /// Who may connect.
    pub access: Access,
    /// The rules of the upload guard.
    pub uploads: Uploads,
    /// How much of everything one client, or all of them, may take.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: Log,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listeners: vec![Listener {
                protocol: Protocol::Mqtt,
                bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 1883)),
            }],
            http: Http::default(),
            access: Access::default(),
            uploads: Uploads::default(),
            limits: Limits::default(),
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
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// MQTT 3.1, 3.1.1 and 5 over plain TCP.
    #[default]
    Mqtt,
}

/// The HTTP listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port; port 0 takes any free one.
    pub bind: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 9641)),
        }
    }
}

/// Who may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Whether anybody who reaches a listener may use it. A listener on a loopback address needs no permission:
    /// only this machine reaches it. Any other listener is refused unless this is true.
    pub allow_anonymous: bool,
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

/// How much of everything one client, or all of them, may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// MQTT connections at one time.
    pub connections: usize,
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
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
            keep_alive_max: 0,
            max_packet_size: 4 << 20,
            client_id_length: 256,
            topic_length: 1024,
            topic_levels: 32,
            subscriptions_per_session: 1_000,
            user_properties: 64,
            inflight: 512,
            receive_maximum: 512,
            topic_alias_maximum: 64,
            queue_messages: 10_000,
            queue_bytes: 16 * MIB,
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
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
        }
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
