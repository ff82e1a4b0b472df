//! The course of a run: lives of the broker, each ended by SIGKILL, and what is checked after each.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::actors::{self, Actor, SUBSCRIPTIONS};
use crate::checker::{Checker, Flaw};
use crate::fact::{Fact, Prey};
use crate::process::{Log, Process};
use crate::random::Random;
use crate::scene::{DEADLINE, Life, Scene, Stage};

/// How long a promise is waited for.
const AMBUSH: Duration = Duration::from_millis(500);
/// Kills between two settlings: what was lost is noticed not much later.
const KILLS_TO_SETTLE: usize = 25;
/// How long a settling may go without any news.
const STUCK: Duration = Duration::from_secs(15);
/// How long a settling may take in all.
const ENDLESS: Duration = Duration::from_secs(90);
/// How long nothing may come after all has come, before a second copy is not expected any more.
const QUIET: Duration = Duration::from_millis(500);

/// What went wrong, if nothing in the history shows it.
pub(crate) type Failure = String;

/// How and when a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// So long after the process began, whether it listens or not.
    Starting(Duration),
    /// So long after it listens.
    Listening(Duration),
    /// As soon as something is promised, so long or longer after it listens.
    Promised(Duration, Prey),
    /// So long after all that shows from outside was looked at.
    Inspected(Duration),
}

/// A run.
#[derive(Debug)]
pub(crate) struct Torture {
    pub(crate) scene: Arc<Scene>,
    pub(crate) checker: Checker,
    pub(crate) kills: usize,
    pub(crate) log: Log,
    folder: TempDir,
    process: Option<Process>,
    lives: usize,
    actors: Vec<Actor>,
    /// How many facts the checker has been shown.
    shown: usize,
    random: Random,
}

impl Torture {
    /// The first life, with all subscriptions made.
    pub(crate) fn begin(seed: u64) -> Self {
        let folder = TempDir::with_prefix("dockgate-torture-").expect("a temporary folder");
        let mut torture = Self {
            scene: Arc::new(Scene::new()),
            checker: Checker::default(),
            kills: 0,
            log: Arc::new(Mutex::default()),
            folder,
            process: None,
            lives: 0,
            actors: Vec::new(),
            shown: 0,
            random: Random::new(seed, "kills"),
        };
        torture.actors = actors::start(&torture.scene, seed);
        torture
    }

    /// Kills the broker so many times, under load; then lets all come to its end.
    pub(crate) fn run(&mut self, kills: usize) -> Result<(), Failure> {
        self.live()?;
        self.prelude()?;
        self.scene.set_stage(Stage::Load);
        if kills == 0 {
            std::thread::sleep(Duration::from_secs(3));
            return self.settle();
        }
        while self.kills < kills {
            let end = self.next_end();
            self.live_until(end)?;
            self.check()?;
            if self.kills.is_multiple_of(KILLS_TO_SETTLE) && self.kills < kills {
                self.live_if_dead()?;
                self.settle()?;
                self.scene.set_stage(Stage::Load);
            }
        }
        self.live_if_dead()?;
        self.settle()?;
        // What was finished stays so, too.
        self.kill()?;
        self.live()?;
        self.settle()
    }

    /// Ends the actors; returns what any of them panicked with.
    pub(crate) fn end(&mut self) -> Vec<String> {
        self.scene.set_stage(Stage::Over);
        let mut panics = Vec::new();
        for actor in std::mem::take(&mut self.actors) {
            let name = actor.thread().name().unwrap_or_default().to_owned();
            if let Err(panic) = actor.join() {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                panics.push(format!("{name}: {}", text.unwrap_or("a panic")));
            }
        }
        self.process = None;
        panics
    }

    /// Keeps the folder, puts the log beside the data, and says where that is.
    pub(crate) fn keep(self) -> PathBuf {
        let log = self.log_tail(usize::MAX);
        let folder = self.folder.keep();
        std::fs::write(folder.join("broker.log"), log).expect("the log is written");
        folder
    }

    fn next_end(&mut self) -> End {
        let milliseconds = |low, high, random: &mut Random| Duration::from_millis(random.between(low, high));
        let random = &mut self.random;
        match random.between(1, 100) {
            1..=12 => End::Starting(milliseconds(0, 80, random)),
            13..=25 => End::Listening(milliseconds(0, 20, random)),
            26..=50 => End::Inspected(milliseconds(0, 100, random)),
            51..=80 => End::Promised(milliseconds(0, 300, random), *random.pick(&Prey::ALL)),
            _ => End::Listening(milliseconds(20, 400, random)),
        }
    }

    /// A life and its end. The first life has begun already.
    fn live_until(&mut self, end: End) -> Result<(), Failure> {
        match (end, &self.process) {
            (End::Starting(time), None) => {
                self.process = Some(Process::start(&self.folder.path().join("data"), &self.log));
                std::thread::sleep(time);
            }
            (End::Starting(time) | End::Listening(time), _) => {
                self.live_if_dead()?;
                std::thread::sleep(time);
            }
            (End::Promised(time, prey), _) => {
                self.live_if_dead()?;
                std::thread::sleep(time);
                // It may be long until there is one.
                self.scene.history.ambush(prey).recv_timeout(AMBUSH).ok();
            }
            (End::Inspected(time), _) => {
                self.live_if_dead()?;
                self.inspected()?;
                std::thread::sleep(time);
            }
        }
        self.kill()
    }

