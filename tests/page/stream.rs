//! The live stream, and what becomes of the page when it is lost.

use crate::common::BrokerProcess;
use crate::ground::{backend, dock, slow, start};
use crate::page::{Page, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_that_the_stream_is_lost_and_catches_up_when_the_broker_is_back() {
    let mut broker = BrokerProcess::start(&[]);
    let (before, after) = (slow(11), slow(12));
    let (_gone, _) = dock(&broker, &before).await;
    let page = Page::live(broker.http, "#/docks").await;
    page.reads(&id("gateway-row"), &before.gateway).await;

    let (mqtt, http) = (broker.mqtt, broker.http);
    broker.terminate();
    broker.expect_exit();
    page.sees("#live[data-state=reconnecting]").await;
    page.reads(&id("banner"), "The live stream is lost").await;
    page.reads(&id("gateway-row"), &before.gateway).await;

    let listeners = format!(r#"[{{protocol="mqtt",bind="{mqtt}"}}]"#);
    let same = [("DOCKGATE_LISTENERS", listeners.as_str()), ("DOCKGATE_HTTP__BIND", &http.to_string())];
    let broker = BrokerProcess::start(&same);
    // Nobody tells the page of what happens before it is back.
    let (_dock, _) = dock(&broker, &after).await;
    let backend = backend(&broker, "backend", &after).await;
    assert_eq!(start(&backend, &after).await, 0);
    page.until_live().await;
    page.misses(&id("banner")).await;
    page.reads(&id("gateway-row"), &after.gateway).await;
    page.misses(&format!("[data-gateway='{}']", before.gateway)).await;
    page.click("a[data-route=overview]").await;
    page.reads(&id("upload-card"), &after.gateway).await;
    // The stream is alive: what happens now is told.
    drop(_dock);
    page.reads(&id("upload-card"), "The dock is offline").await;
    page.finish(&["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET"]).await;
}
