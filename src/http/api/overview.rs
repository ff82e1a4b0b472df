//! All of it at a glance.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Pairs, Parameters};
use super::{Api, Shared, json, read};
use crate::http::problem::Problem;
use crate::http::sampler::{Rates, Today};
use crate::ledger::{Now, Policy, Rules, Scope};

/// The broker at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    /// Of dockgate.
    version: &'static str,
    /// The broker's clock, in milliseconds since the epoch.
    now_ms: u64,
    /// Since its start.
    uptime_ms: u64,
    /// Whether it takes and routes messages.
    ready: bool,
    /// Why not.
    reasons: Vec<NotReady>,
    /// Clients that are connected.
    connections: u64,
    /// Sessions whose clients are not.
    sessions_offline: u64,
    /// Gateways.
    gateways: Gateways,
    /// Uploads that hold a slot.
    running: Running,
    /// Since midnight.
    today: Today,
    /// In the last minutes.
    rates: Rates,
    /// What the upload guard goes by.
    rules: Guard,
    /// Where logs are uploaded that are asked for here; null if nothing is configured.
    object_store: Option<Target>,
}

/// A reason for not being ready.
#[derive(Debug, Serialize, ToSchema)]
struct NotReady {
    /// In one word, as in `/readyz`.
    reason: &'static str,
    /// For the operator.
    detail: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct Gateways {
    /// Those that are known.
    known: usize,
    /// Those that are connected.
    online: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct Running {
    /// Started; the dock has not answered.
    pending: u64,
    /// Accepted, or in progress.
    active: u64,
    /// The dock accepted a cancel.
    cancelling: u64,
}

/// The rules of the upload guard.
#[derive(Debug, Serialize, ToSchema)]
struct Guard {
    /// `enforce`, `observe` or `off`.
    policy: &'static str,
    /// `gateway` or `module`.
    scope: &'static str,
    /// How long a start may wait for the dock's answer.
    reply_timeout_ms: u64,
    /// How long an accepted cancel may wait for the end.
    cancel_timeout_ms: u64,
    /// How long an upload may go without progress.
    stall_timeout_ms: u64,
    /// How long a dock may be away before its upload is lost.
    offline_grace_ms: u64,
}

/// The object store of the settings.
#[derive(Debug, Serialize, ToSchema)]
struct Target {
    /// `minio`, `aws` or `ali`.
    provider: String,
    /// Its address.
    endpoint: String,
    /// The bucket.
    bucket: String,
}

impl Guard {
    fn of(rules: &Rules) -> Self {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            policy: match rules.policy {
                Policy::Enforce => "enforce",
                Policy::Observe => "observe",
                Policy::Off => "off",
            },
            scope: match rules.scope {
                Scope::Gateway => "gateway",
                Scope::Module => "module",
            },
            reply_timeout_ms: ms(rules.reply_timeout),
            cancel_timeout_ms: ms(rules.cancel_timeout),
            stall_timeout_ms: ms(rules.stall_timeout),
            offline_grace_ms: ms(rules.offline_grace),
        }
    }
}

impl Api {
    /// The broker at a glance. It goes through all gateways.
    pub(super) fn overview(&self, now: Now) -> Overview {
        let state = &self.state;
        let reasons: Vec<_> = state.health.reasons().into_iter().collect();
        let (today, totals) = self.sampler.today();
        let (pending, active, cancelling) = state.ledger.active();
        let (known, online) = self.count_gateways();
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            now_ms: now.0,
            uptime_ms: now.since(state.started),
            ready: reasons.is_empty(),
            reasons: reasons.into_iter().map(|(reason, detail)| NotReady { reason: reason.as_str(), detail }).collect(),
            connections: totals.connections,
            sessions_offline: totals.sessions_offline,
            gateways: Gateways { known, online },
            running: Running { pending, active, cancelling },
            today,
            rates: self.sampler.rates(),
            rules: Guard::of(state.ledger.rules()),
            object_store: state.retrieval.store().map(|store| Target {
                provider: store.provider().as_str().to_owned(),
                endpoint: store.endpoint(),
                bucket: store.bucket().to_owned(),
            }),
        }
    }
}

/// The broker at a glance.
#[utoipa::path(
    get,
    path = "/api/v1/overview",
    responses((status = 200, description = "Connections, rates, uploads, rules.", body = Overview)),
)]
pub(super) async fn overview(State(api): Shared, pairs: Pairs) -> Result<Response, Problem> {
    Parameters::read(pairs, "GET /api/v1/overview", &[])?;
    read(api, |api, _, now| Ok(json(&api.overview(now)))).await
}
