use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::metrics::{Qos, Version};

struct Server {
    http: HttpServer,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

fn start() -> Server {
    let metrics = Arc::new(Metrics::new());
    let health = Arc::new(Health::new());
    let state = HttpState {
        metrics: metrics.clone(),
        health: health.clone(),
    };
    let http = spawn(TcpListener::bind("127.0.0.1:0").unwrap(), state).unwrap();
    Server {
        http,
        metrics,
        health,
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
    for path in ["/", "/healthz", "/readyz", "/metrics"] {
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
