//! A server on a free port, and a client that speaks HTTP by hand.

mod api;
mod limits;
mod routes;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::config::Limits;
use crate::ledger::{Body, Event, Module, Observer, Progress, Rules, Start, StartFile};
use crate::mqtt::Broker;

struct Server {
    http: HttpServer,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    ledger: Arc<Ledger>,
    _beside: Beside,
}

/// The runtime of the broker beside it.
struct Beside(Option<tokio::runtime::Runtime>);

impl Drop for Beside {
    fn drop(&mut self) {
        // Also where nobody may wait for it.
        self.0.take().unwrap().shutdown_background();
    }
}

/// The clock of these servers stands still here.
const NOW: Now = Now(1_000_000);

fn start() -> Server {
    start_with(Guard::open(None, &["dockgate".to_owned()]).unwrap())
}

fn start_with(guard: Guard) -> Server {
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new());
    let ledger = Arc::new(Ledger::new(Rules::default()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let inside = runtime.enter();
    let broker = Arc::new(Broker::alone(Limits::default(), metrics.clone(), ledger.clone()));
    let state = HttpState {
        metrics: metrics.clone(),
        ledger: ledger.clone(),
        health: health.clone(),
        clock: Arc::new(|| NOW),
        started: Now(NOW.0 - 5_000),
        retrieval: Arc::new(Retrieval::new(broker, ledger.clone(), None)),
        guard: Arc::new(guard),
    };
    let http = spawn(TcpListener::bind("127.0.0.1:0").unwrap(), state).unwrap();
    drop(inside);
    Server { http, metrics, health, ledger, _beside: Beside(Some(runtime)) }
}

impl Server {
    fn tell<'a>(&self, gateway: &'a str, bid: &'a str, at: u64, body: Body<'a>) {
        let event = Event { client: gateway, is_here: true, tid: bid, bid, body };
        for observation in self.ledger.apply(gateway, &event, Now(at)).observations {
            self.metrics.observe(&observation);
        }
    }

    fn start_upload(&self, gateway: &str, bid: &str, at: u64) {
        let files = [StartFile { module: Module::Dock, object_key: "logs/1.zip", device_sn: "" }];
        let start = Start { digest: None, files: files.into_iter().collect(), ambiguous: false };
        self.tell(gateway, bid, at, Body::Start(start));
    }

    fn end_upload(&self, gateway: &str, bid: &str, at: u64) {
        let progress = Progress { status: "ok", ..Progress::default() };
        self.tell(gateway, bid, at, Body::Progress(progress));
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!((self.status, self.header("content-type")), (200, Some("application/json")), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        serde_json::from_str(&self.body).unwrap()
    }

    fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(problem["title"].is_string(), "{self:?}");
        problem
    }

    fn detail(&self) -> String {
        self.problem()["detail"].as_str().unwrap().to_owned()
    }
}

fn exchange(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {request:?}: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn request(server: &Server, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: dockgate\r\nConnection: close\r\n\r\n");
    exchange(server.http.local_addr(), &request)
}

fn get_path(server: &Server, path: &str) -> Answer {
    request(server, "GET", path)
}
