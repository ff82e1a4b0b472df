//! The command line of dockgate.
fn main() {}
