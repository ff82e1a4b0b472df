//! Writes the settings down, with everything that has to be said about them.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use toml_edit::Value;

use super::broker::{Carried, Outcome};
use crate::config::{Access, Limits, Listener, Log, Settings};

/// The text of a settings file.
pub(super) fn write(name: &str, outcome: &Outcome) -> String {
    let mut text = Text::default();
    let name = name.replace(|c: char| c.is_control(), " ");
    text.comment(&format!("What {name} says, for dockgate. `dockgate check --config …` says whether it can be used."));
    let files = files(outcome);
    if files.iter().any(|path| path.is_relative()) {
        text.comment("Relative paths start from the folder of this file; in Mosquitto, from its working directory.");
    }
    text.list("Not carried over:", &outcome.lost);
    data_dir(&outcome.settings, &mut text);
    sys_interval(outcome.settings.sys_interval, &mut text);
    for carried in &outcome.listeners {
        listener(carried, &mut text);
    }
    if outcome.settings.listeners.is_empty() {
        nobody(&mut text);
    }
    access(&outcome.settings.access, &mut text);
    persistence(outcome.settings.persistence.enabled, &mut text);
    limits(&outcome.settings.limits, &outcome.limits, &mut text);
    if outcome.settings.log != Log::default() {
        text.section("[log]");
        text.set("level", quoted(&outcome.settings.log.level));
    }
    text.list("There are no bridges, so these lines are not carried over:", &outcome.bridges);
    text.0
}

fn files(outcome: &Outcome) -> Vec<&Path> {
    let access = &outcome.settings.access;
    let listeners = outcome.listeners.iter().map(|carried| &carried.listener);
    listeners
        .flat_map(|listener| [&listener.tls_cert, &listener.tls_key, &listener.client_ca])
        .chain([&access.password_file, &access.acl_file])
        .filter_map(|path| path.as_deref())
        .chain(has_data_dir(&outcome.settings).then_some(&*outcome.settings.data_dir))
        .collect()
}

/// Whether the folder is another than dockgate's own choice.
fn has_data_dir(settings: &Settings) -> bool {
    settings.data_dir != Settings::default().data_dir
}

fn data_dir(settings: &Settings, text: &mut Text) {
    if has_data_dir(settings) {
        text.blank();
        text.comment("From persistence_location. Nothing is taken over from Mosquitto's own files there.");
        text.set("data_dir", quoted(&settings.data_dir.to_string_lossy()));
    }
}

fn persistence(enabled: bool, text: &mut Text) {
    if !enabled {
        text.section("[persistence]");
        text.comment("Without persistence true, Mosquitto forgets everything at a restart. Delete this to keep it.");
        text.set("enabled", false);
    }
}

fn sys_interval(interval: Duration, text: &mut Text) {
    if interval != Settings::default().sys_interval {
        text.blank();
        text.set("sys_interval", quoted(&format!("{}s", interval.as_secs())));
    }
}

fn listener(carried: &Carried, text: &mut Text) {
    let begin = carried.begin.as_deref().unwrap_or("the default listener");
    text.list(&format!("From {begin}. Not carried over:"), &carried.lost);
    if carried.lost.is_empty() {
        text.blank();
        text.comment(&format!("From {begin}."));
    }
    if carried.barred.is_empty() {
        if carried.is_loopback {
            text.comment(
                "Without a line listener, Mosquitto is reached from this machine only; it is on [::1] as well.",
            );
        } else if carried.listener.bind.ip().is_unspecified() && carried.listener.bind.is_ipv6() {
            text.comment("All addresses, IPv4 and IPv6; give 0.0.0.0 if this machine has no IPv6.");
        }
        text.0.push_str(&table(&carried.listener));
    } else {
        text.items("It is left out, because it cannot be carried over as it is:", &carried.barred);
        for line in table(&carried.listener).lines() {
            text.0.push_str(&format!("#{line}\n"));
        }
    }
}

