//! What is allowed but deserves a second thought.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::flaw::{Flaw, Flaws};
use super::listeners::shown;
use super::{Listener, Origin, SerialNumber, Settings, is_local, machine, object_store, size};
use crate::access::{Role, Roles};

/// A dock's answer to `fileupload_list` takes tens of kilobytes when it has hundreds of boots, and a start
/// carries credentials of kilobytes; a broker for docks should take a megabyte.
const ENOUGH_FOR_LOG_LISTS: u32 = 1 << 20;
/// The upload guard does not look into payloads that are larger.
const INSPECTED: u32 = 4 << 20;

/// Everything about the settings that is unwise.
pub(super) fn of(settings: &Settings) -> Vec<Flaw> {
    let mut found = Flaws::default();
    for (index, listener) in settings.listeners.iter().enumerate() {
        of_listener(&format!("listeners[{index}]"), listener, settings, &mut found);
    }
    if !is_local(settings.http.bind) {
        found.push(
            "http.bind",
            settings.http.bind,
            "others reach it unencrypted: who is on the way reads the token",
            "bind to 127.0.0.1, and have a proxy in front of it that encrypts",
        );
    }
    if let Some(path) = settings.http.token_file.as_deref() {
        secret("http.token_file", path, &mut found);
    }
    access(settings, &mut found);
    object_store::warnings(&settings.object_store, &mut found);
    if settings.persistence.enabled {
        data_dir(&settings.data_dir, &mut found);
    }
    limits(settings, &mut found);
    found.into_vec()
}

fn of_listener(key: &str, listener: &Listener, settings: &Settings, found: &mut Flaws) {
    if !listener.protocol.is_tls() && !is_local(listener.bind) {
        let encrypted = if listener.protocol.is_websocket() { "wss" } else { "mqtts" };
        found.push(
            &format!("{key}.protocol"),
            format!("{:?}", listener.protocol.as_str()),
            format!("{} is reached by others unencrypted: who is on the way reads passwords", listener.bind),
            format!("set protocol = \"{encrypted}\", or keep it inside a network that you trust"),
        );
    }
    if listener.is_reached_by_others() && settings.admits_anonymous(listener) {
        let (key, given) = match listener.allow_anonymous {
            Some(_) => (format!("{key}.allow_anonymous"), "true".to_owned()),
            None => (format!("{key}.bind"), listener.bind.to_string()),
        };
        found.push(
            &key,
            given,
            format!("whoever reaches {} is let in without a password", listener.bind),
            "give access.password_file and delete allow_anonymous, or keep it inside a network that you trust",
        );
    }
    if listener.is_reached_by_others() && listener.role == Some(Role::Dock) && settings.admits_anonymous(listener) {
        // The dock is the one that the client identifier names.
        found.push(
            &format!("{key}.role"),
            "\"dock\"",
            format!("whoever reaches {} may call itself any dock, without a password", listener.bind),
            "give each dock a user name, its serial number, in access.password_file, and delete allow_anonymous",
        );
    }
    if listener.proxy_protocol && !is_local(listener.bind) {
        found.push(
            &format!("{key}.proxy_protocol"),
            true,
            format!("whoever reaches {} past the proxy can claim to be at any address", listener.bind),
            "let nobody but the proxy reach it",
        );
    }
    if listener.allow_anonymous == Some(false)
        && settings.access.password_file.is_none()
        && listener.client_ca.is_none()
    {
        found.push(
            &format!("{key}.allow_anonymous"),
            false,
            "nobody can get in here: there are no passwords and no client certificates",
            "give access.password_file or client_ca, or delete this listener",
        );
    }
    let any_page = [Origin::Any, Origin::Null].iter().any(|origin| listener.origins.contains(origin));
    if any_page && settings.admits_anonymous(listener) && !listener.is_reached_by_others() {
        found.push(
            &format!("{key}.origins"),
            shown(&listener.origins),
            "whatever web page somebody on this machine looks at may speak to the broker (any page can have the origin null)",
            "list the origins of your own pages, or give access.password_file and delete allow_anonymous",
        );
    }
    if let Some(path) = listener.tls_key.as_deref() {
        secret(&format!("{key}.tls_key"), path, found);
    }
    if let Some(size) = listener.limits.max_packet_size {
        let of_docks = !matches!(listener.role, Some(Role::Backend | Role::Observer));
        packet_size(&format!("{key}.limits.max_packet_size"), size, of_docks, found);
    }
}

