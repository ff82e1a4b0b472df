//! A waiting line in which nobody gets more than its share.

use super::verifier::Tag;
use crate::access::Denied;
use parking_lot::Mutex;
use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Servers, and a line of bounded length before them.
///
/// Who waits does so for its parties: an address and a user name, say. All parties are served in turn, one each in every
/// round. Who has precedence is served before all others.
///
/// If the line is full, who would be served in the last round is sent away: one of the party that has most waiting. Which
/// one is drawn by lot, so that nobody can keep all places of its own party either.
#[derive(Debug, Clone)]
pub(super) struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    size: Size,
    state: Mutex<State>,
    lots: RandomState,
}

/// How many a line has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) servers: u32,
    /// How many wait.
    pub(super) places: usize,
    /// The places that only those with precedence get.
    pub(super) reserved: usize,
}

/// Who wants to be served.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) has_precedence: bool,
    pub(super) parties: Vec<Tag>,
}

#[derive(Debug)]
struct State {
    free: u32,
    next_id: u64,
    preferred: Queue,
    others: Queue,
}

#[derive(Debug, Default)]
struct Queue {
    /// The round that is being served.
    round: u64,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    round: u64,
    servers: u32,
    parties: Vec<Tag>,
    go: oneshot::Sender<Turn>,
}

/// What is being served; its end is the next one's turn.
#[derive(Debug)]
pub(super) struct Turn {
    line: Line,
    servers: u32,
}

/// A place in the line. Who leaves gives it back.
struct Place {
    line: Line,
    id: u64,
    called: oneshot::Receiver<Turn>,
}

impl Line {
    pub(super) fn new(size: Size) -> Self {
        let (preferred, others) = (Queue::default(), Queue::default());
        let state = Mutex::new(State { free: size.servers, next_id: 0, preferred, others });
        Self(Arc::new(Shared { size, state, lots: RandomState::new() }))
    }

    /// Waits for as many servers, or for all if there are fewer.
    ///
    /// # Errors
    /// [`Denied::Busy`] if the line is full: at once, or when another one gets the place.
    pub(super) async fn enter(&self, servers: u32, claim: Claim) -> Result<Turn, Denied> {
        let mut place = self.take_place(servers.min(self.0.size.servers), claim)?;
        (&mut place.called).await.map_err(|_sent_away| Denied::Busy)
    }

    fn take_place(&self, servers: u32, claim: Claim) -> Result<Place, Denied> {
        let (go, called) = oneshot::channel();
        let mut state = self.0.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let Size { places, reserved, .. } = self.0.size;
        let State { free, preferred, others, .. } = &mut *state;
        let is_full = preferred.waiting.len() + others.waiting.len() >= places;
        let must_wait = *free < servers || !preferred.waiting.is_empty() || !others.waiting.is_empty();
        let newcomer = Waiting { id, round: 0, servers, parties: claim.parties, go };
        let lot = |candidates: usize| usize::try_from(self.0.lots.hash_one(id)).unwrap_or_default() % candidates.max(1);
        if claim.has_precedence {
            if must_wait && is_full && !others.waiting.is_empty() {
                others.send_one_away(lot);
                preferred.add(newcomer);
            } else if must_wait && is_full {
                preferred.add_instead(newcomer, lot)?;
            } else {
                preferred.add(newcomer);
            }
        } else if must_wait && (is_full || others.waiting.len() >= places - reserved) {
            others.add_instead(newcomer, lot)?;
        } else {
            others.add(newcomer);
        }
        self.call(&mut state);
        Ok(Place { line: self.clone(), id, called })
    }

    /// Calls whoever can be served.
    fn call(&self, state: &mut State) {
        let State { free, preferred, others, .. } = state;
        while let Some((queue, at)) = match preferred.first() {
            Some(at) => Some((&mut *preferred, at)),
            None => others.first().map(|at| (&mut *others, at)),
        } {
            // Who needs many servers is not passed by those who need few, else it would wait for ever.
            if queue.waiting[at].servers > *free {
                return;
            }
            let next = queue.waiting.swap_remove(at);
            queue.round = next.round;
            *free -= next.servers;
            if let Err(mut gone) = next.go.send(Turn { line: self.clone(), servers: next.servers }) {
                // Its end would take the lock that is held here.
                *free += mem::take(&mut gone.servers);
            }
        }
    }
}

