//! `/api/v1`: the ledger as JSON, read only.
//!
//! Reading the whole ledger may take tens of milliseconds, so it happens beside the thread that answers `/healthz`, and
//! no answer is larger than [`MAX_BODY`]: `next` says where to go on.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::HttpState;
use super::body::Answers;
use super::problem::{Problem, quoted};
use crate::ledger::{GatewayView, Ledger, Now, UploadView, Wanted};

/// The most that one answer may list.
const MAX_LIMIT: usize = 1000;
/// How many uploads are listed unless the client says otherwise.
const UPLOADS_LIMIT: usize = 100;
/// Where a listing stops, whatever its limit: an upload that was retried often takes up to 20 KB.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// What the routes of the API share.
#[derive(Debug, Clone)]
struct Api {
    state: HttpState,
    answers: Answers,
}

pub(super) fn routes<S>(state: HttpState) -> Router<S> {
    Router::new()
        .route("/api/v1/uploads", get(uploads))
        .route("/api/v1/gateways", get(gateways))
        .route("/api/v1/gateways/{sn}", get(gateway))
        .with_state(Api { state, answers: Answers::new() })
}

type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

async fn uploads(State(api): State<Api>, pairs: Pairs) -> Result<Response, Problem> {
    let wanted = UploadsWanted::read(pairs)?;
    read(api, move |ledger, now| Ok(wanted.list(ledger, now))).await
}

async fn gateways(State(api): State<Api>, pairs: Pairs) -> Result<Response, Problem> {
    let wanted = GatewaysWanted::read(pairs)?;
    read(api, move |ledger, now| Ok(wanted.list(ledger, now))).await
}

async fn gateway(
    State(api): State<Api>,
    sn: Result<Path<String>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let Path(sn) = sn.map_err(|error| Problem::bad_request(format!("the serial number: {error}")))?;
    Parameters::read(pairs, "GET /api/v1/gateways/{sn}", &[])?;
    read(api, move |ledger, now| match ledger.gateway(&sn, now) {
        Some(view) => Ok(serde_json::to_vec(&view).expect(PLAIN)),
        None => Err(Problem::not_found(format!(
            "no gateway {} is known; GET /api/v1/gateways lists those that are",
            quoted(&sn)
        ))),
    })
    .await
}

const PLAIN: &str = "views are structs of texts, numbers and lists, and those always make JSON";

/// Reads the ledger where it may take its time.
async fn read(
    api: Api,
    view: impl FnOnce(&Ledger, Now) -> Result<Vec<u8>, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let room = api.answers.room().await?;
    let (ledger, now): (Arc<Ledger>, Now) = (api.state.ledger, (api.state.clock)());
    // The room goes with the reader: a client that leaves does not make room for another reader at once.
    match tokio::task::spawn_blocking(move || (view(&ledger, now), room)).await {
        Ok((json, room)) => Ok(Answers::json(json?, room)),
        Err(error) => Err(Problem::internal(format!("the ledger could not be read: {error}"))),
    }
}

/// Which uploads to list.
#[derive(Debug)]
struct UploadsWanted {
    running: bool,
    ended: bool,
    gateway: Option<String>,
    before: u64,
    limit: usize,
}

impl UploadsWanted {
    fn read(pairs: Pairs) -> Result<Self, Problem> {
        let mut parameters = Parameters::read(pairs, "GET /api/v1/uploads", &["state", "gateway", "limit", "before"])?;
        let (running, ended) = match parameters.take("state").as_deref() {
            None | Some("all") => (true, true),
            Some("running") => (true, false),
            Some("ended") => (false, true),
            Some(other) => {
                return Err(Problem::bad_request(format!("state is {}; use running, ended or all", quoted(other))));
            }
        };
        let before = match parameters.take("before") {
            None => u64::MAX,
            Some(id) => id.parse().map_err(|_| {
                Problem::bad_request(format!("before is {}; use the next of an earlier answer", quoted(&id)))
            })?,
        };
        let gateway = parameters.serial("gateway")?;
        Ok(Self { running, ended, gateway, before, limit: parameters.limit(UPLOADS_LIMIT)? })
    }

    fn list(&self, ledger: &Ledger, now: Now) -> Vec<u8> {
        let wanted = Wanted {
            running: self.running,
            ended: self.ended,
            gateway: self.gateway.as_deref(),
            before: self.before,
            limit: self.limit,
        };
        let found = ledger.uploads(&wanted, now);
        listing("uploads", &found.uploads, found.matching, |upload: &UploadView| upload.id)
    }
}

/// Which gateways to list.
#[derive(Debug)]
struct GatewaysWanted {
    after: Option<String>,
    limit: usize,
}

impl GatewaysWanted {
    fn read(pairs: Pairs) -> Result<Self, Problem> {
        let mut parameters = Parameters::read(pairs, "GET /api/v1/gateways", &["limit", "after"])?;
        Ok(Self { after: parameters.serial("after")?, limit: parameters.limit(MAX_LIMIT)? })
    }

    fn list(&self, ledger: &Ledger, now: Now) -> Vec<u8> {
        let mut gateways = ledger.gateways(now);
        if let Some(after) = &self.after {
            gateways.retain(|gateway| gateway.gateway > *after);
        }
        let matching = gateways.len();
        gateways.truncate(self.limit);
        listing("gateways", &gateways, matching, |gateway: &GatewayView| gateway.gateway.clone())
    }
}

/// `{"<name>": [...], "matching": n, "next": ...}`: `matching` counts what was asked for from here on, `next` is the key
/// of the last view listed, or null if there are no more.
fn listing<V: Serialize, K: Serialize>(name: &str, views: &[V], matching: usize, key: impl Fn(&V) -> K) -> Vec<u8> {
    let mut body = format!("{{\"{name}\":[").into_bytes();
    let mut listed = 0;
    for view in views {
        if body.len() > MAX_BODY {
            break;
        }
        if listed > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, view).expect(PLAIN);
        listed += 1;
    }
    let last = views[..listed].last().filter(|_| listed < matching);
    let next = serde_json::to_string(&last.map(key)).expect(PLAIN);
    body.extend_from_slice(format!("],\"matching\":{matching},\"next\":{next}}}").as_bytes());
    body
}

/// The parameters of a query, each of a known name and there once.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(pairs: Pairs, route: &str, known: &[&str]) -> Result<Self, Problem> {
        let Query(pairs) = pairs.map_err(|error| Problem::bad_request(format!("the query: {error}")))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let takes = if known.is_empty() { "no parameters".to_owned() } else { known.join(", ") };
                return Err(Problem::bad_request(format!("unknown parameter {}; {route} takes {takes}", quoted(name))));
            }
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::bad_request(format!("{name} is there twice; give it once")));
            }
        }
        Ok(Self(pairs))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn limit(&mut self, default: usize) -> Result<usize, Problem> {
        let Some(limit) = self.take("limit") else {
            return Ok(default);
        };
        limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
            Problem::bad_request(format!("limit is {}; use a whole number from 1 to {MAX_LIMIT}", quoted(&limit)))
        })
    }

    fn serial(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            Some(serial) if serial.is_empty() => {
                Err(Problem::bad_request(format!("{name} is empty; name a serial number or leave it out")))
            }
            serial => Ok(serial),
        }
    }
}
