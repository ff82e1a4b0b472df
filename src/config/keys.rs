//! The names of all settings, read off the defaults, and the one that a mistyped name was probably meant to be.

use std::net::{Ipv4Addr, SocketAddr};

use figment::value::{Dict, Value};
use strsim::damerau_levenshtein;

use super::{Listener, Protocol, Settings};

/// The defaults as a tree of values. An array (the listeners) is a leaf.
pub(super) fn defaults() -> Dict {
    Value::serialize(Settings::default())
        .ok()
        .and_then(Value::into_dict)
        .expect("the settings are a struct of plain values")
}

/// The same for one listener.
pub(super) fn of_listener() -> Dict {
    Value::serialize(Listener::new(Protocol::default(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
        .ok()
        .and_then(Value::into_dict)
        .expect("a listener is a struct of plain values")
}

/// Whether a setting's value is never shown, whatever is wrong with it.
pub(super) fn is_secret(key: &str) -> bool {
    ["object_store.access_key_id", "object_store.secret_access_key"].contains(&key)
}

/// The dotted paths of all settings.
pub(super) fn all() -> Vec<String> {
    paths(&defaults())
}

/// The dotted paths of everything in a tree.
pub(super) fn paths(tree: &Dict) -> Vec<String> {
    fn collect(dict: &Dict, prefix: &str, into: &mut Vec<String>) {
        for (name, value) in dict {
            let path = join(prefix, name);
            match value {
                Value::Dict(_, inner) => collect(inner, &path, into),
                _ => into.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    collect(tree, "", &mut paths);
    paths
}

pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The candidate that `given` is most likely a slip of, if any is near enough to be worth naming.
///
/// A right name in the wrong section counts as near: `queue_messages` is `limits.queue_messages`.
pub(super) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let near_enough = (last(&given).len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| {
            let whole = damerau_levenshtein(&given, candidate);
            let name = damerau_levenshtein(last(&given), last(candidate)) + 1;
            (whole.min(name), whole, candidate)
        })
        .min()
        .filter(|(distance, _, _)| *distance <= near_enough)
        .map(|(_, _, candidate)| candidate)
}

fn last(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_traced_to_the_setting_that_was_meant() {
        let all = all();
        for (given, meant) in [
            ("limits.queue_mesages", Some("limits.queue_messages")),
            ("queue_messages", Some("limits.queue_messages")),
            ("upload.policy", Some("uploads.policy")),
            ("http_bind", Some("http.bind")),
            ("uploads.polcy", Some("uploads.policy")),
            ("limits.in_flight", Some("limits.inflight")),
            ("listener", Some("listeners")),
            ("access.allow-anonymous", Some("access.allow_anonymous")),
            ("persistence_location", None),
            ("zzz", None),
        ] {
            assert_eq!(nearest(given, all.iter().map(String::as_str)), meant, "{given}");
        }
    }
}
