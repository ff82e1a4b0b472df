//! `/api/v1`: the ledger as JSON, and what an operator may have docks do.
//!
//! Reading the whole ledger may take tens of milliseconds, so it happens beside the thread that answers `/healthz`, and
//! no answer is larger than [`MAX_BODY`]: `next` says where to go on. `query` reads parameters, `overview`, `gateways` and
//! `uploads` are what can be read, `events` the same as it changes, `commands` what can be done.
//!
//! Each handler carries its own description, and the routes are made from those: what `/api/openapi.json` does not
//! describe is not there.

mod commands;
mod events;
mod gateways;
mod overview;
mod query;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa::{Modify, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::HttpState;
use super::body::Answers;
use super::problem::Problem;
use super::sampler::Sampler;
use crate::ledger::codes::{self, Code};
use crate::ledger::{Ledger, Now};

/// Where a listing stops, whatever its limit: an upload that was retried often takes up to 20 KB.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// A request names at most a thousand logs.
const MAX_REQUEST: usize = 64 * 1024;
/// People who look at the page at one time.
const MAX_STREAMS: usize = 64;

/// What the routes of the API share.
#[derive(Clone)]
struct Api {
    state: HttpState,
    answers: Answers,
    sampler: Arc<Sampler>,
    streams: Arc<Semaphore>,
}

/// The routes of the API, with its description.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(state: HttpState, sampler: Arc<Sampler>) -> Router<S> {
    let streams = Arc::new(Semaphore::new(MAX_STREAMS));
    let api = Api { state, answers: Answers::new(), sampler, streams };
    let (router, description) = described().split_for_parts();
    let description = description.to_json().expect("a description is made of texts, numbers and lists");
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    router
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(api)
        .route("/api/openapi.json", get(async move || (json, description)))
}

fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(about())
        .routes(routes!(overview::overview))
        .routes(routes!(gateways::gateways))
        .routes(routes!(gateways::gateway))
        .routes(routes!(uploads::uploads))
        .routes(routes!(uploads::upload))
        .routes(routes!(all_codes))
        .routes(routes!(events::events))
        .routes(routes!(commands::log_list))
        .routes(routes!(commands::start))
        .routes(routes!(commands::cancel))
        .routes(routes!(commands::release))
}

fn about() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("dockgate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Log uploads of DJI docks: what is going on, and what can be done about it. Ages (…_ms) are milliseconds at the \
             time of the answer. Errors are problem documents (RFC 9457).",
        ))
        .license(Some(license))
        .build();
    let mut about = OpenApiBuilder::new().info(info).build();
    Token.modify(&mut about);
    about
}

/// The token of `http.token_file`.
struct Token;

impl Modify for Token {
    fn modify(&self, about: &mut OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of http.token_file, where there is one."))
            .build();
        about.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
        about.security = Some(vec![
            utoipa::openapi::security::SecurityRequirement::new("token", [""; 0]),
            utoipa::openapi::security::SecurityRequirement::default(),
        ]);
    }
}

/// Every published result code.
#[derive(Serialize, ToSchema)]
struct Codes {
    /// In ascending order.
    codes: &'static [Code],
}

/// Every result code that DJI has published, and what it means.
#[utoipa::path(get, path = "/api/v1/codes", responses((status = 200, description = "The codes.", body = Codes)))]
async fn all_codes() -> axum::Json<Codes> {
    axum::Json(Codes { codes: codes::all() })
}

const PLAIN: &str = "views are structs of texts, numbers and lists, and those always make JSON";

fn json(view: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(view).expect(PLAIN)
}

/// Reads the ledger where it may take its time.
async fn read(
    api: Api,
    view: impl FnOnce(&Api, &Ledger, Now) -> Result<Vec<u8>, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let room = api.answers.room().await?;
    let (ledger, now): (Arc<Ledger>, Now) = (api.state.ledger.clone(), (api.state.clock)());
    // The room goes with the reader: a client that leaves does not make room for another reader at once.
    match tokio::task::spawn_blocking(move || (view(&api, &ledger, now), room)).await {
        Ok((json, room)) => Ok(Answers::json(json?, room)),
        Err(error) => Err(Problem::internal(format!("the ledger could not be read: {error}"))),
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

/// What a handler takes to get at it.
type Shared = State<Api>;
