//! All that a `mosquitto.conf` says, and what it comes to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::limits::Bounds;
use super::listener::{Listener, Security};
use super::options::{Scope, lost, scope, shown};
use super::source::Line;
use crate::config::{self, Settings};

/// What has been read.
#[derive(Debug, Default)]
pub(super) struct Broker {
    per_listener_settings: bool,
    /// Security for all listeners.
    security: Security,
    listeners: Vec<Listener>,
    /// Where the default listener is, if anything is said about it.
    default_listener: Option<usize>,
    /// The listener that a file's lines are about.
    current: BTreeMap<usize, usize>,
    bounds: Bounds,
    log_types: Option<Vec<String>>,
    persistence: bool,
    persistence_location: Option<String>,
    sys_interval: Option<Duration>,
    lost: Vec<String>,
    bridges: Vec<String>,
}

/// What it comes to.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The settings; with the listeners that can be carried over whole.
    pub(super) settings: Settings,
    /// The listeners in their order, each with what is to be said about it.
    pub(super) listeners: Vec<Carried>,
    /// What is lost of the broker as a whole, a comment each.
    pub(super) lost: Vec<String>,
    /// What is to be said of the limits.
    pub(super) limits: Vec<String>,
    /// The lines about bridges.
    pub(super) bridges: Vec<String>,
}

/// A listener that is carried over, or left out for a reason.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) listener: config::Listener,
    /// The line that begins it.
    pub(super) begin: Option<String>,
    pub(super) lost: Vec<String>,
    pub(super) barred: Vec<String>,
    /// It is Mosquitto's default listener, which is on this machine's other loopback address too.
    pub(super) is_loopback: bool,
}

impl Broker {
    /// Takes one line.
    pub(super) fn take(&mut self, line: &Line) {
        match (&*line.name, scope(&line.name)) {
            ("listener", _) => {
                self.listeners.push(Listener::begin(line));
                self.current.insert(line.file, self.listeners.len() - 1);
            }
            ("port", _) => {
                let listener = self.default_listener(line);
                listener.open();
                listener.port(line);
            }
            ("bind_address", _) => self.default_listener(line).host(line.word()),
            ("per_listener_settings", _) => self.per_listener_settings |= line.switch() == Some(true),
            (_, Scope::Listener) => self.listener(line).take(line),
            (_, Scope::Security) if self.per_listener_settings => {
                let listener = self.listener(line);
                if !listener.security.take(line) {
                    listener.take(line);
                }
            }
            (_, Scope::Bridge) => self.bridges.push(shown(line)),
            ("persistence" | "retained_persistence", _) if line.switch().is_some() => {
                self.persistence = line.switch() == Some(true);
            }
            ("persistence_location", _) if !line.word().is_empty() => {
                self.persistence_location = Some(line.value.clone());
            }
            ("persistence" | "retained_persistence" | "persistence_location", _) => {
                self.lost.push(format!("{}: Mosquitto does not take this value", shown(line)));
            }
            // Mosquitto takes seconds, 0 for never.
            ("sys_interval", _) if line.word().parse::<u16>().is_ok_and(|seconds| seconds <= 3600) => {
                self.sys_interval = line.word().parse().ok().map(Duration::from_secs);
            }
            ("log_type", _) => self.log_types.get_or_insert_default().push(line.word().to_owned()),
            _ => self.general(line),
        }
    }

    fn general(&mut self, line: &Line) {
        let reason = match self.bounds.take(line) {
            Some(taken) => taken.err(),
            None if self.security.take(line) => None,
            None => lost(line),
        };
        self.lost.extend(reason.map(|reason| format!("{}: {reason}", shown(line))));
    }

    /// The listener that a line is about: the last one above it in its file, or else the default listener.
    fn listener(&mut self, line: &Line) -> &mut Listener {
        match self.current.get(&line.file) {
            Some(&index) => &mut self.listeners[index],
            None => self.default_listener(line),
        }
    }

    fn default_listener(&mut self, line: &Line) -> &mut Listener {
        let index = *self.default_listener.get_or_insert_with(|| {
            self.listeners.push(Listener::of_default());
            self.listeners.len() - 1
        });
        self.current.insert(line.file, index);
        &mut self.listeners[index]
    }

    /// What all lines come to.
    pub(super) fn decide(mut self) -> Outcome {
        if self.listeners.is_empty() {
            self.listeners.push(Listener::of_default());
        }
        // Anonymous clients are let in, if nothing is said about them, where no listener is defined (allow_anonymous).
        let local_only = self.listeners.iter().all(Listener::is_loopback);
        if !local_only && let Some(index) = self.default_listener {
            self.listeners[index].open();
        }
        let mut settings = Settings { listeners: Vec::new(), ..Settings::default() };
        self.bounds.reconcile(self.listeners.iter().filter_map(|listener| listener.max_connections).sum());
        settings.limits = self.bounds.limits.clone();
        self.topic_aliases(&mut settings);
        if let Some(level) = self.log_types.as_deref().map(level) {
            level.clone_into(&mut settings.log.level);
        }
        settings.sys_interval = self.sys_interval.unwrap_or(settings.sys_interval);
        settings.persistence.enabled = self.persistence;
        if let Some(location) = self.persistence_location.take().filter(|_| self.persistence) {
            settings.data_dir = PathBuf::from(location);
        }
        let files = self.files();
        settings.access.password_file = files.password_file.clone().map(PathBuf::from);
        settings.access.acl_file = files.acl_file.clone().map(PathBuf::from);
        settings.access.allow_anonymous = !self.per_listener_settings && self.security.allow_anonymous == Some(true);

        let mut listeners = Vec::new();
        for mut listener in std::mem::take(&mut self.listeners) {
            let carried = self.carry(&mut listener, &files, local_only, &settings);
            if listener.barred.is_empty() {
                settings.listeners.push(carried.clone());
            }
            listeners.push(Carried {
                listener: carried,
                is_loopback: listener.is_loopback(),
                begin: listener.begin,
                lost: listener.lost,
                barred: listener.barred,
            });
        }
        Outcome { settings, listeners, lost: self.lost, limits: self.bounds.notes, bridges: self.bridges }
    }