impl Queue {
    /// The round in which the next one of these parties is served.
    fn next_round(&self, parties: &[Tag]) -> u64 {
        let theirs = self.waiting.iter().filter(|waiting| waiting.is_for(parties));
        theirs.map(|waiting| waiting.round).fold(self.round, u64::max) + 1
    }

    fn first(&self) -> Option<usize> {
        let order = |at: &usize| (self.waiting[*at].round, self.waiting[*at].id);
        (0..self.waiting.len()).min_by_key(order)
    }

    fn add(&mut self, mut newcomer: Waiting) {
        newcomer.round = self.next_round(&newcomer.parties);
        self.waiting.push(newcomer);
    }

    fn send_one_away(&mut self, lot: impl Fn(usize) -> usize) {
        let last = self.last_round();
        let candidates: Vec<_> = (0..self.waiting.len()).filter(|at| self.waiting[*at].round == last).collect();
        if let Some(at) = candidates.get(lot(candidates.len())) {
            self.waiting.swap_remove(*at);
        }
    }

    /// Adds one without making the line longer. If it is the newcomer's own party that has most, the newcomer draws too.
    fn add_instead(&mut self, mut newcomer: Waiting, lot: impl Fn(usize) -> usize) -> Result<(), Denied> {
        newcomer.round = self.next_round(&newcomer.parties);
        let last = self.last_round();
        if newcomer.round < last {
            self.send_one_away(lot);
            self.waiting.push(newcomer);
            return Ok(());
        }
        let draws = |waiting: &Waiting| waiting.round == newcomer.round || waiting.is_for(&newcomer.parties);
        let candidates: Vec<_> = (0..self.waiting.len()).filter(|at| draws(&self.waiting[*at])).collect();
        let at = *candidates.get(lot(candidates.len() + 1)).ok_or(Denied::Busy)?;
        newcomer.round = self.waiting[at].round;
        self.waiting[at] = newcomer;
        Ok(())
    }

    fn last_round(&self) -> u64 {
        self.waiting.iter().map(|waiting| waiting.round).max().unwrap_or_default()
    }
}