    fn live_if_dead(&mut self) -> Result<(), Failure> {
        if self.process.is_some() { Ok(()) } else { self.live() }
    }

    fn live(&mut self) -> Result<(), Failure> {
        let process = self.process.insert(Process::start(&self.folder.path().join("data"), &self.log));
        let (mqtt, http) = process.wait(DEADLINE)?;
        self.lives += 1;
        self.scene.record(Fact::Listening(self.lives));
        self.scene.set_life(Some(Life { number: self.lives, mqtt, http }));
        Ok(())
    }

    fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.process.take().map_or(Ok(()), Process::kill);
        self.scene.set_life(None);
        killed?;
        self.kills += 1;
        self.scene.record(Fact::Killed(self.kills));
        Ok(())
    }

    /// Waits until every subscription is granted.
    fn prelude(&mut self) -> Result<(), Failure> {
        self.wait("all subscriptions granted", |torture| {
            let facts = torture.scene.history.since(0);
            let is_granted = |fact: &Fact| matches!(fact, Fact::Granted { session, .. } if **session != *"inspector");
            facts.iter().filter(|entry| is_granted(&entry.fact)).count() >= SUBSCRIPTIONS
        })
    }

    /// Waits for two more inspections: the second began after now.
    fn inspected(&mut self) -> Result<(), Failure> {
        let before = self.scene.inspections.load(Ordering::Acquire);
        self.wait("an inspection", |torture| torture.scene.inspections.load(Ordering::Acquire) >= before + 2)
    }

    fn wait(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> Result<(), Failure> {
        let until = Instant::now() + DEADLINE;
        while !is_so(self) {
            self.check()?;
            if Instant::now() > until {
                return Err(format!("not within {DEADLINE:?}: {what}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// No new load; all that is on its way arrives, and nothing more.
    fn settle(&mut self) -> Result<(), Failure> {
        self.scene.set_stage(Stage::Settle);
        let began = Instant::now();
        let (mut news, mut quiet) = (began, began);
        loop {
            if self.check()? {
                (news, quiet) = (Instant::now(), Instant::now());
            }
            if !self.checker.is_settled() {
                quiet = Instant::now();
            }
            if news.elapsed() > STUCK || began.elapsed() > ENDLESS {
                self.checker.finish();
                return self.check().map(|_| ());
            }
            if quiet.elapsed() > QUIET {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.inspected()?;
        self.check()?;
        Ok(())
    }

    /// Shows the checker what is new; whether that was more than the inspector's looks.
    fn check(&mut self) -> Result<bool, Failure> {
        let facts = self.scene.history.since(self.shown);
        self.shown += facts.len();
        let mut is_news = false;
        for entry in facts {
            is_news |= !is_look(&entry.fact);
            self.checker.see(&entry.fact);
        }
        if let Some(process) = &mut self.process {
            process.expect_alive()?;
        }
        if let Some(actor) = self.actors.iter().find(|actor| actor.is_finished()) {
            return Err(format!("the actor {:?} gave up", actor.thread().name()));
        }
        let log = self.log.lock().expect("nobody panics with it");
        if let Some(line) = log.iter().find(|line| line.contains("panic")) {
            return Err(format!("the broker's log has a panic: {line}"));
        }
        match self.checker.flaws.len() {
            0 => Ok(is_news),
            count => Err(format!("{count} flaws")),
        }
    }

    /// The last lines of the broker's log; those of a panic, if it has one.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let log = self.log.lock().expect("nobody panics with it");
        let panic = log.iter().position(|line| line.contains("panicked"));
        let last = log.len().saturating_sub(lines);
        let first = panic.map_or(last, |panic| last.min(panic));
        log[first..log.len().min(first.saturating_add(lines))].join("\n")
    }

    /// All facts about what a flaw is about, at most so many.
    pub(crate) fn facts_about(&self, flaw: &Flaw, limit: usize) -> String {
        let label = flaw.label().map(|label| format!("{label:?}"));
        let place = flaw.place().map(|place| format!("{place:?}"));
        let is_about = |fact: &Fact| match (&label, &place, fact) {
            (_, _, Fact::Listening(_) | Fact::Killed(_)) => true,
            (Some(label), ..) => format!("{fact:?}").contains(label.as_str()),
            (None, Some(place), _) => format!("{fact:?}").contains(place.as_str()),
            (None, None, _) => false,
        };
        let entries = self.scene.history.since(0);
        let found = entries.iter().filter(|entry| is_about(&entry.fact));
        let mut lines: Vec<String> = found.map(|entry| format!("  {:>9.3?} {:?}", entry.at, entry.fact)).collect();
        // Kills that nothing about it stands between say nothing.
        lines.dedup_by(|next, line| {
            [next, line].iter().all(|line| line.contains("Listening") || line.contains("Killed"))
        });
        lines[lines.len().saturating_sub(limit)..].join("\n")
    }
}

fn is_look(fact: &Fact) -> bool {
    match fact {
        Fact::Retained { .. } | Fact::Gateway { .. } => true,
        Fact::Connected { session, .. } | Fact::Asked { session, .. } | Fact::Granted { session, .. } => {
            **session == *"inspector"
        }
        _ => false,
    }
}
