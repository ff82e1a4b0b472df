//! The stream of events.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use dockgate::cloud_api;
use serde_json::{Value, json};

use super::common::{Broker, DEADLINE, Publish, V5, Wire, post, request};
use super::{connect, plan};

/// A reader of server-sent events.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(at: SocketAddr, path: &str) -> Self {
        let mut socket = TcpStream::connect(at).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nhost: {at}\r\n\r\n").unwrap();
        let mut stream = Self(BufReader::new(socket));
        let head: Vec<_> = std::iter::from_fn(|| Some(stream.line()).filter(|line| !line.is_empty())).collect();
        assert!(head[0].ends_with("200 OK"), "{head:?}");
        assert!(head.iter().any(|line| line == "content-type: text/event-stream"), "{head:?}");
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an event in time");
        line.trim_end().to_owned()
    }

    /// The next event, by its name. Chunk sizes and comments are between the lines.
    fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let line = self.line();
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }

    #[track_caller]
    fn until(&mut self, is_it: impl Fn(&str, &Value) -> bool) -> Value {
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            let (name, data) = self.next();
            if is_it(&name, &data) {
                return data;
            }
        }
        panic!("other events came, but this one did not");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_hears_of_a_dock_that_comes_of_its_upload_and_of_its_end() {
    let broker = Broker::start(|_| {});
    let mut stream = Stream::open(broker.http, "/api/v1/events");
    let (name, overview) = stream.next();
    assert_eq!((&*name, &overview["gateways"]["known"]), ("overview", &json!(0)));
    let plan = plan(11, |_| {});
    let (dock, _) = connect(&broker, &plan).await;
    let mine = |name: &str, data: &Value| name == "gateway" && data["gateway"] == plan.gateway;
    let came = stream.until(mine);
    assert_eq!((&came["online"], &came["running"]), (&json!(true), &json!([])));
    assert!(came.get("age_ms").is_none(), "nothing was said about an upload yet: {came}");

    let mut backend = Wire::clean(broker.mqtt, V5, "backend");
    let boots: Vec<_> = plan.logs[0].boots.iter().map(|boot| json!({ "boot_index": boot.boot_index })).collect();
    let files = json!([{ "device_sn": "", "module": "0", "object_key": "k", "list": boots }]);
    let start = json!({ "bid": "b1", "tid": "t1", "timestamp": 1, "method": "fileupload_start", "data": {
        "bucket": "", "endpoint": "", "provider": "minio", "region": "", "file_store_dir": "", "file_type": "",
        "credentials": { "access_key_id": "i", "access_key_secret": "s", "security_token": "t", "expire": 0 },
        "params": { "files": files } } });
    backend.publish(&Publish::new(&cloud_api::services(&plan.gateway), start.to_string()).qos(1, 1));
    let running = stream.until(|name, data| mine(name, data) && data["running"][0]["state"] == "active");
    assert_eq!(running["running"][0]["aliases"][0]["bid"], "b1");
    let ended = stream.until(|name, _| name == "ended");
    assert_eq!((&ended["gateway"], &ended["outcome"]), (&json!(plan.gateway), &json!("ok")));
    drop(dock);
    let gone = stream.until(|name, data| mine(name, data) && data["online"] == false);
    assert!(gone["gone_ms"].as_u64().is_some(), "{gone}");
    let overview = stream.until(|name, _| name == "overview");
    assert_eq!((&overview["today"]["ok"], &overview["gateways"]["online"]), (&json!(1), &json!(0)));
    assert!(!overview["rates"]["received"].as_array().unwrap().is_empty(), "{overview}");
}

#[test]
fn a_dock_that_nothing_is_known_of_but_its_connection_is_offline_when_that_ends() {
    let broker = Broker::start(|_| {});
    let mut stream = Stream::open(broker.http, "/api/v1/events");
    let dock = Wire::subscriber(broker.mqtt, "dock", &[(&cloud_api::services("SN1"), 1)]);
    let mine = |name: &str, data: &Value| name == "gateway" && data["gateway"] == "SN1";
    assert_eq!(stream.until(mine)["online"], true);
    dock.leave();
    assert_eq!(stream.until(mine)["online"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_one_gateway_hears_of_no_other() {
    let broker = Broker::start(|_| {});
    let (one, other) = (plan(12, |_| {}), plan(13, |_| {}));
    let mut stream = Stream::open(broker.http, &format!("/api/v1/events?gateway={}", one.gateway));
    let (_other, _) = connect(&broker, &other).await;
    let (_one, _) = connect(&broker, &one).await;
    let first = stream.until(|name, _| name == "gateway");
    assert_eq!(first["gateway"], one.gateway);
}

#[test]
fn readers_are_bounded_and_their_places_are_given_back() {
    let broker = Broker::start(|_| {});
    let streams: Vec<_> = (0..64).map(|_| Stream::open(broker.http, "/api/v1/events")).collect();
    let full = request(broker.http, "GET", "/api/v1/events", &[], "");
    assert_eq!(full.status, 503, "{full:?}");
    assert!(full.json()["detail"].as_str().unwrap().contains("64 streams"), "{full:?}");
    assert_eq!(post(broker.http, "/api/v1/gateways/SN1/log-list", &json!({})).status, 503, "others are served");
    drop(streams);
    super::common::eventually("a place is free", || {
        let mut socket = TcpStream::connect(broker.http).unwrap();
        write!(socket, "GET /api/v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", broker.http).unwrap();
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).is_ok() && line.contains("200")
    });
}
