//! A dock's log files: asking for the lists, and uploading what is picked.

use dockgate::sim::Plan;
use serde_json::json;

use crate::common::BrokerProcess;
use crate::ground::{OBJECT_STORE, dock, slow, uploads};
use crate::page::{Page, id};

fn file(module: &str) -> String {
    format!("[data-testid='log-file'][data-module='{module}']")
}

/// Asks for the logs, as an operator does.
async fn ask(page: &Page, plan: &Plan) {
    page.click("a[data-route=docks]").await;
    page.click(&format!("[data-testid='gateway-row'][data-gateway='{}'] a", plan.gateway)).await;
    page.reads("h1", &plan.gateway).await;
    page.click(&format!("{}[data-modules='0,3']", id("ask-logs"))).await;
    page.reads(&id("notice"), "has listed its log files: 5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logs_of_both_modules_are_listed_and_without_an_object_store_the_button_says_why_not() {
    let broker = BrokerProcess::start(&[]);
    let plan = slow(6);
    let (_dock, _) = dock(&broker, &plan).await;
    let page = Page::live(broker.http, "").await;
    ask(&page, &plan).await;
    for logs in &plan.logs {
        for boot in &logs.boots {
            let row = format!("{}[data-boot='{}']", file(logs.module.as_str()), boot.boot_index);
            page.reads(&row, &boot.boot_index.to_string()).await;
        }
    }
    page.click(&file("3")).await;
    page.reads("#upload-hint", "[object_store]").await;
    let button = "document.querySelector('[data-testid=upload-selected]')";
    assert_eq!(page.value(&format!("{button}.getAttribute('aria-disabled')")).await, "true");
    assert_eq!(page.value(&format!("{button}.getAttribute('aria-describedby')")).await, "upload-hint");
    page.click(&id("upload-selected")).await;
    assert!(uploads(&broker).is_empty(), "a button that is off does nothing");
    page.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logs_that_are_picked_are_uploaded_and_a_second_start_is_refused_in_words() {
    let broker = BrokerProcess::start(&OBJECT_STORE);
    let plan = slow(7);
    let (_dock, _) = dock(&broker, &plan).await;
    let page = Page::live(broker.http, "").await;
    ask(&page, &plan).await;
    page.reads("#upload-hint", "Select log files first").await;
    page.click(&file("3")).await;
    page.reads("#upload-hint", "Selected: 1").await;
    page.click(&id("upload-selected")).await;
    page.reads(&id("notice"), "has accepted. It is upload 1").await;
    page.reads(&id("upload-card"), "Upload 1").await;
    let upload = &uploads(&broker)[0];
    assert_eq!((&upload["files"][0]["module"], &upload["files"][1]), (&json!("3"), &json!(null)), "{upload}");

    page.click(&file("0")).await;
    page.reads("#upload-hint", "A second start is refused").await;
    page.click(&id("upload-selected")).await;
    let notice = page.reads(&id("notice"), "325009").await;
    assert!(notice.contains("Upload 1 holds the slot"), "{notice}");
    page.reads("#upload-hint", "Selected: 1").await;
    page.finish(&["409"]).await;
}
