//! Addresses from which wrong passwords come.

use super::generations::Generations;
use super::line::{Line, Size};
use super::verifier::Tag;
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// How many of an address with failures wait for their turn. With half a second or more for each that fails, a longer line
/// would outlast the patience of its clients.
pub(super) const WAITING_MAX: usize = 16;
/// When the first failure of an address is answered.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// When the sixth and later ones are. Longer would hold the attacker's connections here for longer, and nothing else.
const LAST_DELAY: Duration = Duration::from_secs(10);
/// How long a failure keeps the next one of its address waiting, at most. It bounds the guesses, and how long a good client waits
/// that shares the address and is not remembered yet.
const HOLD_MAX: Duration = Duration::from_secs(1);
/// How long after its last failure that counted an address is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(300);
/// Addresses that are remembered. An attacker who has more forgets the oldest.
const ADDRESSES: usize = 5_000;
/// Wrong credentials of an address that are known again.
const KNOWN: usize = 16;
/// Failures that a /48 has before they count: many customers of a mobile network may be in one, or one server.
const SITE_ALLOWANCE: u32 = 16;
/// How long after its last success an address has precedence.
const TRUSTED: Duration = Duration::from_secs(24 * 60 * 60);
/// Addresses with precedence that are remembered.
const TRUSTED_ADDRESSES: usize = 20_000;

/// What is known of the addresses that have failed or succeeded.
#[derive(Debug)]
pub(super) struct Throttle {
    origins: Mutex<Generations<Origin, Record>>,
    /// When they have succeeded.
    trusted: Mutex<Generations<Origin, Instant>>,
}

/// An IPv4 address, or the /64 of an IPv6 address; or its /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    address: IpAddr,
    is_site: bool,
}

#[derive(Debug)]
struct Record {
    failures: u32,
    /// How many of them do not count.
    allowance: u32,
    last: Instant,
    /// The wrong credentials that came last.
    known: [Option<Tag>; KNOWN],
    line: Line,
}

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        let address = match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        };
        Self { address, is_site: false }
    }

    /// The /48 that it is in, if it is of IPv6.
    fn site(self) -> Option<Self> {
        let IpAddr::V6(address) = self.address else { return None };
        let address = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 80)).into();
        Some(Self { address, is_site: true })
    }

    /// By what it is told from others: the IPv4 address, or the /48.
    pub(super) fn network(self) -> [u8; 16] {
        match self.site().unwrap_or(self).address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }
    }
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self {
            origins: Mutex::new(Generations::new(ADDRESSES)),
            trusted: Mutex::new(Generations::new(TRUSTED_ADDRESSES)),
        }
    }

    /// Takes notice of a success.
    pub(super) fn succeeded(&self, origin: Origin) {
        self.trusted.lock().insert(origin, Instant::now());
    }

    /// Whether there has been a success lately.
    pub(super) fn trusts(&self, origin: Origin) -> bool {
        self.trusted.lock().get(&origin).is_some_and(|last| last.elapsed() < TRUSTED)
    }

    /// The line in which an address with failures has to wait.
    pub(super) fn line(&self, origin: Origin) -> Option<Line> {
        let origin = self.counted(origin);
        let mut origins = self.origins.lock();
        let record = origins.get(&origin)?;
        (!record.is_forgotten()).then(|| record.line.clone())
    }

    /// What stands for an address: its /48 if too many failures have come from there, but none that is trusted.
    fn counted(&self, origin: Origin) -> Origin {
        match origin.site() {
            Some(site) if !self.trusts(origin) => {
                let mut origins = self.origins.lock();
                let is_slowed = |record: &mut Record| !record.is_forgotten() && record.failures > SITE_ALLOWANCE;
                if origins.get(&site).is_some_and(is_slowed) { site } else { origin }
            }
            _ => origin,
        }
    }

    /// How long the failure that is being checked keeps the next one of its address waiting.
    pub(super) fn hold(&self, origin: Origin) -> Duration {
        let origin = self.counted(origin);
        self.origins.lock().get(&origin).map_or(FIRST_DELAY, |record| record.delay()).min(HOLD_MAX)
    }

    /// Whether these credentials have failed from there lately: the same entry of the password file says so again.
    pub(super) fn knows(&self, origin: Origin, credentials: &Tag) -> bool {
        let mut origins = self.origins.lock();
        origins.get(&origin).is_some_and(|record| !record.is_forgotten() && record.known.contains(&Some(*credentials)))
    }

    /// Takes notice of a failure, and says how long after it came it may be answered.
    pub(super) fn failed(&self, origin: Origin, credentials: Tag) -> Duration {
        let is_new = self.count(origin, credentials);
        // At the /48, the same credentials count again from each /64: they are checked again.
        if let Some(site) = origin.site().filter(|_site| is_new) {
            self.count(site, credentials);
        }
        let counted = self.counted(origin);
        self.origins.lock().get(&counted).map_or(FIRST_DELAY, |record| record.delay())
    }

    /// Whether it is a new failure.
    fn count(&self, origin: Origin, credentials: Tag) -> bool {
        let mut origins = self.origins.lock();
        match origins.get(&origin) {
            Some(record) if !record.is_forgotten() => {
                if record.known.contains(&Some(credentials)) && !origin.is_site {
                    return false;
                }
                record.known[record.failures as usize % KNOWN] = Some(credentials);
                record.failures = record.failures.saturating_add(1);
                record.last = Instant::now();
            }
            _ => {
                let mut known = [None; KNOWN];
                known[0] = Some(credentials);
                let line = Line::new(Size { servers: 1, places: WAITING_MAX, reserved: 0 });
                let allowance = if origin.is_site { SITE_ALLOWANCE } else { 0 };
                origins.insert(origin, Record { failures: 1, allowance, last: Instant::now(), known, line });
            }
        }
        true
    }
}

