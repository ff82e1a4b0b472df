//! What the cloud asks of a gateway: above all, whether one more start may pass.

use super::effects::{Conflict, Note, Turn};
use super::event::{Event, Start};
use super::gateway::Gateway;
use super::module::Slots;
use super::observation::{Method, Observation};
use super::rules::{Now, Policy, Scope};
use super::status::State;
use super::text::{self, cut};
use super::upload::Upload;

impl Gateway {
    pub(crate) fn start(&mut self, event: &Event<'_>, start: &Start<'_>, turn: &mut Turn<'_>) {
        if let Some(begun) = self.retried(event, start, turn) {
            return pass(begun, turn);
        }
        let slots = slots_of(start, turn.rules.scope);
        let Some(holder) = self.holder(slots) else {
            self.begin(event, start, slots, turn);
            return pass(turn.now, turn);
        };
        let reason = holder.state;
        let age_ms = turn.now.since(holder.begun);
        let let_through = turn.rules.policy == Policy::Observe;
        self.remember_refused(event, reason, let_through, turn);
        self.note(Note::Refused { bid: cut(event.bid, text::ID).into(), by: reason, let_through }, turn);
        if let_through {
            turn.count(Observation::WouldRefuse { reason });
            self.remember_let_through(event);
            return;
        }
        self.refused += 1;
        turn.count(Observation::Refused { reason });
        turn.effects.refused = Some(Conflict { state: reason, age_ms, result: turn.rules.conflict_result });
    }

    /// The same start again: pending, or active for less than `reply_timeout` since its first
    /// sending. Later, or when it is being cancelled, the same data asks for a new upload. Returns when
    /// the upload began.
    fn retried(&mut self, event: &Event<'_>, start: &Start<'_>, turn: &mut Turn<'_>) -> Option<Now> {
        let digest = start.digest?;
        let upload = self.running.iter_mut().find(|upload| upload.digest == Some(digest))?;
        let is_fresh = upload.begun.after(turn.rules.reply_timeout) > turn.now;
        if upload.state == State::Cancelling || !is_fresh {
            return None;
        }
        if upload.name(event.tid, event.bid, turn.rules.max_aliases) {
            upload.retries += 1;
            turn.count(Observation::Retry);
        } else {
            turn.count(Observation::Duplicate);
        }
        Some(upload.begun)
    }

    fn begin(&mut self, event: &Event<'_>, start: &Start<'_>, slots: Slots, turn: &mut Turn<'_>) {
        let mut upload = Upload::started(turn.next_id(), start, slots, turn.now);
        upload.name(event.tid, event.bid, turn.rules.max_aliases);
        // A cancel that went to an earlier upload is not about this one.
        let mut asked = std::mem::take(&mut self.asked);
        asked.retain(|asked| asked.method != Method::Update || self.holder(asked.modules).is_some());
        self.asked = asked;
        self.running.push(upload);
        self.is_started = true;
        // What was said of earlier uploads may be said again of this one, in the very same words.
        self.seen.clear();
        self.let_through.clear();
        turn.count(Observation::Started);
        self.note(Note::Started { bid: cut(event.bid, text::ID).into() }, turn);
    }
}

/// A start that waits somewhere (retained, or queued for a dock that is away) must not reach the dock
/// when its upload has been given up: every sending is good until the upload's reply is due.
fn pass(begun: Now, turn: &mut Turn<'_>) {
    if turn.rules.policy == Policy::Enforce {
        turn.effects.forward_until = Some(begun.after(turn.rules.reply_timeout));
    }
}

fn slots_of(start: &Start<'_>, scope: Scope) -> Slots {
    if scope == Scope::Gateway || start.ambiguous {
        return Slots::ALL;
    }
    let named = start.files.iter().map(|file| file.module.slots());
    named.fold(Slots::NONE, Slots::with).or_all()
}
