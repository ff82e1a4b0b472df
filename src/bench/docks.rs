//! Docks in flight and the backends that listen to them, in the figures of this bench.

use std::time::Duration;

use super::target::Target;
use super::{BenchError, Case};
use crate::sim::fleet::{self, Report, Settings, Version};

/// Docks that connect a second.
const RAMP: u32 = 200;
/// The backends, each of which hears every dock.
const BACKENDS: u32 = 2;

/// Runs so many docks for this time after the last has connected.
pub(super) async fn run(
    target: &Target,
    case: &Case,
    docks: u32,
    run: &str,
    time: Duration,
) -> Result<Report, BenchError> {
    let unfit = |why: String| BenchError::Unfit { scenario: case.scenario.to_string(), why };
    if target.tls().is_some() {
        return Err(unfit("the simulated docks do not speak TLS: give an mqtt:// target".to_owned()));
    }
    let settings = Settings {
        broker: target.address,
        user: target.user().map(str::to_owned),
        password: target.secret(),
        docks,
        // Uploads of another run may still be known to the broker.
        first: run.parse().unwrap_or(1) * 1000,
        flying: docks,
        backends: BACKENDS,
        shared: false,
        uploads: 1.min(docks),
        upload_every: Duration::from_secs(10),
        faults: Vec::new(),
        seed: 1,
        duration: Some(time),
        every: time.max(Duration::from_secs(1)),
        ramp: RAMP,
        qos: case.qos,
        docks_speak: case.protocol.unwrap_or(Version::V5),
        backends_speak: case.protocol.unwrap_or(Version::V311),
    };
    settings.check().map_err(|wrong| unfit(wrong.to_string()))?;
    fleet::run(settings, std::future::pending(), |_| {}).await.map_err(|error| unfit(error.to_string()))
}
