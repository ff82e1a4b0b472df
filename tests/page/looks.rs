//! Language, colours and width.

use dockgate::cloud_api::{self, ListRequest, Module};
use dockgate::sim::{Outcome, Plan};

use crate::common::{BrokerProcess, DEADLINE};
use crate::ground::{CONFLICT, backend, dock, slow, start};
use crate::page::{Page, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_speaks_english_or_chinese_and_still_does_after_a_reload() {
    let broker = BrokerProcess::start(&[]);
    let page = Page::live(broker.http, "#/docks").await;
    page.reads("h1", "Docks").await;
    page.click(&id("language")).await;
    page.reads("h1", "机场").await;
    page.reads("a[data-route=history]", "历史记录").await;
    assert_eq!(page.value("[document.documentElement.lang, document.title].join()").await, "zh-CN,机场 – dockgate");
    page.reload().await;
    page.until_live().await;
    page.reads("h1", "机场").await;
    page.click(&id("language")).await;
    page.reads("h1", "Docks").await;
    page.reload().await;
    page.until_live().await;
    page.reads("h1", "Docks").await;
    page.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_light_or_dark_as_the_system_is_unless_it_is_told_and_then_stays_so() {
    let broker = BrokerProcess::start(&[]);
    let page = Page::live(broker.http, "").await;
    let system = async |scheme: &str| {
        let features = serde_json::json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        page.browser().devtools("Emulation.setEmulatedMedia", features).await;
    };
    let ground = "getComputedStyle(document.body).backgroundColor";
    let (light, dark) = (format!("{ground} === 'rgb(243, 245, 247)'"), format!("{ground} === 'rgb(18, 22, 27)'"));
    system("light").await;
    page.until(&light).await;
    system("dark").await;
    page.until(&dark).await;
    page.click(&id("theme")).await;
    page.reads(&id("theme"), "Theme: light").await;
    page.until(&light).await;
    page.reload().await;
    page.until_live().await;
    page.until(&light).await;
    page.click(&id("theme")).await;
    system("light").await;
    page.until(&dark).await;
    page.reload().await;
    page.until_live().await;
    page.until(&dark).await;
    page.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_view_is_wider_than_the_window_in_either_language() {
    let broker = BrokerProcess::start(&[]);
    let busy = slow(9);
    let rejecting = Plan { outcome: Outcome::Reject { code: 314_000 }, ..slow(10) };
    let _docks = (dock(&broker, &busy).await, dock(&broker, &rejecting).await);
    let backend_b = backend(&broker, "a-backend-with-a-rather-long-client-identifier", &busy).await;
    let mut backend = backend(&broker, "backend", &busy).await;
    backend.watch(&rejecting.gateway).await.unwrap();
    let both = ListRequest { module_list: vec![Module::Aircraft, Module::Dock] };
    backend.request(&busy.gateway, cloud_api::LIST, both, DEADLINE).await.unwrap();
    assert_eq!(start(&backend, &busy).await, 0);
    assert_eq!(start(&backend_b, &busy).await, CONFLICT);

    // One that has ended, for the history.
    assert_eq!(start(&backend, &rejecting).await, 314_000);
    let page = Page::live(broker.http, "").await;
    page.sees(&id("history-row")).await;
    let gateway = format!("#/gateway/{}", busy.gateway);
    for language in ["en", "zh-CN"] {
        for (route, shown) in [
            ("#/", "upload-card"),
            ("#/docks", "gateway-row"),
            ("#/history", "history-row"),
            (gateway.as_str(), "refusal-row"),
        ] {
            page.go(route).await;
            page.sees(&id(shown)).await;
            for width in [360, 1600] {
                page.resize(width, 900).await;
                page.until(&format!("innerWidth === {width}")).await;
                let wide = "document.scrollingElement.scrollWidth";
                let is_wide = page.value(&format!("{wide} > innerWidth && {wide}")).await;
                assert_eq!(is_wide, false, "{route} in {language} at {width}");
            }
        }
        page.click(&id("language")).await;
    }
    page.finish(&[]).await;
}
