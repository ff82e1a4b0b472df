//! User names and password hashes, in a file of Mosquitto's format (`password_file` in mosquitto.conf(5), written by
//! mosquitto_passwd(1)).
//!
//! `hash` is one password's hash, `line` one user's line, `file` reads a whole file, `edit` changes one line in it.

mod edit;
mod file;
mod hash;
mod line;

pub use edit::{Change, EditError, PASSWORD_MAX, check_password, delete, set};
pub use hash::{Cost, DEFAULT_ITERATIONS, Hash, MAX_ITERATIONS, WEAK_ITERATIONS};
pub use line::{NameError, check_name};

pub(super) use file::Passwords;
