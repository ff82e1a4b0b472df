//! Whether the settings make sense, each alone and all together.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::{Place, Problem, SettingsError};
use super::{Settings, size};
use crate::logging;

/// The largest packet that MQTT's length field can say (MQTT-1.5.5: four bytes of seven bits).
const LARGEST_PACKET: u32 = 268_435_455;
/// A dock's answer to `fileupload_list` takes tens of kilobytes when it has hundreds of boots, and a start
/// carries credentials of kilobytes; a broker for docks should take a megabyte.
const ENOUGH_FOR_LOG_LISTS: u32 = 1 << 20;
const GIB: u64 = 1 << 30;
const MOMENT: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Settings {
    /// Checks settings that a program has put together; those from [`Settings::load`] are checked already.
    ///
    /// # Errors
    /// Says everything that makes no sense.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let problems: Vec<_> = flaws(self)
            .into_iter()
            .map(|flaw| flaw.at(Place::Default))
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(SettingsError::new(problems))
        }
    }

    /// What is allowed but deserves a second thought, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for listener in self.listeners.iter().filter(|l| !is_local(l.bind)) {
            warnings.push(format!(
                "{} is open to anybody who reaches it, unencrypted: keep it inside a network you trust",
                listener.bind
            ));
        }
        if !is_local(self.http.bind) {
            warnings.push(format!(
                "http.bind = {} shows metrics and uploads to anybody who reaches it",
                self.http.bind
            ));
        }
        if self.limits.max_packet_size < ENOUGH_FOR_LOG_LISTS {
            warnings.push(format!(
                "limits.max_packet_size = {} may be too small for a dock's list of logs; 1 MiB is enough",
                size::display(self.limits.max_packet_size.into())
            ));
        }
        if self.limits.sessions < self.limits.connections {
            warnings.push(format!(
                "limits.sessions = {} lets fewer clients in than limits.connections = {}: each has a session",
                self.limits.sessions, self.limits.connections
            ));
        }
        warnings
    }
}

/// Whether only this machine can reach the address.
#[must_use]
pub fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// A setting that makes no sense.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) key: String,
    given: String,
    fault: String,
    remedy: String,
}

impl Flaw {
    pub(super) fn at(self, place: Place) -> Problem {
        Problem {
            place,
            key: self.key,
            given: Some(self.given),
            fault: self.fault,
            remedy: self.remedy,
        }
    }
}

/// Everything about the settings that makes no sense.
pub(super) fn flaws(settings: &Settings) -> Vec<Flaw> {
    let mut found = Flaws(Vec::new());
    addresses(settings, &mut found);
    access(settings, &mut found);
    uploads(settings, &mut found);
    timeouts(settings, &mut found);
    packets(settings, &mut found);
    amounts(settings, &mut found);
    log(settings, &mut found);
    found.0
}

fn addresses(settings: &Settings, found: &mut Flaws) {
    if settings.listeners.is_empty() {
        found.push(
            "listeners",
            "[]",
            "nobody could connect".to_owned(),
            "give at least one listener",
        );
    }
    let mut taken = vec![("http.bind".to_owned(), settings.http.bind)];
    for (index, listener) in settings.listeners.iter().enumerate() {
        let key = format!("listeners[{index}].bind");
        if let Some((other, address)) = taken
            .iter()
            .find(|(_, address)| overlap(*address, listener.bind))
        {
            found.push(
                &key,
                listener.bind,
                format!("{other} = {address} takes the same address"),
                "give each its own port (port 0 takes any free one)",
            );
        }
        taken.push((key, listener.bind));
    }
}

/// Whether the second of two sockets could not be bound because of the first. The unspecified address takes the
/// port on all addresses of its family, and `[::]` on those of IPv4 as well, as Linux does unless told otherwise.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    fn covers(a: IpAddr, b: IpAddr) -> bool {
        a == b || (a.is_unspecified() && (a.is_ipv6() || b.is_ipv4()))
    }
    let (a_ip, b_ip) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() == b.port() && a.port() != 0 && (covers(a_ip, b_ip) || covers(b_ip, a_ip))
}

fn access(settings: &Settings, found: &mut Flaws) {
    if settings.access.allow_anonymous {
        return;
    }
    for (index, listener) in settings.listeners.iter().enumerate() {
        if !is_local(listener.bind) {
            found.push(
                &format!("listeners[{index}].bind"),
                listener.bind,
                "other machines can reach this listener, and nothing says who may use it"
                    .to_owned(),
                "set access.allow_anonymous = true if everybody may, or bind to 127.0.0.1",
            );
        }
    }
}

fn uploads(settings: &Settings, found: &mut Flaws) {
    let uploads = &settings.uploads;
    if uploads.conflict_result == 0 || i32::try_from(uploads.conflict_result).is_err() {
        found.push(
            "uploads.conflict_result",
            uploads.conflict_result,
            "0 would tell the backend that its refused start was accepted, and backends read 32 bits"
                .to_owned(),
            "give the code that your backend shows for a busy dock, such as 325009",
        );
    }
    found.duration(
        "uploads.reply_timeout",
        uploads.reply_timeout,
        MOMENT..=HOUR,
    );
    found.duration(
        "uploads.cancel_timeout",
        uploads.cancel_timeout,
        MOMENT..=DAY,
    );
    found.duration(
        "uploads.stall_timeout",
        uploads.stall_timeout,
        MOMENT..=7 * DAY,
    );
    found.duration(
        "uploads.offline_grace",
        uploads.offline_grace,
        MOMENT..=7 * DAY,
    );
    found.count(
        "uploads.history_per_gateway",
        uploads.history_per_gateway,
        1..=10_000,
    );
    found.count(
        "uploads.history_total",
        uploads.history_total,
        1..=10_000_000,
    );
    found.count("uploads.max_gateways", uploads.max_gateways, 1..=1_000_000);
    if uploads.history_total < uploads.history_per_gateway {
        found.push(
            "uploads.history_total",
            uploads.history_total,
            format!(
                "this is less than uploads.history_per_gateway = {}",
                uploads.history_per_gateway
            ),
            "give as much or more",
        );
    }
}

