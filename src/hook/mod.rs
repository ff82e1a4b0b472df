//! What a publish means to the remote log upload: topic, then method, then a verdict.
//!
//! Every publish comes by. Nearly all of them are settled by their topic ([`Hook::looks_at`]), most of
//! the others by not holding a word of it; only the rest is parsed. The bytes are never changed, and
//! what cannot be read is forwarded and counted: the hook fails open.
//!
//! It does not fail open to tricks. A start is recognised if any reading of the message makes it
//! one, since nobody knows which parser a dock has:
//!
//! - a method name may be written with escapes. All of its letters are ASCII, so an escape in it
//!   begins with `\u00`; a payload with that is parsed too, whether or not it holds `fileupload_`;
//! - a key may stand there twice, or in another case, or with escapes;
//! - there may be a byte order mark before, or anything behind the JSON value;
//! - there may be invalid UTF-8 or half a surrogate pair in some text, or a number out of range;
//! - values may be nested deeply: what is not wanted is skipped without recursion.
//!
//! What no parser should accept (comments, single quotes, trailing commas, UTF-16, more than 4 MiB)
//! is forwarded unread.

mod awaited;
mod digest;
mod lenient;
mod message;
mod refusal;
mod topic;
mod translate;

#[cfg(test)]
mod guard;
#[cfg(test)]
mod quirks;
#[cfg(test)]
mod seed;

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;

pub use awaited::{Awaited, Expected};
pub use digest::DigestKey;
pub use refusal::Refusal;
pub use topic::{Kind, Topic};

use crate::ledger::{Direction, Effects, Event, Ledger, Method, Now, Observation, Observer, ParseFailure, Policy};
use crate::logging::RateLimit;
use message::{Envelope, repaired};

/// Payloads above this are not looked into. A list reply with hundreds of boots is some tens of KB,
/// a start with a token 2 KB.
const MAX_PAYLOAD: usize = 4 << 20;
/// Messages without a method are looked into only up to this: the samples that lack it are short.
const MAX_UNNAMED: usize = 1 << 20;

static METHOD_PREFIX: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("fileupload_"));
static ASCII_ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\\u00"));
static METHOD_KEY: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"method\""));

/// Who publishes, as far as the hook has to know.
#[derive(Debug, Clone, Copy)]
pub struct Publisher<'a> {
    /// The MQTT client identifier, or what stands for it of a client that must not be taken for another.
    pub client_id: &'a str,
    /// It is connected and publishes this now. Its will is published when it has gone, and shows nobody present.
    pub is_here: bool,
    /// May publish what the topic's gateway says: `services_reply` and `events`.
    pub may_speak_as_gateway: bool,
    /// May publish what the cloud asks of it: `services`.
    pub may_command: bool,
}

/// What is to become of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver it as it is.
    Forward,
    /// Deliver it as it is before this moment, and never after it; do not retain it. It is a start that took
    /// its slot or belongs to the upload that has it: delivered late, it would be past the guard.
    ForwardUntil(Now),
    /// Acknowledge it, do not deliver it, and publish the answer instead.
    Refuse(Box<Refusal>),
}

impl Verdict {
    /// Whether it may be delivered.
    #[must_use]
    pub fn forwards(&self) -> bool {
        !matches!(self, Verdict::Refuse(_))
    }
}

/// What came of looking into a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What is to become of it.
    pub verdict: Verdict,
    /// When it may be acknowledged and its answer may go out: once what it changed in the ledger is safe, by the mark of
    /// the ledger's [`Journal`](crate::ledger::Journal). 0 if nothing has to be waited for.
    pub mark: u64,
}

impl From<Verdict> for Inspection {
    /// It changes nothing.
    fn from(verdict: Verdict) -> Self {
        Inspection { verdict, mark: 0 }
    }
}

/// Looks into publishes and tells the ledger. Any thread may call it.
#[derive(Debug)]
pub struct Hook {
    ledger: Arc<Ledger>,
    observer: Arc<dyn Observer>,
    /// Tells retries from other starts.
    key: DigestKey,
    awaited: Arc<Awaited>,
    failures: RateLimit,
    is_off: bool,
}

