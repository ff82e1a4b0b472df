//! Whether the listeners make sense.

use std::net::{IpAddr, SocketAddr};

use super::flaw::Flaws;
use super::{Listener, Origin, Settings};

pub(super) fn flaws(settings: &Settings, found: &mut Flaws) {
    if settings.listeners.is_empty() {
        found.push("listeners", "[]", "nobody could connect", "give at least one listener");
    }
    let mut taken = vec![("http.bind".to_owned(), settings.http.bind)];
    for (index, listener) in settings.listeners.iter().enumerate() {
        let key = format!("listeners[{index}]");
        address(&key, listener, &mut taken, found);
        tls(&key, listener, found);
        origins(&key, listener, found);
        leave(&key, listener, settings, found);
    }
}

fn address(key: &str, listener: &Listener, taken: &mut Vec<(String, SocketAddr)>, found: &mut Flaws) {
    let key = format!("{key}.bind");
    if let Some((other, address)) = taken.iter().find(|(_, address)| overlap(*address, listener.bind)) {
        found.push(
            &key,
            listener.bind,
            format!("{other} = {address} takes the same address"),
            "give each its own port (port 0 takes any free one)",
        );
    }
    taken.push((key, listener.bind));
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

/// An encrypted listener has a certificate and its key, and only an encrypted one has anything to do with certificates.
fn tls(key: &str, listener: &Listener, found: &mut Flaws) {
    let protocol = listener.protocol.as_str();
    let encrypted = if listener.protocol.is_websocket() { "wss" } else { "mqtts" };
    let files = [("tls_cert", &listener.tls_cert), ("tls_key", &listener.tls_key), ("client_ca", &listener.client_ca)];
    for (name, path) in files {
        let key = format!("{key}.{name}");
        match path {
            Some(path) if path.as_os_str().is_empty() => {
                found.push(&key, "\"\"", "this names no file", "give its path, or leave it out");
            }
            Some(path) if !listener.protocol.is_tls() => found.push(
                &key,
                format!("{path:?}"),
                format!("protocol = \"{protocol}\" is not encrypted, so this would have no effect"),
                format!("set protocol = \"{encrypted}\", or delete this"),
            ),
            None if listener.protocol.is_tls() && name != "client_ca" => found.missing(
                &key,
                format!("protocol = \"{protocol}\" is encrypted, which takes a certificate and its private key"),
                format!("give {name} = \"…\", a PEM file"),
            ),
            _ => {}
        }
    }
    if listener.require_client_cert && listener.client_ca.is_none() {
        found.push(
            &format!("{key}.require_client_cert"),
            true,
            "no certificate of a client can be checked without the certificate of its authority",
            "give client_ca = \"…\", a PEM file, or delete this",
        );
    }
}

/// Web pages open WebSockets and nothing else.
fn origins(key: &str, listener: &Listener, found: &mut Flaws) {
    if !listener.origins.is_empty() && !listener.protocol.is_websocket() {
        let protocol = listener.protocol.as_str();
        let websocket = if listener.protocol.is_tls() { "wss" } else { "ws" };
        found.push(
            &format!("{key}.origins"),
            shown(&listener.origins),
            format!("no web page can speak protocol = \"{protocol}\", so this would have no effect"),
            format!("set protocol = \"{websocket}\", or delete this"),
        );
    }
}

/// Origins as they could have been written.
pub(super) fn shown(origins: &[Origin]) -> String {
    let texts: Vec<_> = origins.iter().map(Origin::to_string).collect();
    format!("{texts:?}")
}

/// A listener that others reach must say who may use it.
fn leave(key: &str, listener: &Listener, settings: &Settings, found: &mut Flaws) {
    if !listener.is_reached_by_others() || settings.says_who_may_use(listener) {
        return;
    }
    let by = if listener.proxy_protocol { "through its proxy, other machines" } else { "other machines" };
    let everybody = match listener.allow_anonymous {
        Some(false) => "allow_anonymous = true here",
        _ => "access.allow_anonymous = true, or allow_anonymous = true here,",
    };
    found.push(
        &format!("{key}.bind"),
        listener.bind,
        format!("{by} reach this listener, and nothing says who may use it"),
        format!(
            "give access.password_file, or client_ca with require_client_cert = true; set {everybody} if everybody \
             may; or bind to 127.0.0.1 without proxy_protocol"
        ),
    );
}
