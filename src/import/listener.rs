//! What belongs to one listener.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::options::{lost, shown};
use super::source::Line;
use crate::config::{self, Origin, Protocol};

/// Who gets in and may do what.
#[derive(Debug, Clone, Default)]
pub(super) struct Security {
    pub(super) allow_anonymous: Option<bool>,
    pub(super) password_file: Option<String>,
    pub(super) acl_file: Option<String>,
    /// The lines of plugins, any of which may have a say.
    pub(super) plugins: Vec<String>,
}

impl Security {
    /// Takes a line of [`super::options::Scope::Security`], if dockgate has something like it.
    pub(super) fn take(&mut self, line: &Line) -> bool {
        match (&*line.name, line.switch()) {
            ("allow_anonymous", Some(switch)) => self.allow_anonymous = Some(switch),
            ("password_file", _) if !line.value.is_empty() => self.password_file = Some(line.value.clone()),
            ("acl_file", _) if !line.value.is_empty() => self.acl_file = Some(line.value.clone()),
            ("auth_plugin" | "plugin" | "global_plugin" | "plugin_load" | "plugin_use", _) => {
                self.plugins.push(shown(line));
            }
            _ => return false,
        }
        true
    }
}

/// The addresses of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    /// Those of this machine, IPv4 and IPv6.
    All,
    /// Only this machine: no listener is written down.
    Loopback,
    Given(IpAddr),
    /// A name, or a path.
    Other,
}

/// One listener, as Mosquitto has it.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    /// The line that begins it; `None` for Mosquitto's default listener.
    pub(super) begin: Option<String>,
    port: u16,
    address: Address,
    websockets: bool,
    certfile: Option<String>,
    keyfile: Option<String>,
    cafile: Option<Line>,
    require_certificate: Option<Line>,
    identity: Option<Line>,
    crlfile: Option<Line>,
    proxy_protocol: bool,
    /// `websockets_origin`: whose web pages Mosquitto 2.1 takes.
    origins: Vec<Line>,
    pub(super) max_connections: Option<usize>,
    pub(super) topic_aliases: Option<u16>,
    pub(super) security: Security,
    /// What is lost, a comment each.
    pub(super) lost: Vec<String>,
    /// Why it must be left out.
    pub(super) barred: Vec<String>,
}

impl Listener {
    /// The listener that there is without a line `listener`: port 1883, on this machine only until a `port` or a
    /// `bind_address` says otherwise.
    pub(super) fn of_default() -> Self {
        Self {
            begin: None,
            port: 1883,
            address: Address::Loopback,
            websockets: false,
            certfile: None,
            keyfile: None,
            cafile: None,
            require_certificate: None,
            identity: None,
            crlfile: None,
            proxy_protocol: false,
            origins: Vec::new(),
            max_connections: None,
            topic_aliases: None,
            security: Security::default(),
            lost: Vec::new(),
            barred: Vec::new(),
        }
    }

    /// `listener port [address | host | path of a Unix socket]`.
    pub(super) fn begin(line: &Line) -> Self {
        let mut listener = Self { begin: Some(shown(line)), address: Address::All, ..Self::of_default() };
        let mut words = line.value.split(' ').filter(|word| !word.is_empty());
        match words.next().and_then(|port| port.parse().ok()) {
            Some(0) => {
                listener.address = Address::Other;
                listener.barred.push("there are no listeners on Unix sockets".to_owned());
            }
            Some(port) => listener.port = port,
            None => listener.barred.push("this is not a port".to_owned()),
        }
        if listener.barred.is_empty()
            && let Some(host) = words.next().filter(|word| !word.starts_with('#'))
        {
            listener.host(host);
        }
        listener
    }

    /// The default listener is reached by others: there are lines that give it a port or address, or other listeners.
    pub(super) fn open(&mut self) {
        if self.address == Address::Loopback {
            self.address = Address::All;
        }
    }