fn table(listener: &Listener) -> String {
    let mut text = Text("[[listeners]]\n".to_owned());
    text.set("protocol", quoted(listener.protocol.as_str()));
    text.set("bind", quoted(&listener.bind.to_string()));
    for (name, path) in
        [("tls_cert", &listener.tls_cert), ("tls_key", &listener.tls_key), ("client_ca", &listener.client_ca)]
    {
        if let Some(path) = path {
            text.set(name, quoted(&path.to_string_lossy()));
        }
    }
    for (name, on) in
        [("require_client_cert", listener.require_client_cert), ("proxy_protocol", listener.proxy_protocol)]
    {
        if on {
            text.set(name, true);
        }
    }
    if !listener.origins.is_empty() {
        let origins: Vec<_> = listener.origins.iter().map(|origin| quoted(&origin.to_string()).to_string()).collect();
        text.set("origins", format!("[{}]", origins.join(", ")));
    }
    if let Some(anonymous) = listener.allow_anonymous {
        text.set("allow_anonymous", anonymous);
    }
    if let Some(connections) = listener.limits.connections {
        text.set("limits.connections", connections);
    }
    text.0
}

/// Without a listener, dockgate would have one of its own, and let in everybody on this machine.
fn nobody(text: &mut Text) {
    text.blank();
    text.comment("Every listener is left out. This one lets nobody in until you say who may use it.");
    text.0.push_str("[[listeners]]\nprotocol = \"mqtt\"\nbind = \"127.0.0.1:1883\"\nallow_anonymous = false\n");
}

fn access(access: &Access, text: &mut Text) {
    text.section("[access]");
    text.set("allow_anonymous", access.allow_anonymous);
    for (name, path) in [("password_file", &access.password_file), ("acl_file", &access.acl_file)] {
        if let Some(path) = path {
            text.set(name, quoted(&path.to_string_lossy()));
        }
    }
}

fn limits(limits: &Limits, notes: &[String], text: &mut Text) {
    text.section("[limits]");
    for note in notes {
        text.comment(note);
    }
    let default = Limits::default();
    text.comment(
        "Mosquitto has no such limits of its own: 1,000 connections from one address (connections_per_address),",
    );
    text.comment("packets of 4 MiB (max_packet_size), 16 MiB in the queue of a session (queue_bytes).");
    for (name, given, default) in [
        ("connections", limits.connections, default.connections),
        ("sessions", limits.sessions, default.sessions),
        ("keep_alive_max", limits.keep_alive_max.into(), default.keep_alive_max.into()),
        ("max_packet_size", limits.max_packet_size as usize, default.max_packet_size as usize),
        ("topic_alias_maximum", limits.topic_alias_maximum.into(), default.topic_alias_maximum.into()),
        ("inflight", limits.inflight.into(), default.inflight.into()),
        ("queue_messages", limits.queue_messages, default.queue_messages),
        ("queue_bytes", limits.queue_bytes, default.queue_bytes),
        ("queue_bytes_total", limits.queue_bytes_total, default.queue_bytes_total),
        ("retained_bytes", limits.retained_bytes, default.retained_bytes),
    ] {
        if given != default {
            text.set(name, given);
        }
    }
    text.comment(
        "How long a session waits for a client that is away (persistent_client_expiration, or practically for ever).",
    );
    text.set("session_expiry_max", quoted(&expiry(limits)));
}

fn expiry(limits: &Limits) -> String {
    // In days or hours: humantime's months and years are not whole days.
    match limits.session_expiry_max.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3_600 == 0 => format!("{}h", seconds / 3_600),
        seconds => format!("{seconds}s"),
    }
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}

/// Lines of TOML.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn blank(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
    }

    fn comment(&mut self, words: &str) {
        self.0.push_str(&format!("# {words}\n"));
    }

    /// A heading and its items, if there are any.
    fn list(&mut self, heading: &str, items: &[String]) {
        if !items.is_empty() {
            self.blank();
            self.items(heading, items);
        }
    }

    fn items(&mut self, heading: &str, items: &[String]) {
        self.comment(heading);
        for item in items {
            self.comment(&format!("- {item}"));
        }
    }

    fn section(&mut self, heading: &str) {
        self.blank();
        self.0.push_str(&format!("{heading}\n"));
    }

    fn set(&mut self, name: &str, value: impl Display) {
        self.0.push_str(&format!("{name} = {}\n", value.to_string().trim()));
    }
}