fn access(settings: &Settings, found: &mut Flaws) {
    let access = &settings.access;
    if let Some(path) = access.password_file.as_deref() {
        secret("access.password_file", path, found);
        changeable("access.password_file", path, found);
    }
    if let Some(path) = access.acl_file.as_deref() {
        changeable("access.acl_file", path, found);
    }
    if access.serial_number == SerialNumber::ClientId {
        found.push(
            "access.serial_number",
            "\"client_id\"",
            "whoever has the password of one dock may speak for every dock",
            "give each dock a user name of its own, its serial number, and delete this",
        );
    }
    let everybody = |name: &String| name.bytes().all(|byte| byte == b'*');
    let lets_strangers_in =
        |listener: &Listener| listener.is_reached_by_others() && settings.admits_anonymous(listener);
    if access.roles.backend.iter().any(everybody) && settings.listeners.iter().any(lets_strangers_in) {
        found.push(
            "access.roles.backend",
            format!("{:?}", access.roles.backend),
            "* is whoever has no user name too: everybody who reaches the broker may command every dock",
            "name the backend's users, and delete allow_anonymous",
        );
    }
    if settings.proves_names() {
        let is_open = |listener: &Listener| listener.role.is_none() && listener.is_reached_by_others();
        if access.acl_file.is_none() && access.roles == Roles::default() && settings.listeners.iter().any(is_open) {
            found.missing(
                "access.roles",
                "whoever is let in may publish and read everything, so that each dock may command all others",
                "give roles = { dock = [\"*\"], backend = [\"…\"] } with your backend's user name, or acl_file",
            );
        }
        return;
    }
    let unproved = "no user name is ever proved, so every client is anonymous";
    let remedy = "give access.password_file, or a listener with client_ca";
    if let Some(path) = &access.acl_file {
        let fault = format!("{unproved} and what the file says of users has no effect");
        found.push("access.acl_file", format!("{path:?}"), fault, remedy);
    }
    let roles = &access.roles;
    for (role, names) in [("dock", &roles.dock), ("backend", &roles.backend), ("observer", &roles.observer)] {
        // A lone * is whoever has no name, too.
        if names.iter().any(|name| !everybody(name)) {
            let fault = format!("{unproved} and nobody has this role by name");
            found.push(&format!("access.roles.{role}"), format!("{names:?}"), fault, remedy);
        }
    }
}

/// Who may put a file into the folder may give the broker another memory. (What is not there yet is made for its user alone.)
fn data_dir(path: &Path, found: &mut Flaws) {
    if std::fs::metadata(path).is_ok_and(|folder| folder.is_dir() && folder.mode() & 0o002 != 0) {
        found.push(
            "data_dir",
            format!("{path:?}"),
            "everybody on this machine may put another store in the place of the broker's",
            format!("chmod o-w {}, or name a folder that is the broker's own", path.display()),
        );
    }
}

fn limits(settings: &Settings, found: &mut Flaws) {
    let limits = &settings.limits;
    packet_size("limits.max_packet_size", limits.max_packet_size, true, found);
    if limits.sessions < limits.connections {
        found.push(
            "limits.sessions",
            limits.sessions,
            format!("fewer clients get in than limits.connections = {}: each has a session", limits.connections),
            "give as many or more",
        );
    }
    let queues = limits.queue_bytes_total as u64;
    if let Some(memory) = machine::memory().filter(|memory| *memory < queues) {
        found.push(
            "limits.queue_bytes_total",
            size::display(queues),
            format!("there are only {} MiB of memory", memory >> 20),
            "give less, at most half of the memory",
        );
    }
}

fn packet_size(key: &str, given: u32, of_docks: bool, found: &mut Flaws) {
    if of_docks && given < ENOUGH_FOR_LOG_LISTS {
        let fault = "this may be too small for a dock's list of logs";
        found.push(key, size::display(given.into()), fault, "give \"1 MiB\" or more");
    }
    if given > INSPECTED {
        let fault = "the upload guard does not look into messages of more than 4 MiB";
        found.push(
            key,
            size::display(given.into()),
            fault,
            "give \"4 MiB\" or less; nothing that docks send is larger",
        );
    }
}

/// What a file holds that everybody on the machine may read is no secret. (Whether there is a file, its reader says.)
pub(super) fn secret(key: &str, path: &Path, found: &mut Flaws) {
    if std::fs::metadata(path).is_ok_and(|file| file.mode() & 0o004 != 0) {
        found.push(
            key,
            format!("{path:?}"),
            "everybody on this machine may read the secrets in this file",
            format!("chmod o-r {}", path.display()),
        );
    }
}

/// Who may change the rules has all rights.
fn changeable(key: &str, path: &Path, found: &mut Flaws) {
    if std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o002 != 0) {
        found.push(
            key,
            format!("{path:?}"),
            "everybody on this machine may change this file, and with it who may do what",
            format!("chmod o-w {}", path.display()),
        );
    }
}
