//! What the listener withstands, and how it stops.

use super::*;

#[test]
fn bytes_that_are_no_http_and_too_large_heads_are_refused_and_the_next_client_is_served() {
    let server = start();
    let address = server.http.local_addr();
    assert_eq!(exchange(address, "\u{10}\u{0}\u{4}MQTT\r\n\r\n").status, 400);
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(40 * 1024));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The server may close before all of it is sent, and its reset may overtake the answer.
    let _ = stream.write_all(large.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
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
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    // The oldest were closed to make room, and the youngest are still there.
    let mut oldest = &silent[0];
    oldest.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    match oldest.read(&mut [0; 16]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    let mut youngest = &silent[299];
    youngest.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    youngest.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut start = [0; 15];
    youngest.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
}

#[test]
fn a_connection_that_never_finishes_its_head_is_closed() {
    let server = start();
    let mut stream = TcpStream::connect(server.http.local_addr()).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let begin = Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(4), "{:?}", begin.elapsed());
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn stop_closes_kept_connections_and_releases_the_port_within_a_second() {
    let server = start();
    let address = server.http.local_addr();
    let mut kept = TcpStream::connect(address).unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    kept.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut start = [0; 15];
    kept.read_exact(&mut start).unwrap();
    let _silent = TcpStream::connect(address).unwrap();
    let begin = Instant::now();
    server.http.stop();
    assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    let mut rest = Vec::new();
    kept.read_to_end(&mut rest).unwrap();
    assert!(TcpStream::connect(address).is_err());
    TcpListener::bind(address).unwrap();
}

#[test]
fn it_can_be_dropped_inside_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
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
        let name = "http::tests::limits::running_out_of_file_descriptors_does_not_end_the_listener";
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
    last.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(last.read(&mut [0; 1]).is_err(), "there is no descriptor to accept it with");
    drop(files);
    last.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn readers_that_take_nothing_are_turned_away_and_health_still_answers() {
    let server = start();
    let key = "k".repeat(512);
    for i in 0..1000 {
        let gateway = format!("SN{i:04}");
        let file = || StartFile { module: Module::Dock, object_key: &key, device_sn: "" };
        let files = (0..10).map(|_| file()).collect();
        let start = Start { digest: None, files, ambiguous: false };
        server.tell(&gateway, "b", NOW.0, Body::Start(start));
    }
    let address = server.http.local_addr();
    let mut stalled = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    let turned_away = loop {
        let mut reader = TcpStream::connect(address).unwrap();
        reader.write_all(b"GET /api/v1/gateways HTTP/1.1\r\nHost: dockgate\r\n\r\n").unwrap();
        stalled.push(reader);
        if stalled.len() > 20 {
            let answer = get_path(&server, "/api/v1/gateways/SN0001");
            if answer.status == 503 {
                break answer;
            }
        }
        assert!(stalled.len() < 200 && Instant::now() < deadline, "nobody was turned away");
    };
    assert!(turned_away.detail().contains("ask again"), "{turned_away:?}");
    assert_eq!(get_path(&server, "/healthz").status, 200);
    drop(stalled);
    while get_path(&server, "/api/v1/gateways/SN0001").status != 200 {
        assert!(Instant::now() < deadline, "the room of readers that have gone was not given back");
    }
}
