//! The page of a listener that asks for a token.

use crate::common::BrokerProcess;
use crate::ground::{dock, slow};
use crate::page::{Page, id};

const TOKEN: &str = "q1OxvR8yLrMuYjW3v0Ks";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_for_the_token_says_when_it_is_wrong_and_works_when_it_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, TOKEN).unwrap();
    let broker = BrokerProcess::start(&[("DOCKGATE_HTTP__TOKEN_FILE", file.to_str().unwrap())]);
    let plan = slow(8);
    let (_dock, _) = dock(&broker, &plan).await;
    let page = Page::open(broker.http, "#/docks").await;

    page.reads("#token-form h1", "Token").await;
    page.misses("#main").await;
    page.misses("#token-error").await;
    assert!(page.is_on(&id("token")).await, "one can type at once");
    page.write(&id("token"), "a-token-of-another\n").await;
    page.reads("#token-error", "This token is wrong").await;
    // What was wrong is selected, so that typing replaces it.
    page.write(&id("token"), &format!("{TOKEN}\n")).await;
    page.until_live().await;
    page.misses("#token-form").await;
    page.reads(&id("gateway-row"), &plan.gateway).await;

    page.reload().await;
    page.until_live().await;
    page.reads(&id("gateway-row"), &plan.gateway).await;
    page.click(&id("forget-token")).await;
    page.sees("#token-form").await;
    page.misses(&id("gateway-row")).await;
    page.finish(&["401"]).await;
}
