//! What an operator may have a dock do.

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Shared, json};
use crate::cloud_api::Module;
use crate::http::body::Answers;
use crate::http::problem::{Document, Problem, quoted};
use crate::http::server::Life;
use crate::ledger::{ListedView, UploadView};
use crate::retrieval::{Answered, Refused, Wanted};

/// Logs of one module in one upload.
const MOST_BOOTS: usize = 1_000;
/// Serial numbers have 14 or 20 characters.
const LONGEST_SERIAL: usize = 64;

type Serial = Result<Path<String>, PathRejection>;
type Asked<T> = Result<Json<T>, JsonRejection>;
/// The connection, which must last until the dock has answered.
type Connection = Option<Extension<Life>>;

/// Whose logs: `"0"` the aircraft's, `"3"` the dock's; both, if nothing is said.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Modules {
    /// `"0"`, `"3"` or both.
    #[serde(default)]
    modules: Option<Vec<String>>,
}

/// What a dock is to upload.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// One entry a module.
    files: Vec<StartFile>,
}

/// Logs of one module.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartFile {
    /// `"0"` or `"3"`.
    module: String,
    /// The boot indexes of the logs, as they are listed.
    boots: Vec<u32>,
}

/// Which upload to release.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// Its number; all that run on the gateway, if nothing is said.
    #[serde(default)]
    id: Option<u64>,
}

/// A dock's lists of logs.
#[derive(Debug, Serialize, ToSchema)]
struct LogList {
    /// The serial number.
    gateway: String,
    /// The transaction.
    tid: String,
    /// The business.
    bid: String,
    /// Always 0: anything else is an error.
    result: i64,
    /// One entry a module that the dock has answered for, with its files.
    listed: Vec<ListedView>,
}

/// An upload that a dock has accepted.
#[derive(Debug, Serialize, ToSchema)]
struct Started {
    /// Its number; null if it has ended already.
    id: Option<u64>,
    /// The serial number.
    gateway: String,
    /// The transaction.
    tid: String,
    /// The business.
    bid: String,
    /// Always 0: anything else is an error.
    result: i64,
    /// Where the archives go.
    keys: Vec<Key>,
}

/// Where one module's archive goes.
#[derive(Debug, Serialize, ToSchema)]
struct Key {
    /// `"0"` or `"3"`.
    module: &'static str,
    /// The key of the object in the bucket.
    object_key: String,
}

/// A cancel that a dock has accepted.
#[derive(Debug, Serialize, ToSchema)]
struct Canceled {
    /// The serial number.
    gateway: String,
    /// The transaction.
    tid: String,
    /// The business.
    bid: String,
    /// Always 0: anything else is an error.
    result: i64,
}

/// Uploads that have been released.
#[derive(Debug, Serialize, ToSchema)]
struct Released {
    /// As they have ended.
    released: Vec<UploadView>,
}

/// Asks a dock which logs it has.
#[utoipa::path(
    post,
    path = "/api/v1/gateways/{sn}/log-list",
    params(("sn" = String, Path, description = "the serial number of the dock")),
    request_body = Modules,
    responses(
        (status = 200, description = "The dock's lists.", body = LogList),
        (status = 400, description = "The request is wrong.", body = Document),
        (status = 502, description = "The dock answered with another code than 0.", body = Document),
        (status = 503, description = "The dock is not connected.", body = Document),
        (status = 504, description = "The dock did not answer in time.", body = Document),
    ),
)]
pub(super) async fn log_list(
    State(api): Shared,
    life: Connection,
    sn: Serial,
    asked: Asked<Modules>,
) -> Result<Response, Problem> {
    let (gateway, modules) = (serial(sn)?, modules(body(asked)?)?);
    let _command = life.map(|Extension(life)| life.command());
    let (Answered { tid, bid }, listed) = api.state.retrieval.list(&gateway, &modules).await?;
    // It may name tens of thousands of logs.
    let room = api.answers.room().await?;
    Ok(Answers::json(json(&LogList { gateway, tid, bid, result: 0, listed }), room))
}

/// Has a dock upload logs to the object store of the settings.
#[utoipa::path(
    post,
    path = "/api/v1/gateways/{sn}/uploads",
    params(("sn" = String, Path, description = "the serial number of the dock")),
    request_body = Start,
    responses(
        (status = 202, description = "The dock has accepted.", body = Started,
            headers(("Location" = String, description = "the upload"))),
        (status = 400, description = "The request is wrong.", body = Document),
        (status = 409, description = "Another upload has the slot, or no object store is configured.", body = Document),
        (status = 502, description = "The dock answered with another code than 0, or the object store gave no \
            credentials.", body = Document),
        (status = 503, description = "The dock is not connected.", body = Document),
        (status = 504, description = "The dock did not answer in time.", body = Document),
    ),
)]
pub(super) async fn start(
    State(api): Shared,
    life: Connection,
    sn: Serial,
    asked: Asked<Start>,
) -> Result<Response, Problem> {
    let (gateway, wanted) = (serial(sn)?, wanted(body(asked)?)?);
    let _command = life.map(|Extension(life)| life.command());
    let begun = api.state.retrieval.start(&gateway, &wanted).await?;
    let Answered { tid, bid } = begun.answered;
    let keys = begun.keys.into_iter().map(|(module, object_key)| Key { module: word(module), object_key }).collect();
    let location = begun.id.map(|id| [(header::LOCATION, format!("/api/v1/uploads/{id}"))]);
    let started = Json(Started { id: begun.id, gateway, tid, bid, result: 0, keys });
    Ok((StatusCode::ACCEPTED, location.map(axum::response::AppendHeaders), started).into_response())
}