impl Hook {
    /// A hook that drives `ledger` and tells `observer` what there is to count. A start is a retry if `key` says that it
    /// is the same as before: a ledger that outlives the process needs a key that does, too.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, observer: Arc<dyn Observer>, key: DigestKey) -> Self {
        let is_off = ledger.rules().policy == Policy::Off;
        Hook { ledger, observer, key, awaited: Arc::default(), failures: RateLimit::per_second(5), is_off }
    }

    /// Who waits for what docks answer.
    #[must_use]
    pub fn awaited(&self) -> &Arc<Awaited> {
        &self.awaited
    }

    /// The topic, if publishes on it have to be inspected: none has under [`Policy::Off`]. Asked for every publish.
    #[inline]
    #[must_use]
    pub fn looks_at<'a>(&self, topic: &'a str) -> Option<Topic<'a>> {
        if self.is_off { None } else { Self::concerns(topic) }
    }

    /// The topic, if the remote log upload is spoken of there.
    #[inline]
    #[must_use]
    pub fn concerns(topic: &str) -> Option<Topic<'_>> {
        Topic::read(topic)
    }

    /// Looks into a publish on a topic that concerns the hook.
    pub fn inspect(&self, publisher: &Publisher<'_>, topic: Topic<'_>, payload: &[u8], now: Now) -> Inspection {
        if !may_matter(topic.kind, payload) {
            return Verdict::Forward.into();
        }
        if payload.len() > MAX_PAYLOAD {
            return self.fail(topic, payload.len(), ParseFailure::TooLarge, now).into();
        }
        match Envelope::read(payload) {
            Ok(envelope) => self.judge(publisher, topic, &envelope, payload, now),
            Err(failure) => {
                let repaired = repaired(payload);
                let again = match (topic.kind, &repaired) {
                    // Only whether it is a start matters.
                    (Kind::Services, _) => Envelope::read_without_data(repaired.as_deref().unwrap_or(payload)).ok(),
                    (_, Some(repaired)) => Envelope::read(repaired).ok(),
                    (_, None) => None,
                };
                match again {
                    Some(envelope) => self.judge(publisher, topic, &envelope, payload, now),
                    None if METHOD_PREFIX.find(payload).is_some() => {
                        self.fail(topic, payload.len(), failure, now).into()
                    }
                    None => Verdict::Forward.into(),
                }
            }
        }
    }

    /// Lets time pass in the ledger. The ledger's [`next_deadline`](Ledger::next_deadline) says when.
    pub fn tick(&self, now: Now) {
        for observation in self.ledger.tick(now) {
            self.observer.observe(&observation);
        }
    }

    /// Frees the slots of a gateway: see [`Ledger::release`].
    pub fn release(&self, gateway: &str, id: Option<u64>, now: Now) -> Effects {
        let effects = self.ledger.release(gateway, id, now);
        effects.observations.iter().for_each(|observation| self.observer.observe(observation));
        effects
    }

    fn judge(
        &self,
        publisher: &Publisher<'_>,
        topic: Topic<'_>,
        envelope: &Envelope<'_>,
        payload: &[u8],
        now: Now,
    ) -> Inspection {
        let direction = topic.kind.direction();
        let is_start = topic.kind == Kind::Services && envelope.named.is_start;
        let method = if is_start { Some(Method::Start) } else { envelope.named.last };
        match method {
            Some(method) => self.observer.observe(&Observation::Message { method, direction }),
            None if envelope.named.is_unknown => {
                self.observer.observe(&Observation::UnknownMethod);
                return Verdict::Forward.into();
            }
            // A reply or event that names no method is ours only if its names are known.
            None if envelope.named.is_present || direction == Direction::Down => {
                return Verdict::Forward.into();
            }
            None => {}
        }
        if method.is_some() && !topic.is_plausible() {
            self.observer.observe(&Observation::BadGateway);
            return Verdict::Forward.into();
        }
        if method.is_some() && !envelope.gateway.is_empty() && *envelope.gateway != *topic.gateway {
            self.observer.observe(&Observation::GatewayMismatch);
        }
        let may = match direction {
            Direction::Down => publisher.may_command,
            Direction::Up => publisher.may_speak_as_gateway,
        };
        if !may {
            self.observer.observe(&Observation::NotAllowed { direction });
            return Verdict::Forward.into();
        }
        let event = translate::event(&self.key, topic.kind, method, publisher, envelope, payload);
        let Some(event) = event else {
            return Verdict::Forward.into();
        };
        let effects = self.tell(topic.gateway, &event, now);
        self.awaited.settle(topic.gateway, &event);
        let verdict = match (effects.refused, effects.forward_until) {
            (Some(conflict), _) => Verdict::Refuse(Box::new(Refusal::new(topic.gateway, envelope, &conflict, now))),
            (None, Some(until)) => Verdict::ForwardUntil(until),
            (None, None) => Verdict::Forward,
        };
        Inspection { verdict, mark: effects.mark }
    }

    fn tell(&self, gateway: &str, event: &Event<'_>, now: Now) -> Effects {
        let effects = self.ledger.apply(gateway, event, now);
        for observation in &effects.observations {
            tracing::debug!(gateway, ?observation, "upload");
            self.observer.observe(observation);
        }
        effects
    }

    fn fail(&self, topic: Topic<'_>, length: usize, kind: ParseFailure, now: Now) -> Verdict {
        self.observer.observe(&Observation::ParseFailure { kind });
        if let Some(suppressed) = self.failures.allow_at(now.0) {
            let gateway: String = topic.gateway.chars().take(64).collect();
            tracing::warn!(
                gateway,
                length,
                suppressed,
                failure = kind.as_str(),
                "unreadable log upload message forwarded"
            );
        }
        Verdict::Forward
    }
}

/// Whether a payload can be a message of ours: it may name one of the methods, or name none, and then
/// its tid or bid may be known. Most payloads end here.
fn may_matter(kind: Kind, payload: &[u8]) -> bool {
    if METHOD_PREFIX.find(payload).is_some() || ASCII_ESCAPE.find(payload).is_some() {
        return true;
    }
    let may_lack_method = kind != Kind::Services && payload.len() <= MAX_UNNAMED;
    may_lack_method && METHOD_KEY.find(payload).is_none()
}
