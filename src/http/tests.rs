use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::ledger::Rules;
use crate::ledger::{Body, Event, Module, Observer, Progress, Start, StartFile};
use crate::metrics::{Qos, Version};

struct Server {
    http: HttpServer,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    ledger: Arc<Ledger>,
}

/// The clock of these servers stands still here.
const NOW: Now = Now(1_000_000);

fn start() -> Server {
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new());
    let ledger = Arc::new(Ledger::new(Rules::default()));
    let state = HttpState {
        metrics: metrics.clone(),
        ledger: ledger.clone(),
        health: health.clone(),
        clock: Arc::new(|| NOW),
    };
    let http = spawn(TcpListener::bind("127.0.0.1:0").unwrap(), state).unwrap();
    Server {
        http,
        metrics,
        health,
        ledger,
    }
}

impl Server {
    fn tell<'a>(&self, gateway: &'a str, bid: &'a str, at: u64, body: Body<'a>) {
        let event = Event {
            client: gateway,
            tid: bid,
            bid,
            body,
        };
        for observation in self.ledger.apply(gateway, &event, Now(at)).observations {
            self.metrics.observe(&observation);
        }
    }

    fn start_upload(&self, gateway: &str, bid: &str, at: u64) {
        let files = [StartFile {
            module: Module::Dock,
            object_key: "logs/1.zip",
            device_sn: "",
        }];
        let start = Start {
            digest: None,
            files: files.into_iter().collect(),
            ambiguous: false,
        };
        self.tell(gateway, bid, at, Body::Start(start));
    }

    fn end_upload(&self, gateway: &str, bid: &str, at: u64) {
        let progress = Progress {
            status: "ok",
            ..Progress::default()
        };
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
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> serde_json::Value {
        assert_eq!(
            (self.status, self.header("content-type")),
            (200, Some("application/json")),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"));
        serde_json::from_str(&self.body).unwrap()
    }

    fn problem(&self) -> serde_json::Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
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
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer to {request:?}: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn request(server: &Server, method: &str, path: &str) -> Answer {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: dockgate\r\nConnection: close\r\n\r\n");
    exchange(server.http.local_addr(), &request)
}

fn get_path(server: &Server, path: &str) -> Answer {
    request(server, "GET", path)
}

#[test]
fn the_index_lists_the_endpoints_and_healthz_says_ok() {
    let server = start();
    let index = get_path(&server, "/");
    assert_eq!(index.status, 200);
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/uploads",
        "/api/v1/gateways",
    ] {
        assert!(index.body.contains(path), "{path}");
    }
    let health = get_path(&server, "/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    assert_eq!(health.header("cache-control"), Some("no-store"));
    assert_eq!(health.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(health.header("access-control-allow-origin"), None);
}

#[test]
fn readyz_names_every_reason_until_the_last_has_gone() {
    let server = start();
    let answer = get_path(&server, "/readyz");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "starting: the broker is starting\n")
    );
    server.health.ready(Reason::Starting);
    assert_eq!(get_path(&server, "/readyz").status, 200);
    server.health.not_ready(Reason::Router, "no answer for 3 s");
    server.health.not_ready(Reason::Store, "no space left");
    let answer = get_path(&server, "/readyz");
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body,
        "router: no answer for 3 s\nstore: no space left\n"
    );
    assert_eq!(
        get_path(&server, "/healthz").status,
        200,
        "alive all the same"
    );
    server.health.ready(Reason::Router);
    server.health.ready(Reason::Store);
    assert_eq!(get_path(&server, "/readyz").status, 200);
}

#[test]
fn metrics_come_as_prometheus_text() {
    let server = start();
    server.metrics.connected(Version::V311);
    server.metrics.sent(Qos::AtLeastOnce, 4, 321);
    let answer = get_path(&server, "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    for line in [
        "# TYPE dockgate_connections gauge",
        "dockgate_connections{protocol=\"3.1.1\"} 1",
        "dockgate_message_bytes_sent_total{qos=\"1\"} 321",
    ] {
        assert!(
            answer.body.lines().any(|l| l == line),
            "{line} in\n{}",
            answer.body
        );
    }
    #[cfg(target_os = "linux")]
    assert!(answer.body.contains("\nprocess_resident_memory_bytes "));
}