fn timeouts(settings: &Settings, found: &mut Flaws) {
    let limits = &settings.limits;
    found.duration(
        "limits.connect_timeout",
        limits.connect_timeout,
        MOMENT..=HOUR,
    );
    found.duration("limits.write_timeout", limits.write_timeout, MOMENT..=HOUR);
    // MQTT 5 counts session expiry in 32 bits of seconds, of which the last value means for ever.
    let expiry_max = Duration::from_secs(u64::from(u32::MAX) - 1);
    found.duration(
        "limits.session_expiry_max",
        limits.session_expiry_max,
        Duration::from_secs(1)..=expiry_max,
    );
}

fn packets(settings: &Settings, found: &mut Flaws) {
    let limits = &settings.limits;
    found.bytes(
        "limits.max_packet_size",
        limits.max_packet_size.into(),
        256..=LARGEST_PACKET.into(),
    );
    // A server must take identifiers of 23 bytes [MQTT-3.1.3-5]; a UTF-8 string has at most 65,535.
    found.count(
        "limits.client_id_length",
        limits.client_id_length,
        23..=65_535,
    );
    // `thing/product/{20 characters}/property/set_reply` has 52 bytes and five levels.
    found.count("limits.topic_length", limits.topic_length, 64..=65_535);
    found.count("limits.topic_levels", limits.topic_levels, 5..=65_535);
    found.count("limits.user_properties", limits.user_properties, 0..=10_000);
    found.count("limits.inflight", limits.inflight.into(), 1..=65_535);
    // A Receive Maximum of 0 is a protocol error (MQTT 5, 3.2.2.3.3).
    found.count(
        "limits.receive_maximum",
        limits.receive_maximum.into(),
        1..=65_535,
    );
}

fn amounts(settings: &Settings, found: &mut Flaws) {
    let limits = &settings.limits;
    found.count("limits.connections", limits.connections, 1..=1_000_000);
    found.count(
        "limits.subscriptions_per_session",
        limits.subscriptions_per_session,
        1..=1_000_000,
    );
    found.count(
        "limits.queue_messages",
        limits.queue_messages,
        1..=100_000_000,
    );
    found.bytes(
        "limits.queue_bytes",
        limits.queue_bytes as u64,
        1..=1024 * GIB,
    );
    found.count("limits.sessions", limits.sessions, 1..=100_000_000);
    found.count(
        "limits.retained_messages",
        limits.retained_messages,
        1..=100_000_000,
    );
    found.bytes(
        "limits.retained_bytes",
        limits.retained_bytes as u64,
        1..=1024 * GIB,
    );
    found.count(
        "limits.wildcard_filters",
        limits.wildcard_filters,
        1..=1_000_000,
    );
    for (key, bytes) in [
        ("limits.queue_bytes", limits.queue_bytes as u64),
        ("limits.retained_bytes", limits.retained_bytes as u64),
    ] {
        let packet = u64::from(limits.max_packet_size);
        if bytes < packet && packet <= LARGEST_PACKET.into() {
            found.push(
                key,
                size::display(bytes),
                format!(
                    "a message of limits.max_packet_size = {} would never fit",
                    size::display(packet)
                ),
                "raise this or lower that",
            );
        }
    }
}

fn log(settings: &Settings, found: &mut Flaws) {
    if let Err(error) = logging::filter(&settings.log.level) {
        found.push(
            "log.level",
            format!("{:?}", settings.log.level),
            error.to_string(),
            "give error, warn, info, debug, trace or off, or a list such as \"info,dockgate::mqtt=debug\"",
        );
    }
}

struct Flaws(Vec<Flaw>);

impl Flaws {
    fn push(&mut self, key: &str, given: impl Display, fault: String, remedy: &str) {
        // One flaw a setting: what is out of range need not also be compared with others.
        if !self.0.iter().any(|flaw| flaw.key == key) {
            self.0.push(Flaw {
                key: key.to_owned(),
                given: given.to_string(),
                fault,
                remedy: remedy.to_owned(),
            });
        }
    }

    fn range<T: PartialOrd>(
        &mut self,
        key: &str,
        given: T,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) {
        if !range.contains(&given) {
            let (least, most) = (show(range.start()), show(range.end()));
            let (fault, remedy) = if given < *range.start() {
                (
                    format!("the least that makes sense is {least}"),
                    "give more",
                )
            } else {
                (format!("the most that makes sense is {most}"), "give less")
            };
            self.push(key, show(&given), fault, remedy);
        }
    }

    fn count(&mut self, key: &str, given: usize, range: RangeInclusive<usize>) {
        self.range(key, given, range, usize::to_string);
    }

    fn bytes(&mut self, key: &str, given: u64, range: RangeInclusive<u64>) {
        self.range(key, given, range, |bytes| size::display(*bytes));
    }

    fn duration(&mut self, key: &str, given: Duration, range: RangeInclusive<Duration>) {
        self.range(key, given, range, |duration| {
            humantime::format_duration(*duration).to_string()
        });
    }
}
