//! What a fleet is like.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

use super::packet::Version;
use crate::secret::Secret;
use crate::sim::fault::Fault;
use crate::sim::random::{Random, mix};

/// The most docks and backends of one process: a mark has 24 bits for its sender.
const MOST: u32 = 1 << 20;
/// The shortest time from one thing to the next.
const SHORTEST: Duration = Duration::from_millis(1);
/// The serial number of a simulated dock ends in nine digits.
const NUMBERS: u32 = 1_000_000_000;

/// What a fleet is like. The same settings give the same fleet.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the broker is.
    pub broker: SocketAddr,
    /// The user name of all; `{sn}` in it stands for the client identifier, which is a dock's serial number.
    pub user: Option<String>,
    /// The password of all.
    pub password: Option<Secret>,
    /// How many docks.
    pub docks: u32,
    /// The number in the first dock's serial number, 8UUXN000000001 for 1, so that several fleets fit on a broker.
    pub first: u32,
    /// How many of the docks are in flight.
    pub flying: u32,
    /// How many backends.
    pub backends: u32,
    /// Whether the backends share one group instead of hearing everything each.
    pub shared: bool,
    /// How many uploads begin at once.
    pub uploads: u32,
    /// The time from one beginning to the next.
    pub upload_every: Duration,
    /// Which docks have faults: a share of all docks, from 0 to 1.
    pub faults: Vec<(Fault, f64)>,
    /// Where everything comes from that differs from dock to dock.
    pub seed: u64,
    /// How long, from when the last dock should be online. None: until it is stopped.
    pub duration: Option<Duration>,
    /// The time from one line of progress to the next.
    pub every: Duration,
    /// Docks that connect a second.
    pub ramp: u32,
    /// The QoS of all that is published, instead of that which docks and backends use.
    pub qos: Option<u8>,
    /// What docks speak.
    pub docks_speak: Version,
    /// What backends speak.
    pub backends_speak: Version,
}

/// Settings that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrongSettings {
    /// Too few or too many of something.
    #[error("{what} = {value} is out of range: from {least} to {most}")]
    Range {
        /// The option.
        what: &'static str,
        /// What it is set to.
        value: u32,
        /// The lowest value.
        least: u32,
        /// The highest value.
        most: u32,
    },
    /// More faults than docks.
    #[error(
        "the faults need {needed} docks and there are {docks}: a dock has one fault; have more docks or smaller shares"
    )]
    Faults {
        /// Docks that the shares come to.
        needed: u32,
        /// Docks that there are.
        docks: u32,
    },
    /// A time that would be over before it began.
    #[error("{what} is too short: at least {}", humantime::format_duration(*.least))]
    Short {
        /// The option.
        what: &'static str,
        /// The shortest time.
        least: Duration,
    },
    /// A password without a user.
    #[error("a password is of no use without a user name: name one with --user")]
    NoUser,
}

impl Settings {
    /// Says what does not go together.
    ///
    /// # Errors
    /// The first such thing.
    pub fn check(&self) -> Result<(), WrongSettings> {
        for (what, value, least, most) in [
            ("--docks", self.docks, 1, MOST),
            ("--backends", self.backends, 1, 1000),
            ("--first", self.first, 0, NUMBERS - MOST),
            ("--flying", self.flying, 0, self.docks),
            ("--uploads", self.uploads, 0, self.docks),
            ("--ramp", self.ramp, 1, 1_000_000),
        ] {
            if !(least..=most).contains(&value) {
                return Err(WrongSettings::Range { what, value, least, most });
            }
        }
        for (what, value) in [("--upload-every", self.upload_every), ("--every", self.every)] {
            if value < SHORTEST {
                return Err(WrongSettings::Short { what, least: SHORTEST });
            }
        }
        let needed = self.faulty().map(|(_, docks)| docks).sum();
        if needed > self.docks {
            return Err(WrongSettings::Faults { needed, docks: self.docks });
        }
        if self.password.is_some() && self.user.is_none() {
            return Err(WrongSettings::NoUser);
        }
        Ok(())
    }

