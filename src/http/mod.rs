//! What people and monitors see: `/metrics`, `/healthz`, `/readyz`, the API and the page, over HTTP/1.1.
//!
//! `server` owns the thread, the sockets and their limits; `guard` who may come in; `health` the readiness; `problem` how
//! errors look; `api` the ledger as JSON and what docks can be asked for, `body` the bound on its answers, `sampler` the
//! rates in it; `page` the page, which shows and does nothing that the API cannot; this file the other routes.

mod api;
mod body;
mod guard;
mod health;
mod page;
mod problem;
mod sampler;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, extract, middleware};

pub use self::guard::Guard;
pub(crate) use self::guard::read_token;
pub use self::health::{Health, Reason};
use self::problem::{Problem, quoted};
use self::sampler::Sampler;
pub use self::server::HttpServer;
use crate::ledger::{Ledger, Now, State};
use crate::metrics::Metrics;
use crate::retrieval::Retrieval;

/// The time that the ledger's ages are measured at.
pub type LedgerClock = Arc<dyn Fn() -> Now + Send + Sync>;

/// What the routes read.
#[derive(Clone)]
pub struct HttpState {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For the API, and for the metrics that are read off it.
    pub ledger: Arc<Ledger>,
    /// For `/readyz`.
    pub health: Arc<Health>,
    /// The clock that the ledger is told the time from.
    pub clock: LedgerClock,
    /// When the broker started.
    pub started: Now,
    /// For what docks can be asked for, and which of them are connected.
    pub retrieval: Arc<Retrieval>,
    /// Who may come in.
    pub guard: Arc<Guard>,
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState").field("health", &self.health).finish_non_exhaustive()
    }
}

/// Serves on `listener` from a thread of its own until the returned server is stopped or dropped.
///
/// # Errors
/// When the listener, the thread or its runtime cannot be set up.
pub fn spawn(listener: TcpListener, state: HttpState) -> io::Result<HttpServer> {
    let sampler = Arc::new(Sampler::new(state.metrics.clone(), state.clock.clone()));
    server::spawn(listener, router(state, sampler.clone()), sampler.run())
}

fn router(state: HttpState, sampler: Arc<Sampler>) -> Router {
    let guard = (state.guard.clone(), state.metrics.clone());
    Router::new()
        .route("/", get(page::page))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(api::routes(state.clone(), sampler))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(guard, guard::admit))
        .layer(middleware::map_response(seal))
        .with_state(state)
}

async fn readyz(extract::State(state): extract::State<HttpState>) -> (StatusCode, String) {
    let reasons = state.health.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".into());
    }
    let text = reasons.iter().map(|(reason, text)| format!("{}: {text}\n", reason.as_str())).collect();
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn metrics(extract::State(state): extract::State<HttpState>) -> Result<Response, Problem> {
    let (pending, active, cancelling) = state.ledger.active();
    state.metrics.set_uploads_running(State::Pending, pending);
    state.metrics.set_uploads_running(State::Active, active);
    state.metrics.set_uploads_running(State::Cancelling, cancelling);
    state.metrics.set_gateways(state.ledger.held().0);
    let text = state.metrics.text();
    let text = text.map_err(|error| Problem::internal(format!("the metrics cannot be gathered: {error}")))?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(([kind], text).into_response())
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no {}; GET /api/openapi.json describes what there is", quoted(uri.path())))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{} does not take {}; the answer's Allow says what it takes",
        quoted(uri.path()),
        quoted(method.as_str())
    );
    Problem::of(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Every answer is a snapshot, and is what its content type says.
async fn seal(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
