//! What a store is opened with.

use crate::metrics::Metrics;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds it; it is made if it is not there.
    pub data_dir: PathBuf,
    /// When what has changed is on the disk.
    pub sync: Sync,
    /// Where commits are counted.
    pub metrics: Arc<Metrics>,
}

/// When what has changed is on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// Before it is acknowledged.
    #[default]
    Always,
    /// Within a second. Acknowledgements do not wait, so that a crash or a loss of power takes what was acknowledged last.
    Interval,
}
