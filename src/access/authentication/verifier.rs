//! Checks passwords: few at a time, none twice.

use super::generations::Generations;
use super::line::{Claim, Line, Size, Turn};
use super::throttle::{Origin, Throttle};
use crate::access::password::{Hash, Passwords};
use crate::access::{Denied, Secret};
use parking_lot::Mutex;
use ring::hmac;
use ring::rand::SystemRandom;
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

/// How many wait for a thread that checks passwords: all docks of a large fleet, after a restart of the broker. With hashes of
/// 40 ms, as `dockgate passwd` writes them, two threads have them done in about twenty seconds; clients that wait much
/// longer come again before they have their answer.
pub(super) const WAITING_MAX: usize = 1_000;
/// How many of these places are for addresses that a client has logged in from lately.
pub(super) const RESERVED: usize = WAITING_MAX / 4;
/// Credentials that are remembered, of 32 bytes each.
const REMEMBERED: usize = 20_000;
/// Failures are answered at multiples of this.
const QUANTUM: Duration = Duration::from_millis(500);

/// A keyed hash of a user's entry, name and password.
pub(super) type Tag = [u8; 32];

/// What is checked, and the address that it comes from if that has failures: nobody from elsewhere shall wait in its line.
type FlightKey = (Tag, Option<Origin>);

/// The checks that are under way, and what comes of each.
type Flights = HashMap<FlightKey, Arc<OnceCell<bool>>>;

#[derive(Debug)]
pub(super) struct Verifier {
    /// New with each process: what is made with it is good for nothing elsewhere.
    key: hmac::Key,
    remembered: Mutex<Generations<Tag, ()>>,
    flights: Mutex<Flights>,
    threads: Line,
    throttle: Throttle,
    #[cfg(test)]
    checks: std::sync::atomic::AtomicUsize,
}