impl Record {
    fn is_forgotten(&self) -> bool {
        self.last.elapsed() >= FORGOTTEN
    }

    fn delay(&self) -> Duration {
        let doublings = self.failures.saturating_sub(self.allowance + 1).min(5);
        (FIRST_DELAY * (1 << doublings)).min(LAST_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::of(address.parse().unwrap())
    }

    fn tag(number: u16) -> Tag {
        let mut tag = Tag::default();
        tag[..2].copy_from_slice(&number.to_be_bytes());
        tag
    }

    #[test]
    fn an_ipv6_customer_is_one_origin_and_so_is_ipv4_in_ipv6() {
        assert_eq!(origin("2001:db8:1:2::1"), origin("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_doubles_the_delay_up_to_ten_seconds() {
        let throttle = Throttle::new();
        let here = origin("192.0.2.1");
        assert!(throttle.line(here).is_none());
        let delays: Vec<_> = (0..8).map(|number| throttle.failed(here, tag(number)).as_millis()).collect();
        assert_eq!(delays, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
        assert_eq!(throttle.hold(here), HOLD_MAX);
        assert!(throttle.line(here).is_some());
        let other = origin("192.0.2.2");
        assert!(throttle.line(other).is_none());
        assert_eq!(throttle.failed(other, tag(0)), FIRST_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_wrong_credentials_count_once() {
        let throttle = Throttle::new();
        let here = origin("192.0.2.1");
        for _ in 0..10 {
            assert_eq!(throttle.failed(here, tag(1)), FIRST_DELAY);
        }
        assert_eq!(throttle.failed(here, tag(2)), FIRST_DELAY * 2);
        assert_eq!(throttle.failed(here, tag(1)), FIRST_DELAY * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_forgotten_five_minutes_after_its_last_failure_that_counted() {
        let throttle = Throttle::new();
        let here = origin("192.0.2.1");
        throttle.failed(here, tag(1));
        tokio::time::advance(FORGOTTEN - Duration::from_secs(1)).await;
        throttle.failed(here, tag(1));
        assert!(throttle.line(here).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(throttle.line(here).is_none());
        assert_eq!(throttle.failed(here, tag(2)), FIRST_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_48_with_many_failures_is_one_neighbour_but_for_who_has_succeeded_there() {
        let throttle = Throttle::new();
        let (good, new) = (origin("2001:db8:1:a::1"), origin("2001:db8:1:b::1"));
        throttle.succeeded(good);
        for number in 0..=SITE_ALLOWANCE {
            assert!(throttle.line(new).is_none(), "{number}");
            assert_eq!(throttle.failed(origin(&format!("2001:db8:1:1{number:x}::1")), tag(0)), FIRST_DELAY);
        }
        assert!(throttle.line(new).is_some());
        assert_eq!(throttle.failed(new, tag(0)), FIRST_DELAY * 2);
        assert!(throttle.line(good).is_none());
        assert!(throttle.line(origin("2001:db8:2::1")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_trusted_for_a_day_after_its_last_success() {
        let throttle = Throttle::new();
        let here = origin("192.0.2.1");
        assert!(!throttle.trusts(here));
        for _ in 0..2 {
            throttle.succeeded(here);
            tokio::time::advance(TRUSTED - Duration::from_secs(1)).await;
            assert!(throttle.trusts(here));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!throttle.trusts(here));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_addresses_is_remembered_in_a_bounded_table() {
        let throttle = Throttle::new();
        for number in 0..100_000_u32 {
            throttle.failed(Origin::of(IpAddr::V4(number.into())), tag(0));
        }
        let remembered =
            (0..100_000_u32).filter(|number| throttle.line(Origin::of(IpAddr::V4((*number).into()))).is_some()).count();
        assert!(remembered <= 2 * ADDRESSES, "{remembered}");
        assert!(throttle.line(Origin::of(IpAddr::V4(99_999.into()))).is_some());
    }
}
