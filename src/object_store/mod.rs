//! The object store that docks upload their logs to: where it is, and the short-lived credentials that a
//! `fileupload_start` carries.
//!
//! A dock holds what it is given for as long as it is good, and whoever has opened a dock has it, too. So each start gets
//! credentials of its own from the store's token service (AssumeRole, which AWS, MinIO and Alibaba Cloud all have): they may
//! write the objects of that one upload, nothing else, and end by themselves. The long-lived keys stay with the broker,
//! unless the store has no token service and the settings say `sts = "off"`.
//!
//! - [`ObjectStoreSettings`]: the section `[object_store]`.
//! - [`ObjectStore`]: asks for credentials. It waits for the network, a few seconds at most: not for an async task.
//! - [`sigv4`] and `acs3`: how requests are signed, to AWS and MinIO, and to Alibaba Cloud. Two small signatures over
//!   `ring`, which is here anyway, in place of the vendors' signing crates with dozens of dependencies; both are held to the
//!   vendors' published examples.
//! - `policy`: what the credentials allow. `sts`: the conversation.
//!
//! No secret is in any `Debug`, error or log line.

mod acs3;
mod answer;
mod canonical;
mod endpoint;
mod error;
mod http;
mod keys;
mod policy;
mod settings;
pub mod sigv4;
mod store;
mod sts;

pub use endpoint::{Endpoint, NotAnEndpoint};
pub use error::{GrantError, OpenError};
pub(crate) use http::tls;
pub(crate) use keys::is_usable;
pub use keys::{KeyPair, KeysError};
pub(crate) use policy::is_literal;
pub use settings::{ObjectStoreSettings, Provider, Sts};
pub use store::{Grant, ObjectStore};
