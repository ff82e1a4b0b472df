//! Settings: what they are, where they come from, and whether they make sense together.
//!
//! A setting's value is the default ([`Settings::default`]), unless the TOML file gives another, unless an
//! environment variable `DOCKGATE_SECTION__KEY` gives another still. `config/dockgate.toml` documents every
//! one of them.

mod settings;
mod size;

pub use settings::{
    Access, Http, Limits, Listener, Log, LogFormat, Policy, Protocol, Scope, Settings, Uploads,
};
