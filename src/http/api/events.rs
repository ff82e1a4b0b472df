//! What can be read, as it changes: server-sent events.
//!
//! The ledger and the edge say which gateway has changed ([`Feed`](crate::feed::Feed)); a stream gathers those names for a
//! moment and then sends each gateway as it is by then. So a dock that reports ten times a second costs a reader four
//! events, and what a slow reader can hold up is a set of names, not their history.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::query::{Pairs, Parameters};
use super::{Api, MAX_STREAMS, PLAIN, Shared};
use crate::feed::{Change, Missing, Watch};
use crate::http::problem::{Document, Problem};
use crate::http::server::Life;
use crate::secret::Secret;

/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(250);
/// Comments keep proxies from closing a stream on which nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Uploads that end within [`GATHER`] and are told one by one; if there are more, the reader has to fetch anew.
const MOST_ENDED: usize = 4_096;

/// The overview, gateways and ended uploads, as they change.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    params(("gateway" = Option<String>, Query, description = "only of the gateway with this serial number")),
    responses(
        (
            status = 200,
            description = "Server-sent events: `overview` (Overview, at once and every five seconds), `gateway` (Gateway, \
                when something about it has changed), `ended` (UploadView, when an upload has ended), `resync` (the reader \
                was too slow, and should fetch everything anew).",
            content_type = "text/event-stream",
            body = String,
        ),
        (status = 503, description = "Too many streams.", body = Document),
    ),
)]
pub(super) async fn events(
    State(api): Shared,
    life: Option<Extension<Life>>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let only = Parameters::read(pairs, "GET /api/v1/events", &["gateway"])?.serial("gateway")?;
    let Ok(place) = api.streams.clone().try_acquire_owned() else {
        let detail = format!("{MAX_STREAMS} streams are open; close one, or ask again later");
        return Err(Problem::of(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    if let Some(Extension(life)) = life {
        life.streams();
    }
    let events = Events {
        watch: api.state.ledger.feed().watch(),
        taken: api.sampler.taken(),
        token: api.state.guard.token(),
        api,
        only,
        changed: HashSet::default(),
        ended: Vec::new(),
        due: None,
        ready: VecDeque::from([Item::Overview]),
        _place: place,
    };
    let events = stream::unfold(events, |mut events| async { Some((events.next().await?, events)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// What is sent next. It is read when its turn comes, and so is as new as it can be.
enum Item {
    Overview,
    Gateway(Arc<str>),
    Ended(Arc<str>, u64),
    Resync,
}

/// The events of one reader.
struct Events {
    watch: Watch,
    taken: watch::Receiver<()>,
    /// By which the reader came in.
    token: Option<Arc<Secret>>,
    api: Api,
    only: Option<String>,
    /// Gateways that have changed since they were sent.
    changed: HashSet<Arc<str>, ahash::RandomState>,
    /// Uploads that have ended since.
    ended: Vec<(Arc<str>, u64)>,
    /// When they are sent.
    due: Option<Instant>,
    ready: VecDeque<Item>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    async fn next(&mut self) -> Option<Result<Event, Infallible>> {
        loop {
            while let Some(item) = self.ready.pop_front() {
                if let Some(event) = self.event(item).await {
                    return Some(Ok(event));
                }
            }
            let due = self.due.unwrap_or_else(Instant::now);
            tokio::select! {
                change = self.watch.next() => match change {
                    Ok(change) => self.note(change),
                    Err(Missing::Behind) => self.start_anew(),
                    Err(Missing::Over) => return None,
                },
                changed = self.taken.changed() => match changed {
                    // There is a new token, and whoever has it comes again.
                    Ok(()) if self.api.state.guard.token() != self.token => return None,
                    Ok(()) => self.ready.push_back(Item::Overview),
                    Err(_) => return None,
                },
                () = sleep_until(due), if self.due.is_some() => self.send_changes(),
            }
        }
    }

    fn note(&mut self, change: Change) {
        let (Change::Gateway(gateway) | Change::Ended(gateway, _)) = &change;
        if self.only.as_ref().is_some_and(|only| **only != **gateway) {
            return;
        }
        match change {
            Change::Gateway(gateway) => drop(self.changed.insert(gateway)),
            Change::Ended(gateway, place) => self.ended.push((gateway, place)),
        }
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
        if self.ended.len() > MOST_ENDED {
            self.start_anew();
        }
    }

    fn send_changes(&mut self) {
        self.due = None;
        self.ready.extend(self.changed.drain().map(Item::Gateway));
        self.ready.extend(self.ended.drain(..).map(|(gateway, place)| Item::Ended(gateway, place)));
    }

    fn start_anew(&mut self) {
        (self.changed, self.ended, self.due) = (HashSet::default(), Vec::new(), None);
        self.ready.push_back(Item::Resync);
    }

    /// None if it is forgotten meanwhile.
    async fn event(&self, item: Item) -> Option<Event> {
        let now = (self.api.state.clock)();
        match item {
            Item::Overview => {
                // It goes through all gateways, and other requests wait for this thread.
                let api = self.api.clone();
                let overview = tokio::task::spawn_blocking(move || text(&api.overview(now))).await.ok()?;
                Some(Event::default().event("overview").data(overview))
            }
            Item::Gateway(gateway) => {
                let gateway = self.api.gateway_in_short(&gateway, now);
                Some(Event::default().event("gateway").data(text(&gateway)))
            }
            Item::Ended(gateway, place) => {
                let upload = self.api.state.ledger.ended_at(&gateway, place, now)?;
                Some(Event::default().event("ended").data(text(&upload)))
            }
            Item::Resync => Some(Event::default().event("resync").data("{}")),
        }
    }
}

fn text(view: &impl Serialize) -> String {
    serde_json::to_string(view).expect(PLAIN)
}
