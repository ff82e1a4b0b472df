//! The page in a browser, as whoever sits before it sees and uses it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fantoccini::Locator;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::browser::Browser;

/// How long anything may take to be seen. Generous, because browsers share few cores; it is only ever waited for in
/// full by a test that fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// More controls than any view of a test has.
const MANY: usize = 60;

/// The page, open. A test ends with [`Page::finish`].
#[derive(Debug)]
pub(crate) struct Page {
    browser: Option<Browser>,
    address: SocketAddr,
}

/// The `data-testid` of an element, as a CSS selector.
pub(crate) fn id(name: &str) -> String {
    format!("[data-testid='{name}']")
}

impl Page {
    /// Opens it, 1280 pixels wide, at this route (`#/history`), and does not wait for what it shows.
    pub(crate) async fn open(address: SocketAddr, route: &str) -> Self {
        let page = Self { browser: Some(Browser::start().await), address };
        page.resize(1280, 900).await;
        page.go(route).await;
        page
    }

    /// Opens it, and waits until it is live.
    pub(crate) async fn live(address: SocketAddr, route: &str) -> Self {
        let page = Self::open(address, route).await;
        page.until_live().await;
        page
    }

    pub(crate) fn browser(&self) -> &Browser {
        self.browser.as_ref().expect("it has not finished")
    }

    pub(crate) async fn go(&self, route: &str) {
        let url = format!("http://{}/{route}", self.address);
        self.browser().client.goto(&url).await.expect("the page loads");
    }

    pub(crate) async fn reload(&self) {
        self.browser().client.refresh().await.expect("the page loads again");
    }

    /// Gives the page these dimensions, smaller ones than a window can have included.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.browser().devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// The value of a JavaScript expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        let value = self.browser().client.execute(&script, Vec::new()).await;
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until a JavaScript expression is true, or as good as true, and returns its value.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        let began = Instant::now();
        loop {
            let value = self.value(expression).await;
            if !matches!(&value, Value::Null | Value::Bool(false)) && value != 0 && value != "" {
                return value;
            }
            if began.elapsed() > PATIENCE {
                let shown = self.value("document.body.innerText").await;
                let console = self.browser().console().await;
                let shown = shown.as_str().unwrap_or_default();
                panic!("not within {PATIENCE:?}: {expression}\n--- the page\n{shown}\n--- its console\n{console:#?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_live(&self) {
        self.until("document.querySelector('#live').dataset.state === 'live'").await;
    }

    /// Waits until there is such an element, and it can be seen.
    pub(crate) async fn sees(&self, css: &str) {
        self.until(&format!("document.querySelector({})?.checkVisibility()", quoted(css))).await;
    }

    /// Waits until no such element can be seen.
    pub(crate) async fn misses(&self, css: &str) {
        let all = format!("[...document.querySelectorAll({})]", quoted(css));
        self.until(&format!("{all}.every((one) => !one.checkVisibility())")).await;
    }

    /// Waits until an element that can be seen says so, among other things; returns all that it says.
    pub(crate) async fn reads(&self, css: &str, text: &str) -> String {
        let all = format!("[...document.querySelectorAll({})]", quoted(css));
        let seen = format!("{all}.filter((one) => one.checkVisibility()).map((one) => one.innerText)");
        let said = self.until(&format!("{seen}.find((said) => said.includes({}))", quoted(text))).await;
        said.as_str().expect("a text").to_owned()
    }

    /// Clicks on an element where it is, once it can be seen.
    pub(crate) async fn click(&self, css: &str) {
        self.sees(css).await;
        let element = self.browser().client.find(Locator::Css(css)).await;
        let clicked = element.expect("it was there just now").click().await;
        clicked.unwrap_or_else(|error| panic!("a click on {css}: {error}"));
    }

    /// Types into an element.
    pub(crate) async fn write(&self, css: &str, text: &str) {
        self.sees(css).await;
        let element = self.browser().client.find(Locator::Css(css)).await;
        element.expect("it was there just now").send_keys(text).await.expect("it takes text");
    }

    /// Presses a key and lets it go.
    pub(crate) async fn press(&self, key: Key) {
        let value = char::from(key);
        let keys = KeyActions::new("keyboard".to_owned()).then(KeyAction::Down { value }).then(KeyAction::Up { value });
        self.browser().client.perform_actions(keys).await.expect("a key is pressed");
    }

    /// Whether such an element has the focus.
    pub(crate) async fn is_on(&self, css: &str) -> bool {
        self.value(&format!("document.activeElement.matches({})", quoted(css))).await == true
    }

    /// Presses Tab until such an element has the focus.
    pub(crate) async fn tab_to(&self, css: &str) {
        for _ in 0..MANY {
            self.press(Key::Tab).await;
            if self.is_on(css).await {
                return;
            }
        }
        panic!("{MANY} presses of Tab do not lead to {css}");
    }

    /// Closes the page. Its console must have had nothing to complain of but requests that failed with what is expected:
    /// Chromium writes a line for each, whatever the page does about it.
    pub(crate) async fn finish(mut self, expected: &[&str]) {
        let browser = self.browser.take().expect("it finishes once");
        let console = browser.console().await;
        browser.close().await;
        for line in console {
            let is_expected = line.source == "network" && expected.iter().any(|text| line.message.contains(text));
            assert!(line.level != "SEVERE" || is_expected, "{line:?}");
            assert!(line.source != "security", "{line:?}");
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let is_finished = self.browser.is_none() || std::thread::panicking();
        // Whatever else is dropped with this still has to be.
        self.browser = None;
        assert!(is_finished, "the test did not look at the console");
    }
}

/// A JavaScript literal.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
