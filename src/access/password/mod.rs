//! User names and password hashes, in a file of Mosquitto's format (`password_file` in mosquitto.conf(5), written by
//! mosquitto_passwd(1)).
//!
//! `hash` is one password's hash, `file` reads a whole file, `edit` changes one user's line in it.

mod edit;
mod file;
mod hash;

pub use edit::{Change, EditError, NAME_MAX, PASSWORD_MAX, check_name, check_password, delete, set};
pub use hash::{Cost, DEFAULT_ITERATIONS, Hash, MAX_ITERATIONS, WEAK_ITERATIONS};

pub(super) use file::Passwords;