impl Verifier {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = if cores > 2 { cores - 1 } else { cores };
        Self::with_threads(u32::try_from(threads).unwrap_or(u32::MAX))
    }

    fn with_threads(threads: u32) -> Self {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Self {
            key: key.expect("Linux has random bytes once it has started"),
            remembered: Mutex::new(Generations::new(REMEMBERED)),
            flights: Mutex::default(),
            threads: Line::new(Size { servers: threads, places: WAITING_MAX, reserved: RESERVED }),
            throttle: Throttle::new(),
            #[cfg(test)]
            checks: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// The fingerprint of a user's present entry.
    pub(super) fn fingerprint(&self, passwords: &Passwords, user: &str) -> Option<u64> {
        let hash = passwords.hash(user)?.to_string();
        let tag = self.tag(b"entry", &[user.as_bytes(), hash.as_bytes()]);
        tag.first_chunk().copied().map(u64::from_be_bytes)
    }

    /// Whether this is the user's password; if so, the fingerprint of the entry that says so.
    pub(super) async fn verify(
        &self,
        passwords: &Passwords,
        user: &str,
        password: &Secret,
        address: IpAddr,
    ) -> Result<u64, Denied> {
        let arrived = Instant::now();
        let fingerprint = self.fingerprint(passwords, user);
        let entry = fingerprint.unwrap_or_default().to_be_bytes();
        let origin = Origin::of(address);
        let attempt = Attempt {
            user: self.tag(b"user", &[user.as_bytes()]),
            network: self.tag(b"network", &[&origin.network()]),
            tag: self.tag(b"credentials", &[&entry, user.as_bytes(), password.expose()]),
            hash: passwords.hash(user),
            stand_in: passwords.stand_in(),
            password,
            origin,
        };
        let is_known_wrong = self.throttle.knows(attempt.origin, &attempt.tag);
        let right = self.remembers(&attempt.tag) || (!is_known_wrong && self.share(&attempt).await?);
        match fingerprint {
            Some(fingerprint) if right => {
                self.throttle.succeeded(origin);
                Ok(fingerprint)
            }
            _ => {
                let delay = self.throttle.failed(attempt.origin, attempt.tag);
                sleep_until(arrived + delay.max(whole_quanta(arrived.elapsed()))).await;
                Err(if attempt.hash.is_some() { Denied::WrongPassword } else { Denied::UnknownUser })
            }
        }
    }

    /// Checks, or waits for who is checking the same already.
    async fn share(&self, attempt: &Attempt<'_>) -> Result<bool, Denied> {
        let slowed = self.throttle.line(attempt.origin).map(|_line| attempt.origin);
        let flight = Flight::join(&self.flights, (attempt.tag, slowed));
        flight.outcome.get_or_try_init(|| self.check(attempt)).await.copied()
    }

    async fn check(&self, attempt: &Attempt<'_>) -> Result<bool, Denied> {
        // Another check of the same may have ended since this one was found necessary.
        if self.remembers(&attempt.tag) {
            return Ok(true);
        }
        let hash = attempt.hash.unwrap_or(attempt.stand_in);
        let threads = hash.cost().threads();
        let mut turn = self.turn(attempt).await?;
        let mut thread = self.threads.enter(threads, self.claim(attempt)).await?;
        if turn.is_none() && self.throttle.line(attempt.origin).is_some() {
            // The first of many wrong ones that came at once has failed meanwhile: the others go to their own line.
            drop(thread);
            turn = self.turn(attempt).await?;
            thread = self.threads.enter(threads, self.claim(attempt)).await?;
        }
        #[cfg(test)]
        self.checks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (hash, password) = (hash.clone(), attempt.password.clone());
        // The thread and the turn are taken until the check is over, even if its client is gone before.
        let checked = spawn_blocking(move || {
            let matches = hash.verify(password.expose());
            drop(thread);
            (matches, turn)
        });
        let (matches, turn) = checked.await.map_err(|_stopping| Denied::Busy)?;
        let right = matches && attempt.hash.is_some();
        if right {
            self.remembered.lock().insert(attempt.tag, ());
        } else if let Some(turn) = turn {
            let hold = self.throttle.hold(attempt.origin);
            tokio::spawn(async move {
                sleep(hold).await;
                drop(turn);
            });
        }
        Ok(right)
    }

    /// Waits for the turn of an address with failures; others have no turns.
    async fn turn(&self, attempt: &Attempt<'_>) -> Result<Option<Turn>, Denied> {
        match self.throttle.line(attempt.origin) {
            Some(line) => {
                let claim = Claim { has_precedence: false, parties: vec![attempt.user] };
                line.enter(1, claim).await.map(Some)
            }
            None => Ok(None),
        }
    }

    fn claim(&self, attempt: &Attempt<'_>) -> Claim {
        let has_precedence = self.throttle.trusts(attempt.origin);
        Claim { has_precedence, parties: vec![attempt.network, attempt.user] }
    }

    fn remembers(&self, tag: &Tag) -> bool {
        self.remembered.lock().get(tag).is_some()
    }

    /// A keyed hash of parts, each of which counts from its beginning to its end.
    fn tag(&self, purpose: &[u8], parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut tag = Tag::default();
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

/// What a client brings, and what it is checked against.
struct Attempt<'a> {
    tag: Tag,
    /// The name that the client gives.
    user: Tag,
    network: Tag,
    hash: Option<&'a Hash>,
    stand_in: &'a Hash,
    password: &'a Secret,
    origin: Origin,
}

/// One who waits for a check.
struct Flight<'a> {
    flights: &'a Mutex<Flights>,
    key: FlightKey,
    outcome: Arc<OnceCell<bool>>,
}

impl<'a> Flight<'a> {
    fn join(flights: &'a Mutex<Flights>, key: FlightKey) -> Self {
        let outcome = flights.lock().entry(key).or_default().clone();
        Self { flights, key, outcome }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        // Under the lock nobody else joins or leaves, so that exactly the last one finds itself alone with the map.
        self.outcome = Arc::default();
        if flights.get(&self.key).is_some_and(|outcome| Arc::strong_count(outcome) == 1) {
            flights.remove(&self.key);
        }
    }
}

/// The next multiple of the quantum.
fn whole_quanta(elapsed: Duration) -> Duration {
    let quanta = elapsed.as_nanos().div_ceil(QUANTUM.as_nanos());
    QUANTUM * u32::try_from(quanta).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::password::Cost;
    use futures_util::future::join_all;
    use std::num::NonZeroU32;
    use std::sync::atomic::Ordering::SeqCst;
    use tokio::time::timeout;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn elsewhere(number: u32) -> IpAddr {
        IpAddr::V4((u32::from(std::net::Ipv4Addr::new(198, 51, 100, 0)) + number).into())
    }

    fn passwords() -> Passwords {
        let hash = |password: &str| Hash::new(password.as_bytes(), Cost::Pbkdf2 { iterations: NonZeroU32::MIN });
        Passwords::of(&format!("docks:{}\nbackend:{}\n", hash("right"), hash("back")))
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    fn somebody() -> Claim {
        Claim { has_precedence: false, parties: Vec::new() }
    }

    impl Verifier {
        fn checks(&self) -> usize {
            self.checks.load(SeqCst)
        }

        /// Nobody can be checked until this ends.
        async fn stop(&self) -> Turn {
            self.threads.enter(u32::MAX, somebody()).await.unwrap()
        }
    }

    /// Runs all of them as far as they come without time or threads.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_with_the_same_credentials_cost_one_check() {
        let (verifier, passwords) = (Verifier::with_threads(2), passwords());
        let right = secret("right");
        let stopped = verifier.stop().await;
        let crowd = join_all((0..1_000).map(|number| verifier.verify(&passwords, "docks", &right, elsewhere(number))));
        let ((), let_in) = tokio::join!(
            async {
                settle().await;
                drop(stopped);
            },
            crowd
        );
        assert!(let_in.iter().all(Result::is_ok), "{let_in:?}");
        assert_eq!(verifier.checks(), 1);
        assert!(verifier.verify(&passwords, "docks", &right, HERE).await.is_ok());
        assert_eq!(verifier.checks(), 1, "it is remembered");
        assert!(verifier.flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_checked_once_from_each_address_and_for_each_entry() {
        let (verifier, docks, other) = (Verifier::with_threads(2), passwords(), passwords());
        for (passwords, address, checks) in
            [(&docks, HERE, 1), (&docks, HERE, 1), (&docks, elsewhere(1), 2), (&other, HERE, 3), (&docks, HERE, 3)]
        {
            let came = Instant::now();
            let denied = verifier.verify(passwords, "docks", &secret("wrong"), address).await;
            assert_eq!((denied, verifier.checks()), (Err(Denied::WrongPassword), checks));
            assert!(came.elapsed() >= QUANTUM, "it takes as long");
        }
        assert!(verifier.flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_brings_the_same_wrong_credentials_for_ever_does_not_stand_in_the_way_of_its_neighbours() {
        let (verifier, passwords) = (Verifier::with_threads(2), passwords());
        for _ in 0..2 {
            let wrong: Vec<_> = (0..12).map(|number| secret(&format!("old {number}"))).collect();
            join_all(wrong.iter().map(|wrong| verifier.verify(&passwords, "docks", wrong, HERE))).await;
            let wrong = wrong.iter().map(|wrong| verifier.verify(&passwords, "docks", wrong, HERE));
            let (_, let_in) = tokio::join!(join_all(wrong), async {
                settle().await;
                timeout(QUANTUM, verifier.verify(&passwords, "backend", &secret("back"), HERE)).await
            });
            assert!(let_in.unwrap().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_user_costs_a_check_too_and_is_never_let_in() {
        let (verifier, passwords) = (Verifier::with_threads(2), passwords());
        let denied = verifier.verify(&passwords, "nobody", &secret("right"), HERE).await;
        assert_eq!((denied, verifier.checks()), (Err(Denied::UnknownUser), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_the_line_full_is_told_at_once() {
        let (verifier, passwords) = (Verifier::with_threads(2), passwords());
        let stopped = verifier.stop().await;
        let places = WAITING_MAX - RESERVED;
        let wrong: Vec<_> = (0..places + 3).map(|number| secret(&number.to_string())).collect();
        let crowd = join_all(
            wrong.iter().zip(0..).map(|(wrong, number)| verifier.verify(&passwords, "docks", wrong, elsewhere(number))),
        );
        let ((), answers) = tokio::join!(
            async {
                settle().await;
                drop(stopped);
            },
            crowd
        );
        let busy = answers.iter().filter(|answer| **answer == Err(Denied::Busy)).count();
        assert_eq!((busy, verifier.checks()), (3, places));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_everywhere_keeps_nobody_away_whose_address_has_succeeded_or_whose_name_is_another() {
        let (verifier, passwords) = (Verifier::with_threads(1), passwords());
        verifier.verify(&passwords, "docks", &secret("right"), HERE).await.unwrap();
        let stopped = verifier.stop().await;
        let wrong: Vec<_> = (0..WAITING_MAX).map(|number| secret(&number.to_string())).collect();
        let crowd = join_all(
            wrong.iter().zip(0..).map(|(wrong, number)| verifier.verify(&passwords, "docks", wrong, elsewhere(number))),
        );
        let (right, back) = (secret("right"), secret("back"));
        let newcomer = async {
            settle().await;
            let let_in = verifier.verify(&passwords, "backend", &back, elsewhere(9_999_999)).await;
            (let_in, verifier.checks())
        };
        let other = self::passwords();
        let known = async {
            settle().await;
            let let_in = verifier.verify(&other, "docks", &right, HERE).await;
            (let_in, verifier.checks())
        };
        let (_, newcomer, known, ()) = tokio::join!(crowd, newcomer, known, async {
            settle().await;
            settle().await;
            drop(stopped);
        });
        assert!(newcomer.0.is_ok() && known.0.is_ok(), "{newcomer:?} {known:?}");
        assert!(newcomer.1 < 200 && known.1 < 200, "they did not wait for all: {newcomer:?} {known:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_the_line_of_an_address_full_keeps_no_other_user_behind_it_away() {
        let (verifier, passwords) = (Verifier::with_threads(2), passwords());
        verifier.verify(&passwords, "docks", &secret("first"), HERE).await.unwrap_err();
        let came = Instant::now();
        let wrong: Vec<_> = (0..100).map(|number| secret(&number.to_string())).collect();
        let crowd = join_all(wrong.iter().map(|wrong| verifier.verify(&passwords, "docks", wrong, HERE)));
        let neighbour = async {
            settle().await;
            let let_in = verifier.verify(&passwords, "backend", &secret("back"), HERE).await;
            (let_in, came.elapsed())
        };
        let (_, (let_in, waited)) = tokio::join!(crowd, neighbour);
        assert!(let_in.is_ok(), "{let_in:?}");
        assert!(waited < Duration::from_secs(4), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_failure_of_an_address_sends_what_came_with_it_into_a_line_of_its_own() {
        let (verifier, passwords) = (Verifier::with_threads(1), passwords());
        let wrong: Vec<_> = (0..100).map(|number| secret(&number.to_string())).collect();
        let answers = join_all(wrong.iter().map(|wrong| verifier.verify(&passwords, "docks", wrong, HERE))).await;
        let busy = answers.iter().filter(|answer| **answer == Err(Denied::Busy)).count();
        // One or two were being checked when the first one failed; the line of the address takes 17.
        assert!((17..=20).contains(&verifier.checks()), "{}", verifier.checks());
        assert_eq!(verifier.checks() + busy, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_failures_is_checked_one_at_a_time_and_each_failure_keeps_the_next_waiting() {
        let (verifier, passwords) = (Verifier::with_threads(2), passwords());
        verifier.verify(&passwords, "docks", &secret("first"), HERE).await.unwrap_err();
        let came = Instant::now();
        let wrong: Vec<_> = (0..4).map(|number| secret(&number.to_string())).collect();
        let tried = join_all(wrong.iter().map(|wrong| verifier.verify(&passwords, "docks", wrong, HERE)));
        let neighbour = async {
            settle().await;
            let (right, back) = (secret("right"), secret("back"));
            verifier.verify(&passwords, "backend", &back, elsewhere(0)).await.unwrap();
            verifier.verify(&passwords, "backend", &back, HERE).await.unwrap();
            assert!(came.elapsed() < Duration::from_millis(100), "who is elsewhere, or remembered, waits for nobody");
            verifier.verify(&passwords, "docks", &right, HERE).await.unwrap();
            came.elapsed()
        };
        let (_, waited) = tokio::join!(tried, neighbour);
        // The first of the four kept it waiting for half a second or one, the others for one each.
        assert!((3_400..=4_100).contains(&waited.as_millis()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_shares_credentials_with_a_slowed_address_does_not_wait_in_its_line() {
        let (verifier, passwords) = (Verifier::with_threads(2), passwords());
        verifier.verify(&passwords, "docks", &secret("wrong"), HERE).await.unwrap_err();
        let line = verifier.throttle.line(Origin::of(HERE)).unwrap();
        let taken = line.enter(1, somebody()).await.unwrap();
        let right = secret("right");
        let slowed = verifier.verify(&passwords, "docks", &right, HERE);
        let free = async {
            settle().await;
            verifier.verify(&passwords, "docks", &right, elsewhere(0)).await.unwrap();
            drop(taken);
        };
        let (slowed, ()) = tokio::join!(slowed, free);
        assert!(slowed.is_ok());
        assert!(verifier.flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_while_it_is_checked_leaves_nothing_behind() {
        let (verifier, passwords) = (Verifier::with_threads(1), passwords());
        let right = secret("right");
        let stopped = verifier.stop().await;
        let mut first = Box::pin(verifier.verify(&passwords, "docks", &right, HERE));
        let mut second = Box::pin(verifier.verify(&passwords, "docks", &right, HERE));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(stopped);
        assert!(second.await.is_ok(), "the next one checks");
        assert!(verifier.flights.lock().is_empty());
    }

    #[test]
    fn failures_are_answered_at_whole_quanta() {
        let ms = Duration::from_millis;
        for (elapsed, answered) in [(0, 0), (1, 500), (500, 500), (501, 1_000), (7_300, 7_500)] {
            assert_eq!(whole_quanta(ms(elapsed)), ms(answered));
        }
    }
}
