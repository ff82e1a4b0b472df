//! What people and monitors see: `/metrics`, `/healthz`, `/readyz` and the read-only API, over HTTP/1.1.
//!
//! `server` owns the thread, the sockets and their limits; `health` the readiness; `problem` how errors look; this file
//! the routes. No route changes anything, none asks who is there: the listener belongs on loopback or behind a proxy.

mod health;
mod problem;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};

pub use self::health::{Health, Reason};
use self::problem::{Problem, quoted};
pub use self::server::HttpServer;
use crate::metrics::Metrics;

/// What the routes read.
#[derive(Debug, Clone)]
pub struct HttpState {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub health: Arc<Health>,
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
GET /api/v1/uploads            ?state=running|ended|all &gateway=SN &limit=1..1000
GET /api/v1/gateways           the docks that the ledger knows
GET /api/v1/gateways/{sn}      one of them
";

fn router(state: HttpState) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::map_response(guard))
        .with_state(state)
}

async fn readyz(State(state): State<HttpState>) -> (StatusCode, String) {
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

async fn metrics(State(state): State<HttpState>) -> Result<Response, Problem> {
    let text = state.metrics.text().map_err(|error| Problem {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        detail: format!("the metrics cannot be gathered: {error}"),
    })?;
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
