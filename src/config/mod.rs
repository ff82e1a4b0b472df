//! Settings: what they are, where they come from, and whether they make sense together.
//!
//! A setting's value is the default ([`Settings::default`]), unless the TOML file gives another, unless an
//! environment variable `DOCKGATE_SECTION__KEY` gives another still. [`Settings::load`] puts these layers together
//! and reports everything that is wrong at once. `config/dockgate.toml` documents every setting.

mod check;
mod environment;
mod explain;
mod flaw;
mod keys;
mod lines;
mod listeners;
mod load;
mod machine;
mod object_store;
mod origin;
mod problem;
mod reach;
mod settings;
mod size;
mod warnings;

pub use crate::access::{Role, Roles, SerialNumber};
pub use crate::ledger::{Policy, Scope};
pub use crate::object_store::{ObjectStoreSettings, Provider, Sts};
pub use crate::store::Sync;
pub(crate) use explain::shorten;
pub use load::Loaded;
pub use origin::{NotAnOrigin, Origin, Page};
pub use problem::{Place, Problem, SettingsError};
pub use reach::is_local;
pub use settings::{
    Access, Http, Limits, Listener, ListenerLimits, Log, LogFormat, Persistence, Protocol, Settings, Uploads,
};
