//! A browser of one's own: chromedriver as a child process, and what it is asked that the WebDriver client has no words for.

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::Method;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use url::{ParseError, Url};

use crate::common::DEADLINE;

const HOW: &str = "apt-get install chromium chromium-driver fonts-noto-cjk";
const CHROMIUM: &str = "/usr/bin/chromium";
/// The page and this machine are all that the browser may know. Through the pipe it hears when chromedriver is gone,
/// however that ended, and goes too.
const ARGUMENTS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en-US",
    "--remote-debugging-pipe",
];

/// A running browser; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) client: Client,
    _driver: Driver,
}

/// chromedriver, which takes its browser with it.
#[derive(Debug)]
struct Driver {
    child: Child,
    /// The browser's process, once there is one.
    browser: Option<u64>,
    /// The browser's profile, and what else it leaves behind.
    folder: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        assert!(Path::new(CHROMIUM).exists(), "Chromium is not installed: {HOW}");
        let (mut driver, port) = Driver::start().await;
        let mut arguments: Vec<_> = ARGUMENTS.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", driver.folder.path().join("profile").display()));
        let mut wanted = Capabilities::new();
        wanted.insert("goog:chromeOptions".to_owned(), json!({"binary": CHROMIUM, "args": arguments}));
        wanted.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("chromedriver starts Chromium");
        driver.browser = client.capabilities().and_then(|has| has.get("goog:processID")?.as_u64());
        Self { client, _driver: driver }
    }

    /// Sends a command of Chromium's own, <https://chromedevtools.github.io/devtools-protocol/>.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> impl Future<Output = Value> {
        let body = json!({"cmd": command, "params": parameters});
        let command = command.to_owned();
        let answer = self.client.issue_cmd(Post { path: "goog/cdp/execute", body });
        async move { answer.await.unwrap_or_else(|error| panic!("{command}: {error}")) }
    }

    /// What has come to the browser's console since the last call.
    pub(crate) async fn console(&self) -> Vec<ConsoleLine> {
        let command = Post { path: "se/log", body: json!({"type": "browser"}) };
        let lines = self.client.issue_cmd(command).await.expect("chromedriver keeps the console's log");
        serde_json::from_value(lines).expect("lines with level and message")
    }

    /// Ends it in order, which a drop does not.
    pub(crate) async fn close(self) {
        self.client.close().await.expect("the browser closes");
    }
}

/// A line of the console: what scripts, the network and the Content-Security-Policy have to say.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct ConsoleLine {
    pub(crate) level: String,
    pub(crate) source: String,
    pub(crate) message: String,
}

impl Driver {
    /// And the port on which it listens.
    async fn start() -> (Self, u16) {
        let folder = tempfile::tempdir().expect("a folder for the browser");
        let child = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            // Times and dates are those of one place, wherever the test runs.
            .env("TZ", "UTC")
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!("chromedriver is not installed: {HOW}"),
            _ => panic!("chromedriver does not start: {error}"),
        });
        let said = child.stdout.take().expect("it is piped");
        // Before anything can fail, so that the process ends in any case.
        let driver = Self { child, browser: None, folder };
        let (tell, port) = oneshot::channel();
        std::thread::spawn(move || {
            let mut tell = Some(tell);
            // To the end, for a pipe that nobody reads would stop it some day.
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                let port = line.strip_prefix("ChromeDriver was started successfully on port ");
                if let (Some(port), Some(tell)) = (port, tell.take_if(|_| port.is_some())) {
                    tell.send(port.trim_end_matches('.').parse::<u16>().expect("a port")).ok();
                }
            }
        });
        let port = tokio::time::timeout(DEADLINE, port).await.expect("chromedriver says where it listens");
        (driver, port.expect("chromedriver says where it listens"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        // The browser and its own children follow by themselves; until then they write into the folder, and it cannot be removed.
        let until = Instant::now() + DEADLINE;
        let is_there = |pid| Path::new(&format!("/proc/{pid}")).exists();
        let has_gone = || !self.browser.is_some_and(is_there) && std::fs::remove_dir_all(self.folder.path()).is_ok();
        while !has_gone() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A command to the present session.
#[derive(Debug)]
struct Post {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Post {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
