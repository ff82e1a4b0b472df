//! What docks write, on the page: text and nothing else.

use serde_json::json;

use crate::common::{BrokerProcess, Publish, V5, Wire};
use crate::page::{Page, id};

const GATEWAY: &str = "8UUXN000000099";
const MARKUP: &str = "<img src=x onerror=\"document.title='taken'\"><style>*{display:none}</style>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_in_what_a_dock_reports_is_shown_as_text_and_does_nothing() {
    let broker = BrokerProcess::start(&[]);
    let mut dock = Wire::clean(broker.mqtt, V5, GATEWAY);
    dock.subscribe(&[(&format!("thing/product/{GATEWAY}/services"), 1)]);
    let page = Page::live(broker.http, "").await;
    let event = |status: &str| {
        let file = json!({"module": "3", "device_sn": MARKUP, "key": MARKUP, "fingerprint": MARKUP, "size": 1,
            "progress": {"current_step": 3, "total_step": 3, "progress": 50, "upload_rate": 1, "result": 0,
                "finish_time": 0, "status": status}});
        json!({"bid": MARKUP, "tid": MARKUP, "timestamp": 1, "gateway": GATEWAY, "method": "fileupload_progress",
            "data": {"result": 0, "output": {"status": status, "ext": {"files": [file]}}}})
    };
    let mut report = |pid: u16, status: &str| {
        let topic = format!("thing/product/{GATEWAY}/events");
        dock.publish(&Publish::new(&topic, event(status).to_string()).qos(1, pid));
    };
    report(1, MARKUP);
    let card = page.reads(&id("upload-card"), "<img src=x").await;
    assert!(card.contains("Its start was not seen"), "{card}");
    report(2, "failed");
    let row = format!("{} button", id("history-row"));
    page.click(&row).await;
    page.reads(&id("history-row"), "onerror").await;
    assert_eq!(page.value("document.title").await, "Overview – dockgate");
    assert_eq!(page.value("document.querySelectorAll('img, main style').length").await, 0);
    page.finish(&[]).await;
}
