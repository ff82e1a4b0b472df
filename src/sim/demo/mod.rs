//! `dockgate demo`.