    /// How many docks have each fault: a share of them all, and at least one.
    fn faulty(&self) -> impl Iterator<Item = (Fault, u32)> {
        self.faults.iter().filter(|(_, share)| *share > 0.0).map(|(fault, share)| {
            // Not more than there are docks, as a share is at most 1.
            let docks = (f64::from(self.docks) * share).round().max(1.0);
            (*fault, docks as u32)
        })
    }

    /// The docks in the order in which uploads go round, with the fault that each has: those with faults first, so
    /// that a short run sees them.
    pub(super) fn roster(&self) -> Vec<(u32, Option<Fault>)> {
        let mut docks: Vec<u32> = (0..self.docks).collect();
        let mut random = Random::new(mix(self.seed, u64::MAX));
        for at in (1..docks.len()).rev() {
            let other = random.between(0, at as u64);
            docks.swap(at, other as usize);
        }
        let faults = self.faulty().flat_map(|(fault, docks)| (0..docks).map(move |_| Some(fault)));
        docks.into_iter().zip(faults.chain(std::iter::repeat(None))).collect()
    }

    /// The user name of a client.
    pub(super) fn user_of(&self, client: &str) -> Option<String> {
        self.user.as_ref().map(|user| user.replace("{sn}", client))
    }

    /// Whether a dock is in flight: the first ones are.
    pub(super) fn is_flying(&self, dock: u32) -> bool {
        dock < self.flying
    }

    /// The serial number of a dock.
    pub(super) fn gateway(&self, dock: u32) -> String {
        format!("8UUXN{:09}", self.first + dock)
    }

    /// The dock whose serial number stands in a topic.
    pub(super) fn dock_of(&self, topic: &str) -> Option<u32> {
        let number: u32 = topic.split('/').nth(2)?.strip_prefix("8UUXN")?.parse().ok()?;
        number.checked_sub(self.first).filter(|dock| *dock < self.docks)
    }

    /// The serial number of a dock's aircraft.
    pub(super) fn aircraft(&self, dock: u32) -> String {
        format!("1581F{:015}", self.first + dock)
    }

    /// When a dock connects, after the first one.
    pub(super) fn connects_at(&self, dock: u32) -> Duration {
        Duration::from_secs_f64(f64::from(dock) / f64::from(self.ramp))
    }
}

#[cfg(test)]
impl Settings {
    /// For tests of the parts.
    pub(super) fn of(docks: u32) -> Self {
        Self {
            broker: SocketAddr::from(([127, 0, 0, 1], 1883)),
            user: None,
            password: None,
            docks,
            first: 1,
            flying: docks,
            backends: 2,
            shared: false,
            uploads: 1,
            upload_every: Duration::from_secs(10),
            faults: Vec::new(),
            seed: 1,
            duration: None,
            every: Duration::from_secs(10),
            ramp: 100,
            qos: None,
            docks_speak: Version::V5,
            backends_speak: Version::V311,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dock_is_on_the_roster_once_and_those_with_faults_are_first() {
        let mut settings = Settings::of(100);
        settings.faults = vec![(Fault::Stall, 0.1), (Fault::Late, 0.001)];
        let roster = settings.roster();
        let mut docks: Vec<u32> = roster.iter().map(|(dock, _)| *dock).collect();
        let faults: Vec<_> = roster.iter().map(|(_, fault)| *fault).collect();
        assert_eq!(faults[..10], [Some(Fault::Stall); 10]);
        assert_eq!(faults[10..12], [Some(Fault::Late), None]);
        assert!(!docks.is_sorted());
        docks.sort_unstable();
        assert!(docks.into_iter().eq(0..100));
        assert_eq!(roster, settings.roster());
        settings.seed += 1;
        assert_ne!(roster, settings.roster());
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let said = |change: fn(&mut Settings)| {
            let mut settings = Settings::of(5);
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(said(|_| {}), Ok(()));
        assert_eq!(said(|s| s.flying = 6), Err("--flying = 6 is out of range: from 0 to 5".into()));
        assert!(
            said(|s| s.faults = Fault::ALL.map(|fault| (fault, 0.1)).to_vec()).unwrap_err().contains("need 7 docks")
        );
        assert_eq!(said(|s| s.every = Duration::ZERO), Err("--every is too short: at least 1ms".into()));
        assert!(said(|s| s.password = Some("p".into())).unwrap_err().contains("--user"));
    }
}
