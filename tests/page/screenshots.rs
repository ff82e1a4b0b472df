//! Pictures of the page for the README: `cargo test --test page -- --ignored screenshots` takes them anew.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dockgate::cloud_api::{self, ListRequest, Module, UpdateRequest};
use dockgate::sim::{Backend, Dock, Outcome, Plan};
use serde_json::json;

use crate::common::{BrokerProcess, DEADLINE};
use crate::ground::{CONFLICT, OBJECT_STORE, backend, dock, now_ms, slow, start, uploads};
use crate::page::{Page, id, quoted};

const FOLDER: &str = "tests/page/screenshots";
const BOTH: [Module; 2] = [Module::Aircraft, Module::Dock];

/// Docks that fly and talk, so that there is traffic; it ends when this is dropped.
struct Traffic(Child);

impl Traffic {
    fn start(broker: &BrokerProcess) -> Self {
        let mut simulate = Command::new(env!("CARGO_BIN_EXE_dockgate"));
        simulate.args(["simulate", "--broker", &broker.mqtt.to_string(), "--docks", "9", "--flying", "4"]);
        simulate.args(["--backends", "1", "--uploads", "0"]);
        Self(simulate.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A fleet at work; all is as it is for as long as this is there.
struct Scene {
    broker: BrokerProcess,
    /// The dock whose page is shown.
    main: Plan,
    docks: Vec<Dock>,
    backends: Vec<Backend>,
    _traffic: Traffic,
}

fn plan(seed: u64, rate: u64, outcome: Outcome) -> Plan {
    Plan { rate, outcome, report_every: Duration::from_millis(500), ..slow(seed) }
}

async fn until_ended(broker: &BrokerProcess, count: usize) {
    let wait = async {
        while uploads(broker).iter().filter(|upload| upload["state"] == "ended").count() < count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("they end");
}

async fn list(backend: &Backend, plan: &Plan) {
    let both = ListRequest { module_list: BOTH.to_vec() };
    backend.request(&plan.gateway, cloud_api::LIST, both, DEADLINE).await.unwrap();
}

impl Scene {
    async fn set() -> Self {
        let times = [("DOCKGATE_UPLOADS__STALL_TIMEOUT", "50s"), ("DOCKGATE_UPLOADS__REPLY_TIMEOUT", "6s")];
        let broker = BrokerProcess::start(&[&OBJECT_STORE[..], &times].concat());
        let traffic = Traffic::start(&broker);
        let main = plan(104_021_877, 4_500_000, Outcome::Complete);
        let ended = [
            plan(104_021_790, 9_000_000, Outcome::Complete),
            plan(104_018_332, 6_000_000, Outcome::Fail { code: 324_019, at_percent: 70 }),
            plan(104_020_405, 9_000_000, Outcome::Reject { code: 314_000 }),
            plan(104_017_116, 9_000_000, Outcome::Ignore),
            main.clone(),
        ];
        let canceled = slow(104_016_951);
        let mut backends = Vec::new();
        let mut docks = Vec::new();
        for plan in ended.iter().chain([&canceled]) {
            let client = format!("backend-{}", &plan.gateway[9..]);
            backends.push(backend(&broker, &client, plan).await);
            docks.push(dock(&broker, plan).await.0);
        }
        for (backend, plan) in backends.iter().zip(&ended) {
            match plan.outcome {
                // Nothing answers that could be waited for.
                Outcome::Ignore => drop(tokio::time::timeout(Duration::from_secs(1), start(backend, plan)).await),
                _ => drop(start(backend, plan).await),
            }
        }
        let canceler = &backends[ended.len()];
        assert_eq!(start(canceler, &canceled).await, 0);
        until_ended(&broker, ended.len()).await;
        let cancel = UpdateRequest { status: "cancel".to_owned(), module_list: BOTH.to_vec() };
        canceler.request(&canceled.gateway, cloud_api::UPDATE, cancel, DEADLINE).await.unwrap();
        until_ended(&broker, ended.len() + 1).await;
        let mut scene = Self { broker, main, docks, backends, _traffic: traffic };
        scene.run().await;
        scene
    }

    /// What is under way when the pictures are taken.
    async fn run(&mut self) {
        let broker = &self.broker;
        // One is known because it was asked for its logs, and has gone since.
        let away = slow(104_015_208);
        let (gone, _) = dock(broker, &away).await;
        list(&backend(broker, "inventory", &away).await, &away).await;
        gone.disconnect().await.unwrap();
        // The dock of the page has a slower uplink by now.
        self.docks.remove(4).disconnect().await.unwrap();
        self.main.rate = 620_000;
        let packing = Plan { preparation: Duration::from_secs(20), ..plan(104_019_674, 9_000_000, Outcome::Complete) };
        let hung = plan(104_021_513, 9_000_000, Outcome::Stall { at_percent: 38 });
        let running = [&self.main, &packing, &hung];
        for plan in running {
            self.docks.push(dock(broker, plan).await.0);
        }
        let first = backend(broker, "maintenance", &self.main).await;
        let second = backend(broker, "night-export", &self.main).await;
        list(&first, &self.main).await;
        for plan in running {
            let backend = backend(broker, &format!("backend-{}", &plan.gateway[9..]), plan).await;
            assert_eq!(start(&backend, plan).await, 0);
            self.backends.push(backend);
        }
        assert_eq!(start(&second, &self.main).await, CONFLICT);
        self.backends.extend([first, second]);
    }
}

/// Takes a picture of the page from its top, and no more than this much of it.
async fn take(page: &Page, name: &str, width: u32, most: u64) {
    // No notice stands before the content.
    page.until("document.getElementById('notices').childElementCount === 0").await;
    page.resize(width, 900).await;
    let whole = page.value("Math.ceil(document.getElementById('foot').getBoundingClientRect().bottom + scrollY)").await;
    let height = whole.as_u64().unwrap().min(most);
    // No button is under the mouse.
    let corner = json!({"type": "mouseMoved", "x": 0, "y": 0});
    page.browser().devtools("Input.dispatchMouseEvent", corner).await;
    // What is out of sight is not drawn.
    page.resize(width, height.try_into().unwrap()).await;
    let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
    let wanted = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
    let picture = page.browser().devtools("Page.captureScreenshot", wanted).await;
    let picture = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.png")), smaller(&picture)).unwrap();
}

/// The same picture, compressed for keeping: flat areas and text take a quarter less without the filters that suit photographs.
fn smaller(picture: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let mut smaller = Vec::new();
    let mut encoder = png::Encoder::new(&mut smaller, info.width, info.height);
    encoder.set_color(info.color_type);
    encoder.set_depth(info.bit_depth);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    encoder.write_header().unwrap().write_image_data(&pixels[..info.buffer_size()]).unwrap();
    smaller
}

async fn theme(page: &Page, wanted: &str) {
    let root = "document.documentElement.dataset.theme";
    while page.value(root).await != wanted {
        page.click(&id("theme")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and changes files of the repository"]
async fn screenshots_of_a_fleet_at_work() {
    let scene = Scene::set().await;
    let began = now_ms();
    let page = Page::live(scene.broker.http, "").await;
    page.reads(&format!("{} .alert", id("upload-card")), "Counts as stalled in").await;
    assert!(now_ms() - began < 40_000, "it would soon count as stalled");
    let still = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    page.browser().devtools("Emulation.setEmulatedMedia", still).await;
    theme(&page, "light").await;
    take(&page, "overview-1600-light", 1600, 1260).await;
    take(&page, "overview-360-light", 360, 1470).await;
    theme(&page, "dark").await;
    take(&page, "overview-1600-dark", 1600, 1260).await;
    take(&page, "overview-360-dark", 360, 1470).await;

    theme(&page, "light").await;
    page.resize(1600, 900).await;
    page.go(&format!("#/gateway/{}", scene.main.gateway)).await;
    for logs in &scene.main.logs {
        let newest = logs.boots.last().unwrap().boot_index.to_string();
        page.click(&format!("[data-testid='log-file'][data-boot={}]", quoted(&newest))).await;
    }
    take(&page, "gateway-1600-light", 1600, 1500).await;

    page.click(&id("language")).await;
    page.go("#/history").await;
    page.click("[data-testid='history-row'][data-outcome='failed'] button").await;
    take(&page, "history-1600-zh", 1600, 1260).await;
    page.finish(&[]).await;
}