    /// The password file and the ACL file: dockgate has one of each, the first that any listener has.
    fn files(&self) -> Security {
        let first = |file: fn(&Security) -> &Option<String>| {
            let mut all = self.listeners.iter().map(|listener| &listener.security).chain([&self.security]);
            all.find_map(|security| file(security).clone())
        };
        let (password_file, acl_file) = (first(|all| &all.password_file), first(|all| &all.acl_file));
        Security { password_file, acl_file, ..Security::default() }
    }

    /// The listener for dockgate, whose anonymous clients get in just where Mosquitto's do. What must not be let in bars it.
    fn carry(&self, from: &mut Listener, files: &Security, local_only: bool, settings: &Settings) -> config::Listener {
        let mut listener = from.settings(files.password_file.is_some());
        let security = if self.per_listener_settings { from.security.clone() } else { self.security.clone() };
        let own = from.security.allow_anonymous.or(security.allow_anonymous);
        let anonymous = own.unwrap_or(local_only && !listener.is_reached_by_others());
        if settings.admits_anonymous(&listener) != anonymous {
            listener.allow_anonymous = Some(anonymous);
        }
        if listener.admits_local_pages_only(anonymous) {
            let pages = "to Mosquitto, any web page that somebody on this machine looks at may speak; here only those of this \
                         machine may, and those that you list in origins";
            from.lost.push(pages.to_owned());
        }
        if own.is_none() && !local_only && files.password_file.is_none() && listener.client_ca.is_none() {
            let said = "allow_anonymous is not given: Mosquitto 2 lets nobody in here, Mosquitto 1 everybody";
            from.lost.push(said.to_owned());
        }
        for plugin in security.plugins.iter().chain(self.security.plugins.iter().filter(|_| self.per_listener_settings))
        {
            from.barred
                .push(format!("{plugin}: it may decide who gets in here and does what, and there are no plugins"));
        }
        if self.per_listener_settings {
            compare(from, &security, files, anonymous || listener.client_ca.is_some());
        }
        let mut with = Settings { listeners: settings.listeners.clone(), ..settings.clone() };
        with.listeners.push(listener.clone());
        if let Err(error) = with.validate() {
            from.barred.extend(error.problems().iter().map(|problem| format!("{}; {}", problem.fault, problem.remedy)));
        }
        listener
    }

    fn topic_aliases(&mut self, settings: &mut Settings) {
        let given: Vec<_> = self.listeners.iter().filter_map(|listener| listener.topic_aliases).collect();
        if let Some(most) = given.iter().max() {
            settings.limits.topic_alias_maximum = *most;
            if given.len() < self.listeners.len() || given.iter().any(|aliases| aliases != most) {
                self.bounds
                    .notes
                    .push("topic_alias_maximum is for all listeners; this is the largest max_topic_alias".to_owned());
            }
        }
    }
}

/// With `per_listener_settings`, what a listener has must be what all have here.
fn compare(listener: &mut Listener, own: &Security, files: &Security, lets_in: bool) {
    match (&own.password_file, &files.password_file) {
        (Some(own), Some(all)) if own != all => {
            listener.barred.push(format!("password_file {own}: dockgate has one for all listeners, {all}"));
        }
        (None, Some(all)) if lets_in => {
            listener.lost.push(format!("user names are checked against access.password_file = {all} here too"));
        }
        (None, Some(all)) => {
            listener.barred.push(format!("Mosquitto lets nobody in here, and {all} would count here too"));
        }
        _ => {}
    }
    match (&own.acl_file, &files.acl_file) {
        (Some(own), Some(all)) if own != all => {
            listener.barred.push(format!("acl_file {own}: dockgate has one for all listeners, {all}"));
        }
        (None, Some(all)) => listener.lost.push(format!("access.acl_file = {all} counts here too")),
        _ => {}
    }
}

/// The level of the least important messages that are wanted.
fn level(types: &[String]) -> &'static str {
    let has = |names: &[&str]| types.iter().any(|given| names.contains(&&**given));
    if has(&["none"]) {
        "off"
    } else if has(&["all", "debug"]) {
        "debug"
    } else if has(&["information", "notice", "subscribe", "unsubscribe", "internal", "websockets"]) {
        "info"
    } else if has(&["warning"]) {
        "warn"
    } else {
        "error"
    }
}
