//! What a simulated dock holds and how its uploads go.

use std::time::Duration;

use super::archive::Log;
use super::random::Random;
use crate::cloud_api::{Boot, Module};

/// The logs of a dock and its aircraft, how fast they go and how an upload ends.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The dock's serial number, which is also its client identifier.
    pub gateway: String,
    /// The aircraft's serial number.
    pub aircraft: String,
    /// The logs that `fileupload_list` tells of.
    pub logs: Vec<ModuleLogs>,
    /// Bytes a second that the dock's uplink carries, shared by the archives under way.
    pub rate: u64,
    /// How long an archive takes to be pulled from its device, and as long again to be packed.
    pub preparation: Duration,
    /// The time from one progress event to the next.
    pub report_every: Duration,
    /// How much the dock's clock is behind (0.35 to 0.6 s in a recording of a Dock 3).
    pub clock_lag: Duration,
    /// How an upload ends if nobody cancels it.
    pub outcome: Outcome,
    /// Whether archives are really made and sent into the object store that a start names. Otherwise nothing is,
    /// and only the events tell of it.
    pub real: Option<RealUploads>,
    /// Where latencies, rates and fingerprints come from.
    pub seed: u64,
}

/// Uploads that are really made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealUploads {
    /// A log has its planned size divided by this, so that an upload need not take seconds.
    pub shrink: u64,
}

/// The logs of one device.
#[derive(Debug, Clone)]
pub struct ModuleLogs {
    /// Whose.
    pub module: Module,
    /// One log a start of the device, oldest first.
    pub boots: Vec<Boot>,
}

/// How an upload ends if nobody cancels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every archive arrives: `ok`.
    Complete,
    /// The start is answered with this code, and nothing follows.
    Reject {
        /// A code of DJI's error page, such as 314000.
        code: i64,
    },
    /// Every archive breaks off once it has got so far: `failed`.
    Fail {
        /// A code of DJI's error page, such as 324019.
        code: i64,
        /// Percent of an archive that arrive before.
        at_percent: u32,
    },
    /// Every archive stops where it has got to, and nothing more is told of it, ever: a dock that hangs.
    Stall {
        /// Percent of an archive that arrive before.
        at_percent: u32,
    },
    /// The start is not answered, and nothing follows.
    Ignore,
}

/// The time from one start of a device to its log's end: half an hour to four hours.
const BOOT_MINUTES: (u64, u64) = (30, 240);
const MINUTE_MS: u64 = 60_000;

impl Plan {
    /// A Dock 3 with a Matrice 4TD, three logs of the aircraft and two of the dock up to `now_ms`, about
    /// 24 and 21 MB in all, on an uplink of 9 MB/s: a whole upload takes about six seconds.
    pub fn from_seed(seed: u64, now_ms: u64) -> Self {
        let mut random = Random::new(seed);
        let logs = vec![
            ModuleLogs { module: Module::Aircraft, boots: boots(&mut random, 3, 24_000_000, now_ms) },
            ModuleLogs { module: Module::Dock, boots: boots(&mut random, 2, 21_000_000, now_ms) },
        ];
        Self {
            // The shapes of real serial numbers: a Dock 3 has 14 characters, an aircraft 20.
            gateway: format!("8UUXN{:09}", seed % 1_000_000_000),
            aircraft: format!("1581F{:015}", seed % 1_000_000_000),
            logs,
            rate: 9_000_000,
            preparation: Duration::from_millis(400),
            report_every: Duration::from_millis(100),
            clock_lag: Duration::from_millis(random.between(350, 600)),
            outcome: Outcome::Complete,
            real: None,
            seed,
        }
    }

    /// What is to be packed of this log of the module, if anything is.
    pub(super) fn log(&self, module: Module, boot: &Boot, seed: u64) -> Option<Log> {
        let RealUploads { shrink } = self.real?;
        let name = format!("{}/{}.log", self.device(module), boot.boot_index);
        Some(Log { name, size: boot.size / shrink.max(1), end_time: boot.end_time, seed })
    }

    /// The serial number of the device whose logs `module` means.
    pub fn device(&self, module: Module) -> &str {
        match module {
            Module::Aircraft => &self.aircraft,
            Module::Dock => &self.gateway,
        }
    }
}

/// `count` logs that follow each other up to now, `total` bytes in all, give or take a tenth.
fn boots(random: &mut Random, count: u32, total: u64, now_ms: u64) -> Vec<Boot> {
    let mut newest = u32::try_from(random.between(200, 900)).unwrap_or(u32::MAX);
    let mut end_time = now_ms.saturating_sub(random.between(5, 60) * MINUTE_MS);
    let share = total / u64::from(count);
    let mut boots: Vec<Boot> = (0..count)
        .map(|_| {
            let minutes = random.between(BOOT_MINUTES.0, BOOT_MINUTES.1);
            let start_time = end_time.saturating_sub(minutes * MINUTE_MS);
            let boot = Boot {
                boot_index: newest,
                end_time,
                size: random.between(share - share / 10, share + share / 10),
                start_time,
            };
            newest -= 1;
            end_time = start_time.saturating_sub(random.between(1, 20) * MINUTE_MS);
            boot
        })
        .collect();
    boots.reverse();
    boots
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_780_000_000_000;

    #[test]
    fn a_seed_gives_the_same_dock_again_and_another_seed_another() {
        let one = format!("{:?}", Plan::from_seed(7, NOW));
        assert_eq!(one, format!("{:?}", Plan::from_seed(7, NOW)));
        assert_ne!(one, format!("{:?}", Plan::from_seed(8, NOW)));
    }

    #[test]
    fn serial_numbers_have_the_shape_of_real_ones() {
        for seed in [0, 1, 42, u64::MAX] {
            let plan = Plan::from_seed(seed, NOW);
            assert_eq!(plan.gateway.len(), 14);
            assert_eq!(plan.aircraft.len(), 20);
        }
    }

    #[test]
    fn logs_follow_each_other_and_end_before_now() {
        for logs in Plan::from_seed(3, NOW).logs {
            for boot in &logs.boots {
                assert!(boot.start_time < boot.end_time && boot.end_time < NOW);
            }
            for pair in logs.boots.windows(2) {
                assert!(pair[0].end_time < pair[1].start_time);
                assert_eq!(pair[0].boot_index + 1, pair[1].boot_index);
            }
        }
    }
}