#[test]
fn an_unknown_path_is_a_problem_that_names_it() {
    let server = start();
    for path in ["/nothing", "/api/v1/", "/api/v2/uploads", "/metrics/x"] {
        let answer = get_path(&server, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.detail().contains(path), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let long = format!("/{}", "x".repeat(5000));
    assert!(
        get_path(&server, &long).body.len() < 300,
        "what is repeated to the client is bounded"
    );
}

#[test]
fn a_wrong_method_is_a_problem_with_what_is_allowed() {
    let server = start();
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/uploads",
        "/api/v1/gateways/SN1",
    ] {
        for method in ["POST", "DELETE", "BREW"] {
            let answer = request(&server, method, path);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{answer:?}");
            assert!(answer.detail().contains(method), "{answer:?}");
        }
    }
    let head = request(&server, "HEAD", "/healthz");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn bytes_that_are_no_http_and_too_large_heads_are_refused_and_the_next_client_is_served() {
    let server = start();
    let address = server.http.local_addr();
    assert_eq!(
        exchange(address, "\u{10}\u{0}\u{4}MQTT\r\n\r\n").status,
        400
    );
    let large = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(40 * 1024)
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // The server may close before all of it is sent, and its reset may overtake the answer.
    let _ = stream.write_all(large.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(get_path(&server, "/healthz").status, 200);
}

#[test]
fn silent_and_half_spoken_connections_do_not_keep_others_out() {
    let server = start();
    let address = server.http.local_addr();
    let mut silent = Vec::new();
    for i in 0..300 {
        let mut stream = TcpStream::connect(address).unwrap();
        if i % 2 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost:").unwrap();
        }
        silent.push(stream);
    }
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(get_path(&server, "/healthz").status, 200);
    }
    // Far below the time-out that would free the connections: nobody waited for it.
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    // The oldest were closed to make room, and the youngest are still there.
    let mut oldest = &silent[0];
    oldest
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    match oldest.read(&mut [0; 16]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    let mut youngest = &silent[299];
    youngest
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    youngest
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    let mut start = [0; 15];
    youngest.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
}

#[test]
fn a_connection_that_never_finishes_its_head_is_closed() {
    let server = start();
    let mut stream = TcpStream::connect(server.http.local_addr()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    let begin = Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(
        begin.elapsed() >= Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn stop_closes_kept_connections_and_releases_the_port_within_a_second() {
    let server = start();
    let address = server.http.local_addr();
    let mut kept = TcpStream::connect(address).unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    kept.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut start = [0; 15];
    kept.read_exact(&mut start).unwrap();
    let _silent = TcpStream::connect(address).unwrap();
    let begin = Instant::now();
    server.http.stop();
    assert!(
        begin.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begin.elapsed()
    );
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).unwrap();
    assert!(TcpStream::connect(address).is_err());
    TcpListener::bind(address).unwrap();
}

#[test]
fn it_can_be_dropped_inside_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let address = runtime.block_on(async {
        let server = start();
        server.http.local_addr()
    });
    assert!(TcpStream::connect(address).is_err());
}

/// Runs itself again in a process that may open few files, because the limit is a process's.
#[test]
fn running_out_of_file_descriptors_does_not_end_the_listener() {
    const LIMITED: &str = "DOCKGATE_TEST_FEW_FILES";
    if std::env::var_os(LIMITED).is_none() {
        let name = "http::tests::running_out_of_file_descriptors_does_not_end_the_listener";
        let run = std::process::Command::new("sh")
            .args(["-c", "ulimit -n 48 && exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(LIMITED, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let server = start();
    let address = server.http.local_addr();
    let mut files = Vec::new();
    let full = loop {
        match std::fs::File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => break error,
        }
        assert!(files.len() < 1000, "the limit does not hold");
    };
    assert_eq!(full.raw_os_error(), Some(24), "EMFILE: {full}");
    files.pop();
    let mut last = TcpStream::connect(address).unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(
        last.read(&mut [0; 1]).is_err(),
        "there is no descriptor to accept it with"
    );
    drop(files);
    last.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn an_empty_ledger_lists_nothing() {
    let server = start();
    let empty = |name: &str| serde_json::json!({ name: [], "matching": 0, "next": null });
    assert_eq!(
        get_path(&server, "/api/v1/uploads").json(),
        empty("uploads")
    );
    assert_eq!(
        get_path(&server, "/api/v1/uploads?gateway=SN1").json(),
        empty("uploads")
    );
    assert_eq!(
        get_path(&server, "/api/v1/gateways").json(),
        empty("gateways")
    );
    let answer = get_path(&server, "/api/v1/gateways/SN1");
    assert_eq!(answer.status, 404);
    assert!(answer.detail().contains("SN1"), "{answer:?}");
}

#[test]
fn a_running_upload_is_in_the_listing_the_gateway_and_the_metrics() {
    let server = start();
    server.start_upload("SN1", "b1", NOW.0 - 9000);
    server.tell("SN1", "b1", NOW.0 - 8000, Body::StartReply(Some(0)));
    let listing = get_path(&server, "/api/v1/uploads?state=running").json();
    let upload = &listing["uploads"][0];
    assert_eq!(listing["matching"], 1);
    assert_eq!(upload["gateway"], "SN1");
    assert_eq!(upload["state"], "active");
    assert_eq!(upload["age_ms"], 9000);
    assert_eq!(upload["aliases"][0]["bid"], "b1");
    assert_eq!(upload["files"][0]["module"], "3");
    assert_eq!(
        get_path(&server, "/api/v1/uploads?state=ended").json()["matching"],
        0
    );
    assert_eq!(
        get_path(&server, "/api/v1/gateways").json()["gateways"][0]["running"][0],
        *upload
    );
    assert_eq!(
        get_path(&server, "/api/v1/gateways/SN1").json()["running"][0],
        *upload
    );
    let metrics = get_path(&server, "/metrics").body;
    for line in [
        "dockgate_uploads_running{state=\"active\"} 1",
        "dockgate_uploads_running{state=\"pending\"} 0",
        "dockgate_gateways 1",
        "dockgate_uploads_started_total 1",
        "dockgate_upload_result_codes_total{code=\"0\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
}

#[test]
fn an_ended_upload_is_in_the_history_and_no_longer_running() {
    let server = start();
    server.start_upload("SN1", "b1", NOW.0 - 60_000);
    server.end_upload("SN1", "b1", NOW.0 - 20_000);
    assert_eq!(
        get_path(&server, "/api/v1/uploads?state=running").json()["matching"],
        0
    );
    let ended = get_path(&server, "/api/v1/uploads?state=ended&gateway=SN1").json();
    assert_eq!(ended["uploads"][0]["outcome"], "ok");
    assert_eq!(ended["uploads"][0]["ended_ms"], 20_000);
    assert_eq!(
        get_path(&server, "/api/v1/gateways/SN1").json()["history"],
        ended["uploads"]
    );
    let metrics = get_path(&server, "/metrics").body;
    for line in [
        "dockgate_uploads_running{state=\"pending\"} 0",
        "dockgate_uploads_running{state=\"active\"} 0",
        "dockgate_uploads_ended_total{module=\"dock\",outcome=\"ok\"} 1",
        "dockgate_upload_duration_seconds_bucket{le=\"30\"} 0",
        "dockgate_upload_duration_seconds_bucket{le=\"60\"} 1",
        "dockgate_upload_duration_seconds_sum 40",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
}

#[test]
fn next_leads_through_every_upload_and_every_gateway_once() {
    let server = start();
    for i in 0..25 {
        server.start_upload(&format!("SN{i:02}"), "b", NOW.0 - 1000);
    }
    for (path, list, cursor, key) in [
        ("/api/v1/uploads", "uploads", "before", "id"),
        ("/api/v1/gateways", "gateways", "after", "gateway"),
    ] {
        let mut seen = Vec::new();
        let mut from = String::new();
        for (listed, left) in [(10, 25), (10, 15), (5, 5)] {
            let page = get_path(&server, &format!("{path}?limit=10{from}")).json();
            let views = page[list].as_array().unwrap();
            assert_eq!(
                (views.len(), &page["matching"]),
                (listed, &serde_json::json!(left))
            );
            seen.extend(views.iter().map(|view| view[key].to_string()));
            from = format!("&{cursor}={}", page["next"].to_string().trim_matches('"'));
        }
        assert!(from.ends_with("null"), "{from}");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 25, "{path}");
    }
}

#[test]
fn a_wrong_parameter_is_a_problem_that_names_it_and_the_remedy() {
    let server = start();
    for (path, named, remedy) in [
        (
            "/api/v1/uploads?state=done",
            "state is \"done\"",
            "running, ended or all",
        ),
        (
            "/api/v1/uploads?limit=0",
            "limit is \"0\"",
            "from 1 to 1000",
        ),
        (
            "/api/v1/uploads?limit=1001",
            "limit is \"1001\"",
            "from 1 to 1000",
        ),
        (
            "/api/v1/uploads?limit=ten",
            "limit is \"ten\"",
            "from 1 to 1000",
        ),
        (
            "/api/v1/uploads?before=-1",
            "before is \"-1\"",
            "the next of an earlier answer",
        ),
        (
            "/api/v1/uploads?gateway=",
            "gateway is empty",
            "leave it out",
        ),
        (
            "/api/v1/uploads?limit=1&limit=2",
            "limit is there twice",
            "once",
        ),
        (
            "/api/v1/uploads?gatewy=SN1",
            "unknown parameter \"gatewy\"",
            "state, gateway, limit, before",
        ),
        (
            "/api/v1/gateways?state=all",
            "unknown parameter \"state\"",
            "limit, after",
        ),
        (
            "/api/v1/gateways/SN1?limit=1",
            "unknown parameter \"limit\"",
            "no parameters",
        ),
        ("/api/v1/gateways/%ff", "serial number", "UTF-8"),
    ] {
        let answer = get_path(&server, path);
        assert_eq!(answer.status, 400, "{path}");
        let detail = answer.detail();
        assert!(
            detail.contains(named) && detail.contains(remedy),
            "{path}: {detail}"
        );
    }
}

#[test]
fn readers_that_take_nothing_are_turned_away_and_health_still_answers() {
    let server = start();
    let key = "k".repeat(512);
    for i in 0..2000 {
        let file = || StartFile {
            module: Module::Dock,
            object_key: &key,
            device_sn: "",
        };
        let files = (0..10).map(|_| file()).collect();
        let start = Start {
            digest: None,
            files,
            ambiguous: false,
        };
        let gateway = format!("SN{i:04}");
        server.tell(&gateway, "b", NOW.0, Body::Start(start));
    }
    let address = server.http.local_addr();
    let mut stalled = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    let turned_away = loop {
        let mut reader = TcpStream::connect(address).unwrap();
        reader
            .write_all(b"GET /api/v1/gateways HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        stalled.push(reader);
        if stalled.len() > 20 {
            let answer = get_path(&server, "/api/v1/gateways/SN0001");
            if answer.status == 503 {
                break answer;
            }
        }
        assert!(
            stalled.len() < 200 && Instant::now() < deadline,
            "nobody was turned away"
        );
    };
    assert!(
        turned_away.detail().contains("ask again"),
        "{turned_away:?}"
    );
    assert_eq!(get_path(&server, "/healthz").status, 200);
    drop(stalled);
    while get_path(&server, "/api/v1/gateways/SN0001").status != 200 {
        assert!(
            Instant::now() < deadline,
            "the room of readers that have gone was not given back"
        );
    }
}