/// Has a dock cancel what it uploads.
#[utoipa::path(
    post,
    path = "/api/v1/gateways/{sn}/uploads/cancel",
    params(("sn" = String, Path, description = "the serial number of the dock")),
    request_body = Modules,
    responses(
        (status = 200, description = "The dock has accepted; the upload ends when the dock says so.", body = Canceled),
        (status = 400, description = "The request is wrong.", body = Document),
        (status = 502, description = "The dock answered with another code than 0.", body = Document),
        (status = 503, description = "The dock is not connected.", body = Document),
        (status = 504, description = "The dock did not answer in time.", body = Document),
    ),
)]
pub(super) async fn cancel(
    State(api): Shared,
    life: Connection,
    sn: Serial,
    asked: Asked<Modules>,
) -> Result<Response, Problem> {
    let (gateway, modules) = (serial(sn)?, modules(body(asked)?)?);
    let _command = life.map(|Extension(life)| life.command());
    let Answered { tid, bid } = api.state.retrieval.cancel(&gateway, &modules).await?;
    Ok(Json(Canceled { gateway, tid, bid, result: 0 }).into_response())
}

/// Frees a slot that is stuck. The dock is told nothing; if it goes on, the upload takes its slot again.
#[utoipa::path(
    post,
    path = "/api/v1/gateways/{sn}/uploads/release",
    params(("sn" = String, Path, description = "the serial number of the dock")),
    request_body = Release,
    responses(
        (status = 200, description = "The uploads that had the slot.", body = Released),
        (status = 400, description = "The request is wrong.", body = Document),
        (status = 404, description = "No such upload is running.", body = Document),
    ),
)]
pub(super) async fn release(State(api): Shared, sn: Serial, asked: Asked<Release>) -> Result<Response, Problem> {
    let (gateway, Release { id }) = (serial(sn)?, body(asked)?);
    let released = api.state.retrieval.release(&gateway, id).await;
    if released.is_empty() {
        let what = id.map_or_else(|| "no upload".to_owned(), |id| format!("no upload {id}"));
        return Err(Problem::not_found(format!("{what} is running on {}", quoted(&gateway))));
    }
    Ok(Json(Released { released }).into_response())
}

fn body<T>(asked: Asked<T>) -> Result<T, Problem> {
    asked
        .map(|Json(asked)| asked)
        .map_err(|error| Problem::of(error.status(), format!("the body: {}", error.body_text())))
}

/// A serial number that can be a level of a topic.
fn serial(sn: Serial) -> Result<String, Problem> {
    let Path(sn) = sn.map_err(|error| Problem::bad_request(format!("the serial number: {error}")))?;
    let is_name = !sn.is_empty() && sn.len() <= LONGEST_SERIAL && sn.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_name {
        return Ok(sn);
    }
    Err(Problem::bad_request(format!(
        "{} is no serial number; those of gateways have letters and digits, {LONGEST_SERIAL} at most",
        quoted(&sn)
    )))
}

fn module(text: &str) -> Result<Module, Problem> {
    match text {
        "0" => Ok(Module::Aircraft),
        "3" => Ok(Module::Dock),
        other => Err(Problem::bad_request(format!(
            "module is {}; use \"0\" for the aircraft's logs and \"3\" for the dock's",
            quoted(other)
        ))),
    }
}

fn word(module: Module) -> &'static str {
    module.as_str()
}

fn modules(asked: Modules) -> Result<Vec<Module>, Problem> {
    let named = asked.modules.unwrap_or_else(|| vec!["0".to_owned(), "3".to_owned()]);
    let modules: Vec<_> = named.iter().map(|text| module(text)).collect::<Result<_, _>>()?;
    only_once(&modules)?;
    Ok(modules)
}

fn only_once(modules: &[Module]) -> Result<(), Problem> {
    match modules {
        [] => Err(Problem::bad_request("no module is named; use \"0\", \"3\" or both")),
        [first, rest @ ..] if rest.contains(first) || rest.len() > 1 => {
            Err(Problem::bad_request("a module is named twice; name each once"))
        }
        _ => Ok(()),
    }
}

fn wanted(start: Start) -> Result<Vec<Wanted>, Problem> {
    let files = start.files.into_iter().map(|file| Ok(Wanted { module: module(&file.module)?, boots: file.boots }));
    let wanted: Vec<Wanted> = files.collect::<Result<_, Problem>>()?;
    only_once(&wanted.iter().map(|wanted| wanted.module).collect::<Vec<_>>())?;
    for Wanted { module, boots } in &wanted {
        let is_distinct = boots.iter().collect::<std::collections::HashSet<_>>().len() == boots.len();
        if boots.is_empty() || boots.len() > MOST_BOOTS || !is_distinct {
            return Err(Problem::bad_request(format!(
                "files has {} boots for module {:?}; name 1 to {MOST_BOOTS}, each once",
                boots.len(),
                word(*module)
            )));
        }
    }
    Ok(wanted)
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::NotConnected { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Refused::Busy { .. } | Refused::NoStore | Refused::Off => StatusCode::CONFLICT,
            Refused::Dock { .. } | Refused::Store(_) => StatusCode::BAD_GATEWAY,
            Refused::Silent { .. } => StatusCode::GATEWAY_TIMEOUT,
            Refused::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut problem = Problem::of(status, refused.to_string());
        (problem.code, problem.upload) = match refused {
            Refused::Busy { code, upload, .. } => (Some(code), upload),
            Refused::Dock { code } => (Some(code), None),
            _ => (None, None),
        };
        problem
    }
}
