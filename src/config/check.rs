//! Whether the settings make sense, each alone and all together.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::explain::shorten;
use super::flaw::{Flaw, Flaws};
use super::problem::{Place, SettingsError};
use super::{Http, Limits, Settings, is_local, listeners, object_store, size};
use crate::logging;

/// The largest packet that MQTT's length field can say (MQTT-1.5.5: four bytes of seven bits).
const LARGEST_PACKET: u32 = 268_435_455;
const GIB: u64 = 1 << 30;
const MOMENT: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MANY: RangeInclusive<usize> = 1..=1_000_000;

impl Settings {
    /// Checks settings that a program has put together; those from [`Settings::load`] are checked already.
    ///
    /// # Errors
    /// Says everything that makes no sense.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let problems: Vec<_> = flaws(self).into_iter().map(|flaw| flaw.at(Place::Default)).collect();
        if problems.is_empty() { Ok(()) } else { Err(SettingsError::new(problems)) }
    }
}

/// Everything about the settings that makes no sense.
pub(super) fn flaws(settings: &Settings) -> Vec<Flaw> {
    let mut found = Flaws::default();
    if settings.data_dir.as_os_str().is_empty() {
        let remedy = "give the path of a folder, or set persistence.enabled = false";
        found.push("data_dir", "\"\"", "this names no folder", remedy);
    }
    listeners::flaws(settings, &mut found);
    http(settings, &mut found);
    sys(settings, &mut found);
    access(settings, &mut found);
    uploads(settings, &mut found);
    object_store::flaws(&settings.object_store, &mut found);
    timeouts(settings, &mut found);
    packets(settings, &mut found);
    amounts(settings, &mut found);
    of_listeners(settings, &mut found);
    log(settings, &mut found);
    found.into_vec()
}

fn sys(settings: &Settings, found: &mut Flaws) {
    if !settings.sys_interval.is_zero() {
        found.duration("sys_interval", settings.sys_interval, Duration::from_secs(1)..=HOUR);
    }
}

fn http(settings: &Settings, found: &mut Flaws) {
    let Http { bind, token_file, hosts } = &settings.http;
    if token_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        found.push("http.token_file", "\"\"", "this names no file", "give its path, or leave it out");
    }
    if !is_local(*bind) && token_file.is_none() {
        found.push(
            "http.bind",
            bind,
            "other machines reach this listener, and nothing says who may cancel uploads on it",
            "give http.token_file, or bind to 127.0.0.1",
        );
    }
    for (index, host) in hosts.iter().enumerate() {
        if host.is_empty() || host.contains(['/', ':', ' ', '*']) {
            let remedy = "give a name alone, such as \"docks.example.org\"";
            found.push(&format!("http.hosts[{index}]"), format!("{host:?}"), "this is no host name", remedy);
        }
    }
}

fn access(settings: &Settings, found: &mut Flaws) {
    let access = &settings.access;
    for (key, path) in [("access.password_file", &access.password_file), ("access.acl_file", &access.acl_file)] {
        if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            found.push(key, "\"\"", "this names no file", "give its path, or leave it out");
        }
    }
    let roles = &access.roles;
    let mut taken: Vec<(&str, &str)> = Vec::new();
    for (role, names) in [("dock", &roles.dock), ("backend", &roles.backend), ("observer", &roles.observer)] {
        for (index, name) in names.iter().enumerate() {
            let key = format!("access.roles.{role}[{index}]");
            if name.is_empty() {
                found.push(&key, "\"\"", "no user has an empty name", "give a name, or a pattern such as \"dock-*\"");
            } else if let Some((other, _)) = taken.iter().find(|(other, taken)| *other != role && taken == name) {
                found.push(
                    &key,
                    format!("{name:?}"),
                    format!("it is in access.roles.{other} too, and a user has one role"),
                    "delete it from one of them",
                );
            }
            taken.push((role, name));
        }
    }
}

fn uploads(settings: &Settings, found: &mut Flaws) {
    let uploads = &settings.uploads;
    if uploads.conflict_result == 0 || i32::try_from(uploads.conflict_result).is_err() {
        found.push(
            "uploads.conflict_result",
            uploads.conflict_result,
            "0 would tell the backend that its refused start was accepted, and backends read 32 bits",
            "give the code that your backend shows for a busy dock, such as 325009",
        );
    }
    found.duration("uploads.reply_timeout", uploads.reply_timeout, MOMENT..=HOUR);
    found.duration("uploads.cancel_timeout", uploads.cancel_timeout, MOMENT..=DAY);
    found.duration("uploads.stall_timeout", uploads.stall_timeout, MOMENT..=7 * DAY);
    found.duration("uploads.offline_grace", uploads.offline_grace, MOMENT..=7 * DAY);
    found.count("uploads.history_per_gateway", uploads.history_per_gateway, 1..=10_000);
    found.count("uploads.history_total", uploads.history_total, 1..=10_000_000);
    found.count("uploads.max_gateways", uploads.max_gateways, MANY);
    if uploads.history_total < uploads.history_per_gateway {
        found.push(
            "uploads.history_total",
            uploads.history_total,
            format!("this is less than uploads.history_per_gateway = {}", uploads.history_per_gateway),
            "give as much or more",
        );
    }
}