    /// `bind_address`, or the second word of `listener`.
    pub(super) fn host(&mut self, host: &str) {
        self.address = match host.parse() {
            Ok(ip) => Address::Given(ip),
            Err(_) if host == "localhost" => Address::Given(Ipv4Addr::LOCALHOST.into()),
            Err(_) => {
                self.barred.push(format!("{host:?} is a name; give the address that it stands for"));
                Address::Other
            }
        };
    }

    /// `port`, of the default listener.
    pub(super) fn port(&mut self, line: &Line) {
        match line.word().parse() {
            Ok(port @ 1..) => self.port = port,
            _ => self.barred.push(format!("{}: this is not a port", shown(line))),
        }
    }

    /// Takes a line that is about this listener.
    pub(super) fn take(&mut self, line: &Line) {
        let given = (!line.value.is_empty()).then(|| line.value.clone());
        match (&*line.name, line.word(), line.switch()) {
            ("certfile", ..) => self.certfile = given,
            ("keyfile", ..) => self.keyfile = given,
            ("cafile", ..) => self.cafile = Some(line.clone()),
            ("crlfile", ..) => self.crlfile = Some(line.clone()),
            ("require_certificate", _, Some(switch)) => self.require_certificate = switch.then(|| line.clone()),
            ("use_identity_as_username", _, Some(true)) => self.identity = Some(line.clone()),
            ("use_subject_as_username", _, Some(true)) => {
                self.lose(line);
                self.identity.get_or_insert_with(|| line.clone());
            }
            ("listener_allow_anonymous", _, Some(switch)) => self.security.allow_anonymous = Some(switch),
            // -1 is no limit, as is any number that dockgate has no room for.
            ("max_connections", ..) if line.number().is_some() => {
                self.max_connections =
                    line.number().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=1_000_000).contains(n));
            }
            ("max_topic_alias", word, _) if word.parse::<u16>().is_ok() => self.topic_aliases = word.parse().ok(),
            ("protocol", "mqtt", _) => self.websockets = false,
            ("protocol", "websockets", _) => {
                self.websockets = true;
                self.lost.push(format!("{}: clients must use the path /mqtt; Mosquitto takes any", shown(line)));
            }
            ("socket_domain", "ipv4", _) if self.address == Address::All => {
                self.address = Address::Given(Ipv4Addr::UNSPECIFIED.into());
            }
            ("socket_domain", "ipv6", _) if self.address == Address::All => {
                self.address = Address::Given(Ipv6Addr::UNSPECIFIED.into());
                self.lost.push(format!("{}: [::] takes IPv4 clients too; give one IPv6 address if not", shown(line)));
            }
            ("socket_domain", "ipv4" | "ipv6", _) => {}
            ("websockets_origin", ..) if given.is_some() => self.origins.push(line.clone()),
            ("enable_proxy_protocol", "2", _) => self.proxy_protocol = true,
            ("accept_protocol_versions", ..) if ["3", "4", "5"].iter().all(|version| line.value.contains(version)) => {}
            ("enable_proxy_protocol", ..) => {
                self.barred.push(format!("{}: only version 2 of the PROXY protocol is spoken", shown(line)));
            }
            ("protocol", ..) => self.barred.push(format!("{}: dockgate does not speak it", shown(line))),
            ("bind_interface" | "mount_point" | "psk_hint" | "psk_file", ..) => self.bar(line),
            ("tls_keyform", "engine", _) | ("tls_engine", ..) => self.bar(line),
            _ => self.lose(line),
        }
    }

    /// Says what is lost with a line.
    pub(super) fn lose(&mut self, line: &Line) {
        self.lost.extend(lost(line).map(|reason| format!("{}: {reason}", shown(line))));
    }

    fn bar(&mut self, line: &Line) {
        self.barred.extend(lost(line).map(|reason| format!("{}: {reason}", shown(line))));
    }

    /// The same for dockgate, as far as it goes; who gets in is not decided yet. `passwords`: there is a password file.
    pub(super) fn settings(&mut self, passwords: bool) -> config::Listener {
        let tls = self.certfile.is_some() && self.keyfile.is_some();
        if self.certfile.is_some() != self.keyfile.is_some() {
            self.barred.push("certfile and keyfile belong together, and there is only one of them".to_owned());
        }
        let protocol = match (self.websockets, tls) {
            (false, false) => Protocol::Mqtt,
            (false, true) => Protocol::Mqtts,
            (true, false) => Protocol::Ws,
            (true, true) => Protocol::Wss,
        };
        let ip = match self.address {
            Address::All => Ipv6Addr::UNSPECIFIED.into(),
            Address::Given(ip) => ip,
            Address::Loopback | Address::Other => Ipv4Addr::LOCALHOST.into(),
        };
        let mut listener = config::Listener::new(protocol, SocketAddr::new(ip, self.port));
        listener.proxy_protocol = self.proxy_protocol;
        listener.limits.connections = self.max_connections;
        self.origins(&mut listener);
        if tls {
            listener.tls_cert = self.certfile.clone().map(PathBuf::from);
            listener.tls_key = self.keyfile.clone().map(PathBuf::from);
            self.certificates(&mut listener, passwords);
        } else {
            let lines = [&self.cafile, &self.crlfile, &self.identity, &self.require_certificate].into_iter().flatten();
            self.lost
                .extend(lines.map(|line| format!("{}: it has no effect without certfile and keyfile", shown(line))));
        }
        listener
    }

    /// Mosquitto compares them as text, and takes any page if there are none.
    fn origins(&mut self, listener: &mut config::Listener) {
        for line in &self.origins {
            if !self.websockets {
                self.lost.push(format!("{}: it has no effect without protocol websockets", shown(line)));
                continue;
            }
            match line.value.parse() {
                Ok(origin @ (Origin::Page(_) | Origin::Null)) => listener.origins.push(origin),
                // To Mosquitto it is a text as any other, which no page has.
                Ok(Origin::Any) | Err(_) => self.barred.push(format!(
                    "{}: this is not the origin of a web page, such as https://ops.example",
                    shown(line)
                )),
            }
        }
    }

    /// Mosquitto asks clients for certificates only if it requires them.
    fn certificates(&mut self, listener: &mut config::Listener, passwords: bool) {
        if self.require_certificate.is_none() {
            for line in self.cafile.iter().chain(&self.crlfile) {
                let reason = "without require_certificate, Mosquitto asks no client for a certificate";
                self.lost.push(format!("{}: {reason}", shown(line)));
            }
            if let Some(line) = &self.identity {
                let reason = "without require_certificate, Mosquitto lets nobody in here";
                self.barred.push(format!("{}: {reason}", shown(line)));
            }
            return;
        }
        if let Some(line) = &self.cafile {
            listener.client_ca = Some(PathBuf::from(&line.value));
            listener.require_client_cert = true;
        } else {
            self.barred.push("require_certificate needs a file for client_ca, and there is no cafile".to_owned());
        }
        if let Some(line) = &self.crlfile {
            self.barred.extend(lost(line).map(|reason| format!("{}: {reason}", shown(line))));
        }
        match (&self.identity, passwords) {
            (Some(_), _) => {}
            (None, true) => self.barred.push(
                "Mosquitto asks for a certificate and a password here; with client_ca, a certificate is enough".to_owned(),
            ),
            (None, false) => self.lost.push(
                "require_certificate without use_identity_as_username: the common name of the certificate is the user name \
                 here, whatever the client says"
                    .to_owned(),
            ),
        }
    }

    /// Whether the default listener stays on this machine's loopback addresses.
    pub(super) fn is_loopback(&self) -> bool {
        self.address == Address::Loopback
    }
}
