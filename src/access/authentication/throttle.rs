//! Addresses from which wrong passwords come.

use super::generations::Generations;
use super::line::Line;
use super::verifier::Tag;
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// How many of an address with failures wait for their turn. With half a second or more for each that fails, a longer line
/// would outlast the patience of its clients.
pub(super) const WAITING_MAX: u32 = 16;
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

/// What is known of the addresses that have failed.
#[derive(Debug)]
pub(super) struct Throttle {
    origins: Mutex<Generations<Origin, Record>>,
}

/// An IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

#[derive(Debug)]
struct Record {
    failures: u32,
    last: Instant,
    /// The wrong credentials that came last.
    known: [Option<Tag>; KNOWN],
    line: Line,
}

impl Origin {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self { origins: Mutex::new(Generations::new(ADDRESSES)) }
    }

    /// The line in which an address with failures has to wait.
    pub(super) fn line(&self, origin: Origin) -> Option<Line> {
        let mut origins = self.origins.lock();
        let record = origins.get(&origin)?;
        (!record.is_forgotten()).then(|| record.line.clone())
    }

    /// How long the failure that is being checked keeps the next one of its address waiting.
    pub(super) fn hold(&self, origin: Origin) -> Duration {
        self.origins.lock().get(&origin).map_or(FIRST_DELAY, |record| record.delay()).min(HOLD_MAX)
    }

    /// Whether these credentials have failed from there lately: the same entry of the password file says so again.
    pub(super) fn knows(&self, origin: Origin, credentials: &Tag) -> bool {
        let mut origins = self.origins.lock();
        origins.get(&origin).is_some_and(|record| !record.is_forgotten() && record.known.contains(&Some(*credentials)))
    }

    /// Takes notice of a failure, and says how long after it came it may be answered.
    pub(super) fn failed(&self, origin: Origin, credentials: Tag) -> Duration {
        let mut origins = self.origins.lock();
        match origins.get(&origin) {
            Some(record) if !record.is_forgotten() => {
                if !record.known.contains(&Some(credentials)) {
                    record.known[record.failures as usize % KNOWN] = Some(credentials);
                    record.failures = record.failures.saturating_add(1);
                    record.last = Instant::now();
                }
                record.delay()
            }
            _ => {
                let mut known = [None; KNOWN];
                known[0] = Some(credentials);
                let line = Line::new(1, WAITING_MAX);
                origins.insert(origin, Record { failures: 1, last: Instant::now(), known, line });
                FIRST_DELAY
            }
        }
    }
}

impl Record {
    fn is_forgotten(&self) -> bool {
        self.last.elapsed() >= FORGOTTEN
    }

    fn delay(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(5);
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
