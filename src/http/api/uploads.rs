//! Uploads, running and ended.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use utoipa::ToSchema;

use super::query::{Pairs, Parameters};
use super::{Shared, json, listing, read};
use crate::http::problem::{Document, Problem, quoted};
use crate::ledger::{Ledger, Now, Outcome, UploadView, Wanted};

/// How many uploads are listed unless the client says otherwise.
const UPLOADS_LIMIT: usize = 100;

/// A list of uploads, as [`listing`] writes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes an answer that is written piece by piece")]
pub(super) struct UploadList {
    /// The last started first.
    uploads: Vec<UploadView>,
    /// How many there are from here on.
    matching: usize,
    /// `before` of the next page; null if there is none.
    next: Option<u64>,
}

/// Uploads, the last started first.
#[utoipa::path(
    get,
    path = "/api/v1/uploads",
    params(
        ("state" = Option<String>, Query, description = "running, ended or all (default)"),
        ("gateway" = Option<String>, Query, description = "only of the gateway with this serial number"),
        ("outcome" = Option<String>, Query, description = "only those that ended so: one outcome or more, with commas"),
        ("code" = Option<i64>, Query, description = "only those that ended, or stand at present, with this result code"),
        ("limit" = Option<u64>, Query, description = "1 to 1000, 100 if not given"),
        ("before" = Option<u64>, Query, description = "next of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The uploads.", body = UploadList),
        (status = 400, description = "A parameter is wrong.", body = Document),
    ),
)]
pub(super) async fn uploads(State(api): Shared, pairs: Pairs) -> Result<Response, Problem> {
    let wanted = UploadsWanted::read(pairs)?;
    read(api, move |_, ledger, now| Ok(wanted.list(ledger, now))).await
}

/// One upload.
#[utoipa::path(
    get,
    path = "/api/v1/uploads/{id}",
    params(("id" = u64, Path, description = "its number")),
    responses(
        (status = 200, description = "The upload.", body = UploadView),
        (status = 404, description = "No upload with this number is remembered.", body = Document),
    ),
)]
pub(super) async fn upload(
    State(api): Shared,
    id: Result<Path<u64>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|error| Problem::bad_request(format!("the number of the upload: {error}")))?;
    Parameters::read(pairs, "GET /api/v1/uploads/{id}", &[])?;
    read(api, move |_, ledger, now| match ledger.upload(id, now) {
        Some(view) => Ok(json(&view)),
        None => {
            Err(Problem::not_found(format!("no upload {id} is remembered; GET /api/v1/uploads lists those that are")))
        }
    })
    .await
}

/// Which uploads to list.
#[derive(Debug)]
struct UploadsWanted {
    running: bool,
    ended: bool,
    gateway: Option<String>,
    outcomes: Vec<Outcome>,
    code: Option<i64>,
    before: u64,
    limit: usize,
}

impl UploadsWanted {
    fn read(pairs: Pairs) -> Result<Self, Problem> {
        let known = ["state", "gateway", "outcome", "code", "limit", "before"];
        let mut parameters = Parameters::read(pairs, "GET /api/v1/uploads", &known)?;
        let (running, ended) = match parameters.take("state").as_deref() {
            None | Some("all") => (true, true),
            Some("running") => (true, false),
            Some("ended") => (false, true),
            Some(other) => {
                return Err(Problem::bad_request(format!("state is {}; use running, ended or all", quoted(other))));
            }
        };
        let outcomes =
            parameters.take("outcome").map_or(Ok(Vec::new()), |words| words.split(',').map(outcome).collect());
        let code = parameters.take("code").map(|code| {
            let wrong = || Problem::bad_request(format!("code is {}; use a number such as 324019", quoted(&code)));
            code.parse().map_err(|_| wrong())
        });
        let before = match parameters.take("before") {
            None => u64::MAX,
            Some(id) => id.parse().map_err(|_| {
                Problem::bad_request(format!("before is {}; use the next of an earlier answer", quoted(&id)))
            })?,
        };
        let gateway = parameters.serial("gateway")?;
        let limit = parameters.limit(UPLOADS_LIMIT)?;
        Ok(Self { running, ended, gateway, outcomes: outcomes?, code: code.transpose()?, before, limit })
    }

    fn list(&self, ledger: &Ledger, now: Now) -> Vec<u8> {
        let wanted = Wanted {
            running: self.running,
            ended: self.ended,
            gateway: self.gateway.as_deref(),
            outcomes: &self.outcomes,
            code: self.code,
            before: self.before,
            limit: self.limit,
        };
        let found = ledger.uploads(&wanted, now);
        listing("uploads", &found.uploads, found.matching, |upload: &UploadView| upload.id)
    }
}

fn outcome(word: &str) -> Result<Outcome, Problem> {
    Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or_else(|| {
        let all: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        Problem::bad_request(format!("outcome has {}; use {}", quoted(word), all.join(", ")))
    })
}
