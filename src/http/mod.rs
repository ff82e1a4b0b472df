//! What people and monitors see: `/metrics`, `/healthz`, `/readyz` and the read-only API, over HTTP/1.1.
//!
//! `server` owns the thread, the sockets and their limits; `health` the readiness; `problem` how errors look; `api`
//! the ledger as JSON, `body` the bound on its answers; this file the other routes. No route changes
//! anything, none asks who is there: the listener belongs on loopback or behind a proxy.

mod api;
mod body;
mod health;
mod problem;
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

pub use self::health::{Health, Reason};
use self::problem::{Problem, quoted};
pub use self::server::HttpServer;
use crate::ledger::{Ledger, Now, State};
use crate::metrics::Metrics;

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
}

impl std::fmt::Debug for HttpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpState")
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// Serves on `listener` from a thread of its own until the returned server is stopped or dropped.
///
/// # Errors
/// When the listener, the thread or its runtime cannot be set up.
pub fn spawn(listener: TcpListener, state: HttpState) -> io::Result<HttpServer> {
    server::spawn(listener, router(state))
}

const INDEX: &str = "\
dockgate

GET /healthz                   200 while the process lives
GET /readyz                    200 when ready for clients, else 503 and why
GET /metrics                   Prometheus text format
GET /api/v1/uploads            ?state=running|ended|all &gateway=SN &limit=1..1000 &before=NEXT
GET /api/v1/gateways           ?limit=1..1000 &after=NEXT
GET /api/v1/gateways/{sn}      one gateway with its history and its listed files
";

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(api::routes(state.clone()))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::map_response(guard))
        .with_state(state)
}

async fn readyz(extract::State(state): extract::State<HttpState>) -> (StatusCode, String) {
    let reasons = state.health.reasons();
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".into());
    }
    let text = reasons
        .iter()
        .map(|(reason, text)| format!("{}: {text}\n", reason.as_str()))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn metrics(extract::State(state): extract::State<HttpState>) -> Result<Response, Problem> {
    let (pending, active, cancelling) = state.ledger.active();
    state.metrics.set_uploads_running(State::Pending, pending);
    state.metrics.set_uploads_running(State::Active, active);
    state
        .metrics
        .set_uploads_running(State::Cancelling, cancelling);
    state.metrics.set_gateways(state.ledger.held().0);
    let text = state.metrics.text();
    let text = text
        .map_err(|error| Problem::internal(format!("the metrics cannot be gathered: {error}")))?;
    let kind = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    Ok(([kind], text).into_response())
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!(
        "there is no {}; GET / lists what there is",
        quoted(uri.path())
    ))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem {
        status: StatusCode::METHOD_NOT_ALLOWED,
        detail: format!(
            "{} does not take {}; use GET",
            quoted(uri.path()),
            quoted(method.as_str())
        ),
    }
}

/// Every answer is a snapshot, and is what its content type says.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
