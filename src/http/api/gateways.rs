//! Gateways: those that the ledger knows, and those that are connected.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::AHashMap;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{MAX_LIMIT, Pairs, Parameters};
use super::{Api, Shared, json, listing, read};
use crate::http::problem::{Document, Problem, quoted};
use crate::ledger::{GatewayView, ListedView, Now, RefusalView, UploadView};
use crate::mqtt::Dock;

/// A gateway: what the ledger knows of it, and who is connected as it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gateway {
    /// The serial number.
    gateway: String,
    /// Whether it is connected, itself or through a client that speaks for it.
    online: bool,
    /// Since it connected; absent if it is not, or through another client.
    #[serde(skip_serializing_if = "Option::is_none")]
    online_ms: Option<u64>,
    /// Since it has gone; absent if it is there, or was never seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_ms: Option<u64>,
    /// The client that takes its commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Client>,
    /// Since the last message about its uploads.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    /// Starts refused, in all.
    refused: u64,
    /// What is running: at most one upload in a slot.
    running: Vec<UploadView>,
    /// How many ended uploads are remembered.
    ended: usize,
    /// Ended uploads, the last first. Only where one gateway is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<UploadView>>,
    /// The last starts that were refused, the last first. Only where one gateway is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusals: Option<Vec<RefusalView>>,
    /// The last list of each module.
    listed: Vec<ListedView>,
}

/// A client that takes the commands to a gateway.
#[derive(Debug, Serialize, ToSchema)]
struct Client {
    /// Its identifier.
    id: String,
    /// From where it is connected, or was last.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// Its user name, if it proved one.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

impl Gateway {
    fn of(gateway: String, view: Option<GatewayView>, dock: Option<Dock>, now: Now) -> Self {
        let spoken_for = view.as_ref().is_some_and(|view| view.present);
        let since_ms = dock.as_ref().map(|dock| now.since(Now(dock.since_ms)));
        let is_connected = dock.as_ref().is_some_and(|dock| dock.is_online);
        // Who is subscribed and away may speak through another client all the same.
        let online = is_connected || spoken_for;
        let gone_ms = view.as_ref().and_then(|view| view.gone_ms).or(since_ms).filter(|_| !online);
        let client = dock.map(|dock| Client {
            id: dock.client_id,
            address: dock.address.map(|address| address.to_string()),
            user: dock.user,
        });
        let online_ms = since_ms.filter(|_| is_connected);
        let mut gateway = Self {
            gateway,
            online,
            online_ms,
            gone_ms,
            client,
            age_ms: None,
            refused: 0,
            running: Vec::new(),
            ended: 0,
            history: None,
            refusals: None,
            listed: Vec::new(),
        };
        if let Some(view) = view {
            gateway.age_ms = Some(view.age_ms);
            (gateway.refused, gateway.refusals) = (view.refused, view.refusals);
            (gateway.running, gateway.ended, gateway.history) = (view.running, view.ended, view.history);
            gateway.listed = view.listed;
        }
        gateway
    }

    /// Nothing of its uploads may be known yet; then there are none, which is not to leave them out.
    fn in_full(mut self) -> Self {
        self.history.get_or_insert_default();
        self.refusals.get_or_insert_default();
        self
    }
}

impl Api {
    /// A gateway in short. One that nothing is known of any more is offline: whoever was told of it has to hear that.
    pub(super) fn gateway_in_short(&self, gateway: &str, now: Now) -> Gateway {
        let view = self.state.ledger.gateway_in_short(gateway, now);
        Gateway::of(gateway.to_owned(), view, self.state.retrieval.dock(gateway), now)
    }

    fn joined(&self, gateway: &str, view: Option<GatewayView>, now: Now) -> Option<Gateway> {
        let dock = self.state.retrieval.dock(gateway);
        let is_known = view.is_some() || dock.is_some();
        is_known.then(|| Gateway::of(gateway.to_owned(), view, dock, now))
    }

    /// Every gateway in short, by serial number.
    fn all_gateways(&self, now: Now) -> Vec<Gateway> {
        let mut both: BTreeMap<String, (Option<GatewayView>, Option<Dock>)> = BTreeMap::new();
        for view in self.state.ledger.gateways(now) {
            let gateway = view.gateway.clone();
            both.entry(gateway).or_default().0 = Some(view);
        }
        for dock in self.state.retrieval.docks() {
            let gateway = dock.gateway.clone();
            both.entry(gateway).or_default().1 = Some(dock);
        }
        both.into_iter().map(|(gateway, (view, dock))| Gateway::of(gateway, view, dock, now)).collect()
    }

    /// How many gateways there are, and how many of them are connected. Every stream asks for it every few seconds, so
    /// nothing of them is copied.
    pub(super) fn count_gateways(&self) -> (usize, usize) {
        let mut all: AHashMap<Arc<str>, bool> = self.state.ledger.presences().into_iter().collect();
        for dock in self.state.retrieval.docks() {
            *all.entry(dock.gateway.into()).or_default() |= dock.is_online;
        }
        (all.len(), all.values().filter(|is_online| **is_online).count())
    }
}

/// A list of gateways, as [`listing`] writes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes an answer that is written piece by piece")]
pub(super) struct GatewayList {
    /// By serial number.
    gateways: Vec<Gateway>,
    /// How many there are from here on.
    matching: usize,
    /// `after` of the next page; null if there is none.
    next: Option<String>,
}

/// Gateways, by serial number.
#[utoipa::path(
    get,
    path = "/api/v1/gateways",
    params(
        ("online" = Option<bool>, Query, description = "only those that are connected, or only the others"),
        ("limit" = Option<u64>, Query, description = "1 to 1000, 1000 if not given"),
        ("after" = Option<String>, Query, description = "next of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The gateways.", body = GatewayList),
        (status = 400, description = "A parameter is wrong.", body = Document),
    ),
)]
pub(super) async fn gateways(State(api): Shared, pairs: Pairs) -> Result<Response, Problem> {
    let mut parameters = Parameters::read(pairs, "GET /api/v1/gateways", &["online", "limit", "after"])?;
    let (after, online) = (parameters.serial("after")?, parameters.flag("online")?);
    let limit = parameters.limit(MAX_LIMIT)?;
    read(api, move |api, _, now| {
        let mut gateways = api.all_gateways(now);
        gateways.retain(|gateway| {
            after.as_ref().is_none_or(|after| gateway.gateway > *after)
                && online.is_none_or(|online| gateway.online == online)
        });
        let matching = gateways.len();
        gateways.truncate(limit);
        Ok(listing("gateways", &gateways, matching, |gateway: &Gateway| gateway.gateway.clone()))
    })
    .await
}

/// One gateway, with its history, its refused starts and its listed files.
#[utoipa::path(
    get,
    path = "/api/v1/gateways/{sn}",
    params(("sn" = String, Path, description = "its serial number")),
    responses(
        (status = 200, description = "The gateway.", body = Gateway),
        (status = 404, description = "Nothing is known of it.", body = Document),
    ),
)]
pub(super) async fn gateway(
    State(api): Shared,
    sn: Result<Path<String>, PathRejection>,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let Path(sn) = sn.map_err(|error| Problem::bad_request(format!("the serial number: {error}")))?;
    Parameters::read(pairs, "GET /api/v1/gateways/{sn}", &[])?;
    read(api, move |api, ledger, now| match api.joined(&sn, ledger.gateway(&sn, now), now) {
        Some(gateway) => Ok(json(&gateway.in_full())),
        None => Err(Problem::not_found(format!(
            "no gateway {} is known; GET /api/v1/gateways lists those that are",
            quoted(&sn)
        ))),
    })
    .await
}
