//! Settings from environment variables: `DOCKGATE_LIMITS__INFLIGHT=5` is `limits.inflight = 5`.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::keys;

pub(super) const PREFIX: &str = "DOCKGATE_";

/// One environment variable that gives a setting. Each is a layer of its own, so that figment's record of where
/// a value came from names the variable.
#[derive(Debug)]
pub(super) struct Variable {
    name: String,
    data: Dict,
}

impl Variable {
    /// `None` if it is none of ours.
    pub(super) fn new(name: String, value: &str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        if made_by_kubernetes(rest, value) {
            return None;
        }
        let key = rest.to_lowercase();
        // A secret is text, even if it looks like a number or a list.
        let value = if keys::is_secret(&key.replace("__", ".")) {
            Value::from(value)
        } else {
            match value.parse::<Value>() {
                Ok(value) => value,
                Err(never) => match never {},
            }
        };
        let mut parts = key.rsplit("__");
        // Splitting gives one part at least.
        let mut data = Dict::from([(parts.next()?.to_owned(), value)]);
        for section in parts {
            data = Dict::from([(section.to_owned(), Value::from(data))]);
        }
        Some(Self { name, data })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name of the variable that gives the setting of this dotted path.
    pub(super) fn of(key: &str) -> String {
        format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.data.clone()))
    }
}

/// Kubernetes gives every pod variables that describe each Service of its namespace. For a Service that is named
/// `dockgate`, they begin with our prefix: `DOCKGATE_SERVICE_HOST`, `DOCKGATE_PORT=tcp://10.0.0.1:1883`,
/// `DOCKGATE_PORT_1883_TCP_ADDR`.
fn made_by_kubernetes(rest: &str, value: &str) -> bool {
    rest == "SERVICE_HOST"
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_")
        || (rest == "PORT" && value.contains("://"))
        || rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|first: char| first.is_ascii_digit()))
}