impl Waiting {
    fn is_for(&self, parties: &[Tag]) -> bool {
        self.parties.iter().any(|party| parties.contains(party))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.line.0.state.lock();
        let State { preferred, others, .. } = &mut *state;
        for queue in [preferred, others] {
            queue.waiting.retain(|waiting| waiting.id != self.id);
        }
        // It may have been the one that the others waited behind.
        self.line.call(&mut state);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.servers > 0 {
            let mut state = self.line.0.state.lock();
            state.free += self.servers;
            self.line.call(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use tokio::task::unconstrained;

    type Entering = BoxFuture<'static, Result<Turn, Denied>>;

    fn claim(party: u8) -> Claim {
        Claim { has_precedence: false, parties: vec![[party; 32]] }
    }

    fn preferred(party: u8) -> Claim {
        Claim { has_precedence: true, ..claim(party) }
    }

    /// A line with one server, which is taken, and four places.
    async fn line(reserved: usize) -> (Line, Turn) {
        let line = Line::new(Size { servers: 1, places: 4, reserved });
        let taken = line.enter(1, claim(0)).await.unwrap();
        (line, taken)
    }

    /// As far as it comes at once.
    fn entering(line: &Line, claim: Claim) -> (Entering, Option<Result<Turn, Denied>>) {
        let line = line.clone();
        // Without tokio's budget, at the end of which nothing is ever ready.
        let mut entering = unconstrained(async move { line.enter(1, claim).await }).boxed();
        let answer = (&mut entering).now_or_never();
        (entering, answer)
    }

    fn wait(line: &Line, claim: Claim) -> Entering {
        let (entering, answer) = entering(line, claim);
        assert!(answer.is_none(), "{answer:?}");
        entering
    }

    /// The places of those who wait, in the order in which they are served; who is sent away is not among them.
    fn order(mut waiting: Vec<(usize, Entering)>, taken: Turn) -> Vec<usize> {
        let mut served = Vec::new();
        let mut turn = Some(taken);
        while turn.take().is_some() {
            waiting.retain_mut(|(name, entering)| match entering.now_or_never() {
                None => true,
                Some(Err(denied)) => {
                    assert_eq!(denied, Denied::Busy);
                    false
                }
                Some(Ok(next)) => {
                    served.push(*name);
                    turn = Some(next);
                    false
                }
            });
        }
        assert!(waiting.is_empty());
        served
    }

    #[tokio::test]
    async fn parties_are_served_in_turn() {
        let (line, taken) = line(0).await;
        let waiting = [1, 1, 1, 2].map(|party| wait(&line, claim(party)));
        assert_eq!(order(waiting.into_iter().enumerate().collect(), taken), [0, 3, 1, 2]);
    }

    #[tokio::test]
    async fn a_newcomer_gets_a_place_of_the_party_that_has_most() {
        for _ in 0..50 {
            let (line, taken) = line(0).await;
            let mut waiting: Vec<_> =
                [1, 1, 1, 1, 2].map(|party| wait(&line, claim(party))).into_iter().enumerate().collect();
            assert_eq!(waiting[3].1.as_mut().now_or_never().unwrap().unwrap_err(), Denied::Busy);
            drop(waiting.remove(3));
            assert_eq!(order(waiting, taken), [0, 4, 1, 2]);
        }
    }

    #[tokio::test]
    async fn nobody_can_keep_all_places_of_a_party() {
        let (mut got_in, mut sent_away) = (0, 0);
        for _ in 0..200 {
            let (line, _taken) = line(0).await;
            let _others = [1; 4].map(|party| wait(&line, claim(party)));
            match entering(&line, claim(1)).1 {
                None => got_in += 1,
                Some(answer) => {
                    assert_eq!(answer.unwrap_err(), Denied::Busy);
                    sent_away += 1;
                }
            }
        }
        assert!(got_in > 100 && sent_away > 0, "{got_in} {sent_away}");
    }

    #[tokio::test]
    async fn who_has_precedence_is_served_first_and_has_places_of_its_own() {
        let (line, taken) = line(1).await;
        let mut waiting: Vec<_> = (1..=3).map(|party| wait(&line, claim(party))).collect();
        waiting.push(wait(&line, preferred(4)));
        assert_eq!(order(waiting.into_iter().enumerate().collect(), taken), [3, 0, 1, 2]);
    }

    #[tokio::test]
    async fn others_do_not_get_the_reserved_places() {
        let (line, _taken) = line(1).await;
        let mut waiting: Vec<_> = (1..=3).map(|party| wait(&line, claim(party))).collect();
        let (newcomer, answer) = entering(&line, claim(4));
        if answer.is_none() {
            waiting.push(newcomer);
        }
        waiting.retain_mut(|waiting| waiting.now_or_never().is_none());
        assert_eq!(waiting.len(), 3);
    }

    #[tokio::test]
    async fn who_has_precedence_gets_any_place_that_one_without_has() {
        let (line, taken) = line(1).await;
        let mut waiting: Vec<_> = (1..=3).map(|party| wait(&line, claim(party))).collect();
        waiting.extend((4..=7).map(|party| wait(&line, preferred(party))));
        assert_eq!(order(waiting.into_iter().enumerate().collect(), taken), [3, 4, 5, 6]);
    }

    #[tokio::test]
    async fn who_leaves_gives_its_place_or_its_turn_back() {
        let (line, taken) = line(0).await;
        drop(wait(&line, claim(1)));
        let called = wait(&line, claim(1));
        drop(taken);
        drop(called);
        let state = line.0.state.lock();
        assert_eq!((state.free, state.others.waiting.len()), (1, 0));
    }

    #[tokio::test]
    async fn who_needs_many_servers_is_not_passed() {
        let line = Line::new(Size { servers: 2, places: 4, reserved: 0 });
        let taken = line.enter(1, claim(0)).await.unwrap();
        let other = line.clone();
        let mut many = async move { other.enter(9, claim(1)).await }.boxed();
        assert!((&mut many).now_or_never().is_none());
        let mut few = wait(&line, claim(2));
        drop(taken);
        let all = many.now_or_never().unwrap().unwrap();
        assert!((&mut few).now_or_never().is_none());
        drop(all);
        assert!(few.now_or_never().unwrap().is_ok());
    }
}
