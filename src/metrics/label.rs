//! The closed sets that labels are drawn from. Never a client id, topic, tid, bid or key: those have no bound.

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// The value as it stands in the label.
    fn as_str(self) -> &'static str;

    /// The value's place in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* enum $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$value_doc])* $value,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The value as it stands in the label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        impl Label for $name {
            const ALL: &'static [Self] = Self::ALL;

            fn as_str(self) -> &'static str {
                self.as_str()
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    /// The protocol version of a connection.
    enum Version {
        /// MQTT 3.1 (protocol level 3).
        V31 = "3.1",
        /// MQTT 3.1.1 (protocol level 4).
        V311 = "3.1.1",
        /// MQTT 5 (protocol level 5).
        V5 = "5",
    }

    /// The quality of service that a message travelled with.
    enum Qos {
        /// At most once.
        AtMostOnce = "0",
        /// At least once.
        AtLeastOnce = "1",
        /// Exactly once.
        ExactlyOnce = "2",
    }

    /// Why a message was not delivered. A refusal by the upload rules is not a drop: `uploads_refused_total` counts it.
    ///
    /// Write it with its module, `metrics::Drop`, so that the prelude's trait keeps its name.
    enum Drop {
        /// The session's queue was full: a QoS 1 or 2 message.
        QueueFull = "queue_full",
        /// The session's queue was full: a QoS 0 message, the first to go.
        QueueFullQos0 = "queue_full_qos0",
        /// The message expiry interval ran out (MQTT 5, 3.3.2.3.3).
        Expired = "expired",
        /// Larger than the receiver's maximum packet size (MQTT-3.1.2-25).
        TooLarge = "too_large",
        /// The session ended with messages waiting.
        SessionEnded = "session_ended",
        /// A QoS 0 message for a session without a connection.
        Offline = "offline",
        /// No room in the retained store or in the offline store.
        NoStorage = "no_storage",
        /// The publisher may not publish there.
        NotAuthorized = "not_authorized",
        /// The routing core did not take it or did not hand it on.
        Router = "router",
    }

    /// Why a connection that had its CONNACK ended.
    enum Disconnect {
        /// The client sent DISCONNECT.
        Client = "client",
        /// The client closed the socket without DISCONNECT.
        Closed = "closed",
        /// Nothing came for one and a half keep-alive periods (MQTT-3.1.2-22).
        KeepAlive = "keep_alive",
        /// Another connection took the session over (MQTT-3.1.4-3).
        TakenOver = "taken_over",
        /// The client broke the protocol; `protocol_errors_total` says how.
        Protocol = "protocol",
        /// The client took nothing off its socket for the write deadline.
        WriteTimeout = "write_timeout",
        /// The handshake or CONNECT did not come in time.
        ConnectTimeout = "connect_timeout",
        /// The client may not do what it tried.
        NotAuthorized = "not_authorized",
        /// A limit of this broker (messages, memory, rate).
        Limit = "limit",
        /// The broker is stopping.
        Shutdown = "shutdown",
        /// The socket failed.
        Io = "io",
        /// A fault of the broker.
        Internal = "internal",
    }

    /// Why a connection was refused, before or with its CONNACK.
    enum ConnectRefusal {
        /// A protocol version that the broker does not speak.
        Version = "version",
        /// An unusable client identifier.
        Identifier = "identifier",
        /// A CONNECT that does not parse or breaks the protocol.
        Malformed = "malformed",
        /// A limit on connections or on their rate.
        Limit = "limit",
        /// The user may not connect.
        NotAuthorized = "not_authorized",
        /// Wrong user name or password.
        BadCredentials = "bad_credentials",
        /// An authentication method that the broker does not know (MQTT 5, 3.1.2.11.9).
        BadAuthMethod = "bad_auth_method",
        /// The first packet was no CONNECT (MQTT-3.1.0-1).
        NotConnect = "not_connect",
        /// CONNECT did not come in time.
        Timeout = "timeout",
        /// No PROXY header came where there has to be one, the TLS or WebSocket handshake failed, or the web page was one of
        /// those that may not come in.
        Handshake = "handshake",
        /// The socket closed before CONNECT was whole.
        Closed = "closed",
        /// A will that the broker does not take (topic, QoS, retain or size).
        Will = "will",
        /// The CONNECT packet is over the size limit.
        TooLarge = "too_large",
        /// The broker is starting, stopping or without its routing core.
        Unavailable = "unavailable",
    }

    /// How a client broke the protocol.
    enum ProtocolFault {
        /// Bytes that are no packet.
        Malformed = "malformed",
        /// A packet out of turn, such as a second CONNECT (MQTT-3.1.0-2).
        Protocol = "protocol",
        /// Over the broker's maximum packet size (MQTT-3.2.2-15).
        TooLarge = "too_large",
        /// A topic name with wildcards, empty or otherwise unusable (MQTT-3.3.2-2).
        TopicName = "topic_name",
        /// An unusable topic filter (MQTT 5, 4.7).
        TopicFilter = "topic_filter",
        /// More unacknowledged messages than the receive maximum (MQTT-3.3.4-9).
        ReceiveMaximum = "receive_maximum",
        /// An unknown or too large topic alias (MQTT-3.3.2-8, MQTT-3.3.2-9).
        TopicAlias = "topic_alias",
        /// A packet identifier of zero or out of turn (MQTT-2.2.1-3).
        PacketIdentifier = "packet_identifier",
        /// QoS 3, or a QoS over the broker's maximum (MQTT-3.3.1-4).
        Qos = "qos",
        /// A payload that is not what its payload format indicator says (MQTT 5, 3.3.2.3.2).
        PayloadFormat = "payload_format",
    }

    /// Who failed to prove or was not allowed what.
    enum AuthFailure {
        /// No user name where one is needed.
        Anonymous = "anonymous",
        /// A user name that is not in the password file.
        UnknownUser = "unknown_user",
        /// A wrong password.
        WrongPassword = "wrong_password",
        /// A client certificate that does not fit.
        Certificate = "certificate",
        /// An authentication method that the broker does not know.
        Method = "method",
        /// The client identifier belongs to somebody else.
        Identifier = "identifier",
        /// A publish that the rules do not allow.
        Publish = "publish",
        /// A subscription that the rules do not allow.
        Subscribe = "subscribe",
        /// An HTTP request without the token that it needs.
        HttpToken = "http_token",
    }

    /// A limit, by the name of its setting.
    enum Limit {
        /// Connections at one time, of all clients or of one listener.
        Connections = "connections",
        /// Connections at one time from one address.
        ConnectionsPerAddress = "connections_per_address",
        /// No CONNECT in time.
        ConnectTimeout = "connect_timeout",
        /// A packet that is too large.
        PacketSize = "max_packet_size",
        /// A client identifier that is too long.
        ClientIdLength = "client_id_length",
        /// A topic name or filter that is too long.
        TopicLength = "topic_length",
        /// A topic name or filter with too many levels.
        TopicLevels = "topic_levels",
        /// Subscriptions of one session.
        Subscriptions = "subscriptions_per_session",
        /// User properties of one packet.
        UserProperties = "user_properties",
        /// Publishes of one client in flight.
        ReceiveMaximum = "receive_maximum",
        /// A topic alias over the maximum.
        TopicAliasMaximum = "topic_alias_maximum",
        /// Messages a second of one client, which was read more slowly.
        MessageRate = "messages_per_second",
        /// Bytes a second of one client, which was read more slowly.
        ByteRate = "bytes_per_second",
        /// Messages queued for one session.
        QueueMessages = "queue_messages",
        /// Bytes queued for one session.
        QueueBytes = "queue_bytes",
        /// Bytes queued for all sessions together.
        QueueBytesTotal = "queue_bytes_total",
        /// Sessions.
        Sessions = "sessions",
        /// Retained messages.
        RetainedMessages = "retained_messages",
        /// Bytes of retained messages.
        RetainedBytes = "retained_bytes",
        /// Distinct filters with a wildcard.
        WildcardFilters = "wildcard_filters",
        /// Passwords that wait to be checked.
        Logins = "logins",
    }

    /// How a subscription is delivered.
    enum SubscriptionKind {
        /// A topic without wildcards: a look-up in the edge.
        Exact = "exact",
        /// A filter with `+` or `#`: through the routing core.
        Wildcard = "wildcard",
        /// A member of a `$share` group.
        Shared = "shared",
    }

    /// Whether a session has a connection.
    enum SessionState {
        /// Connected.
        Online = "online",
        /// Kept without a connection.
        Offline = "offline",
    }
}

impl Qos {
    /// The label of a QoS as it stands on the wire; anything above 2 cannot get past the codec and counts as 2.
    #[must_use]
    pub const fn from_wire(qos: u8) -> Self {
        match qos {
            0 => Self::AtMostOnce,
            1 => Self::AtLeastOnce,
            _ => Self::ExactlyOnce,
        }
    }
}
