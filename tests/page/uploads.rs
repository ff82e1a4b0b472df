//! What runs: how it is seen, cancelled, refused and released.

use dockgate::cloud_api::{self, Header};
use dockgate::sim::{Journal, Outcome, Plan};
use fantoccini::key::Key;

use crate::common::BrokerProcess;
use crate::ground::{CONFLICT, backend, dock, now_ms, slow, stalling, start, uploads};
use crate::page::{Page, id};

const BAR: &str = "document.querySelector('[data-testid=module-progress][data-module=\"0\"]')";

fn ended(outcome: &str) -> String {
    format!("[data-testid='history-row'][data-outcome='{outcome}']")
}

/// How often the dock was told to cancel.
fn cancels(journal: &Journal) -> usize {
    let is_cancel =
        |payload: &[u8]| cloud_api::decode::<Header>(payload).is_ok_and(|header| header.method == cloud_api::UPDATE);
    journal.received().iter().filter(|message| is_cancel(&message.payload)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_a_backend_starts_is_a_card_with_a_moving_bar_and_then_history() {
    let broker = BrokerProcess::start(&[]);
    let plan = Plan::from_seed(1, now_ms());
    let (_dock, _) = dock(&broker, &plan).await;
    let backend = backend(&broker, "backend", &plan).await;
    let page = Page::live(broker.http, "").await;
    page.misses(&id("upload-card")).await;

    assert_eq!(start(&backend, &plan).await, 0);
    page.reads(&id("upload-card"), &plan.gateway).await;
    // What is told and what is drawn are the same.
    let drawn = format!(
        "{BAR}?.firstElementChild.style.transform === `scaleX(${{{BAR}.getAttribute('aria-valuenow') / 100}})`"
    );
    let mut last = 0;
    for past in [0, 40, 70] {
        let past = last.max(past);
        let now = format!("Number({BAR}?.getAttribute('aria-valuenow'))");
        let now = page.until(&format!("{now} > {past} && {drawn} && {now}")).await.as_i64().unwrap();
        assert!(now > last, "from {last} to {now}");
        last = now;
    }
    page.reads(&id("upload-card"), "step 3 of 3: upload").await;

    page.misses(&id("upload-card")).await;
    let row = page.reads(&ended("ok"), &plan.gateway).await;
    assert!(row.contains("Arrived") && row.contains("Aircraft and dock"), "{row}");
    page.click("a[data-route=history]").await;
    page.reads(&ended("ok"), &plan.gateway).await;
    page.click(&format!("{} button", ended("ok"))).await;
    page.reads(&ended("ok"), &format!("dockgate/{}/aircraft.tar", plan.gateway)).await;
    page.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_is_counted_and_its_code_explained() {
    let broker = BrokerProcess::start(&[]);
    let outcome = Outcome::Fail { code: 324_019, at_percent: 10 };
    let plan = Plan { outcome, rate: 20_000_000, ..slow(2) };
    let (_dock, _) = dock(&broker, &plan).await;
    let backend = backend(&broker, "backend", &plan).await;
    let page = Page::live(broker.http, "").await;
    assert_eq!(start(&backend, &plan).await, 0);
    let row = page.reads(&ended("failed"), "324019").await;
    assert!(row.contains("Failed") && row.contains(&plan.gateway), "{row}");
    page.reads(&id("failed-today"), "1").await;
    // The figure leads to the list of what it counts.
    page.click(&id("failed-today")).await;
    page.reads("h1", "History").await;
    page.reads(&ended("failed"), &plan.gateway).await;
    page.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_cancelled_with_the_keyboard_alone_and_not_by_escape() {
    let broker = BrokerProcess::start(&[]);
    let plan = slow(3);
    let (_dock, journal) = dock(&broker, &plan).await;
    let backend = backend(&broker, "backend", &plan).await;
    assert_eq!(start(&backend, &plan).await, 0);
    let page = Page::live(broker.http, "").await;
    page.until(&format!("{BAR}?.getAttribute('aria-valuenow') > 0")).await;

    let cancel = id("cancel");
    page.tab_to(&cancel).await;
    page.press(Key::Enter).await;
    page.reads("dialog[open]", &plan.gateway).await;
    assert!(page.is_on(&id("dismiss")).await, "Enter alone does no harm");
    page.press(Key::Escape).await;
    page.misses("dialog").await;
    assert!(page.is_on(&cancel).await, "the keyboard is where it was");
    assert_eq!((cancels(&journal), &uploads(&broker)[0]["state"]), (0, &"active".into()));

    page.press(Key::Enter).await;
    page.sees("dialog[open]").await;
    page.press(Key::Tab).await;
    assert!(page.is_on(&id("confirm")).await);
    page.press(Key::Enter).await;
    page.reads(&id("notice"), "has accepted the cancel").await;
    page.reads(&ended("canceled"), &plan.gateway).await;
    page.misses(&id("upload-card")).await;
    assert_eq!((cancels(&journal), &uploads(&broker)[0]["outcome"]), (1, &"canceled".into()));
    page.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_refused_is_counted_and_listed_with_who_asked() {
    let broker = BrokerProcess::start(&[]);
    let plan = slow(4);
    let (_dock, _) = dock(&broker, &plan).await;
    let first = backend(&broker, "backend-a", &plan).await;
    let second = backend(&broker, "backend-b", &plan).await;
    let page = Page::live(broker.http, "").await;
    page.reads(&id("refused-today"), "0").await;
    assert_eq!(start(&first, &plan).await, 0);
    assert_eq!(start(&second, &plan).await, CONFLICT);
    page.reads(&id("refused-today"), "1").await;

    page.click(&format!("{} header a", id("upload-card"))).await;
    page.reads("h1", &plan.gateway).await;
    let row = page.reads(&id("refusal-row"), "backend-b").await;
    assert!(row.contains("325009: Dock is exporting logs") && row.contains("Uploading"), "{row}");
    // One that comes while the page is looked at is added to it.
    assert_eq!(start(&second, &plan).await, CONFLICT);
    page.until("document.querySelectorAll('[data-testid=refusal-row]').length === 2").await;
    page.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_frees_the_slot_of_a_dock_that_hung_and_a_new_start_passes() {
    let broker = BrokerProcess::start(&[]);
    let plan = stalling(5);
    let (hung, _) = dock(&broker, &plan).await;
    let backend = backend(&broker, "backend", &plan).await;
    assert_eq!(start(&backend, &plan).await, 0);
    let page = Page::live(broker.http, "").await;
    page.until(&format!("{BAR}?.getAttribute('aria-valuenow') > 66")).await;

    // Somebody restarts it; the upload is gone with its memory.
    drop(hung);
    page.reads(&format!("{} .alert", id("upload-card")), "The dock is offline").await;
    let (_dock, _) = dock(&broker, &slow(5)).await;
    page.misses(&format!("{} .alert", id("upload-card"))).await;
    assert_eq!(start(&backend, &plan).await, CONFLICT, "the slot is still taken");

    page.click(&id("release")).await;
    page.reads("dialog[open]", "Nothing is sent to the dock").await;
    page.click(&id("confirm")).await;
    page.reads(&id("notice"), "is free").await;
    page.reads(&ended("released"), &plan.gateway).await;
    page.misses(&id("upload-card")).await;
    assert_eq!(start(&backend, &plan).await, 0);
    let card = page.reads(&id("upload-card"), &plan.gateway).await;
    assert!(!card.contains("Upload 1"), "{card}");
    page.finish(&[]).await;
}