fn timeouts(settings: &Settings, found: &mut Flaws) {
    let limits = &settings.limits;
    found.duration("limits.connect_timeout", limits.connect_timeout, MOMENT..=HOUR);
    found.duration("limits.write_timeout", limits.write_timeout, MOMENT..=HOUR);
    // MQTT 5 counts session expiry in 32 bits of seconds, of which the last value means for ever.
    let expiry_max = Duration::from_secs(u64::from(u32::MAX) - 1);
    found.duration("limits.session_expiry_max", limits.session_expiry_max, Duration::from_secs(1)..=expiry_max);
}

fn packets(settings: &Settings, found: &mut Flaws) {
    let limits = &settings.limits;
    found.bytes("limits.max_packet_size", limits.max_packet_size.into(), 256..=LARGEST_PACKET.into());
    // A server must take identifiers of 23 bytes [MQTT-3.1.3-5]; a UTF-8 string has at most 65,535.
    found.count("limits.client_id_length", limits.client_id_length, 23..=65_535);
    // `thing/product/{20 characters}/property/set_reply` has 52 bytes and five levels.
    found.count("limits.topic_length", limits.topic_length, 64..=65_535);
    found.count("limits.topic_levels", limits.topic_levels, 5..=65_535);
    found.count("limits.user_properties", limits.user_properties, 0..=10_000);
    found.count("limits.inflight", limits.inflight.into(), 1..=65_535);
    // A Receive Maximum of 0 is a protocol error (MQTT 5, 3.2.2.3.3).
    found.count("limits.receive_maximum", limits.receive_maximum.into(), 1..=65_535);
}

fn amounts(settings: &Settings, found: &mut Flaws) {
    let limits = &settings.limits;
    found.count("limits.connections", limits.connections, MANY);
    found.count("limits.connections_per_address", limits.connections_per_address, 0..=1_000_000);
    found.count("limits.subscriptions_per_session", limits.subscriptions_per_session, MANY);
    found.count("limits.queue_messages", limits.queue_messages, 1..=100_000_000);
    found.bytes("limits.queue_bytes", limits.queue_bytes as u64, 1..=1024 * GIB);
    found.bytes("limits.queue_bytes_total", limits.queue_bytes_total as u64, 1..=1024 * GIB);
    found.count("limits.sessions", limits.sessions, 1..=100_000_000);
    found.count("limits.retained_messages", limits.retained_messages, 1..=100_000_000);
    found.bytes("limits.retained_bytes", limits.retained_bytes as u64, 1..=1024 * GIB);
    found.count("limits.wildcard_filters", limits.wildcard_filters, MANY);
    for (key, bytes) in
        [("limits.queue_bytes", limits.queue_bytes as u64), ("limits.retained_bytes", limits.retained_bytes as u64)]
    {
        let packet = u64::from(limits.max_packet_size);
        if bytes < packet && packet <= LARGEST_PACKET.into() {
            found.push(
                key,
                size::display(bytes),
                format!("a message of limits.max_packet_size = {} would never fit", size::display(packet)),
                "raise this or lower that",
            );
        }
    }
    if limits.queue_bytes_total < limits.queue_bytes {
        let (all, one) = (size::display(limits.queue_bytes_total as u64), size::display(limits.queue_bytes as u64));
        found.push(
            "limits.queue_bytes_total",
            all,
            format!("all sessions together would have less than one alone (limits.queue_bytes = {one})"),
            "raise this or lower that",
        );
    }
}

/// The limits that listeners have for themselves must make the same sense.
fn of_listeners(settings: &Settings, found: &mut Flaws) {
    let all = &settings.limits;
    for (index, listener) in settings.listeners.iter().enumerate() {
        let own = &listener.limits;
        let key = |name: &str| format!("listeners[{index}].limits.{name}");
        if let Some(connections) = own.connections {
            found.count(&key("connections"), connections, MANY);
        }
        if let Some(connections) = own.connections_per_address {
            found.count(&key("connections_per_address"), connections, 0..=1_000_000);
        }
        if let Some(timeout) = own.connect_timeout {
            found.duration(&key("connect_timeout"), timeout, MOMENT..=HOUR);
        }
        if let Some(subscriptions) = own.subscriptions_per_session {
            found.count(&key("subscriptions_per_session"), subscriptions, MANY);
        }
        if let Some(size) = own.max_packet_size {
            found.bytes(&key("max_packet_size"), size.into(), 256..=LARGEST_PACKET.into());
            fits(&key("max_packet_size"), size, all, found);
        }
    }
}

fn fits(key: &str, packet: u32, all: &Limits, found: &mut Flaws) {
    for (name, bytes) in [("queue_bytes", all.queue_bytes as u64), ("retained_bytes", all.retained_bytes as u64)] {
        if bytes < packet.into() {
            found.push(
                key,
                size::display(packet.into()),
                format!("a message of this size would never fit into limits.{name} = {}", size::display(bytes)),
                "lower this or raise that",
            );
        }
    }
}

fn log(settings: &Settings, found: &mut Flaws) {
    if let Err(error) = logging::filter(&settings.log.level) {
        found.push(
            "log.level",
            shorten(format!("{:?}", settings.log.level)),
            shorten(error.to_string()),
            "give error, warn, info, debug, trace or off, or a list such as \"info,dockgate::mqtt=debug\"",
        );
    }
}
