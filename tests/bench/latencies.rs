//! That latencies count from when messages were due.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::common::BrokerProcess;
use crate::ground::{good_runs, mqtt, number, real};

const PAUSE: Duration = Duration::from_millis(200);

/// Stands before a broker, and once stops carrying anything to it for [`PAUSE`].
struct Proxy {
    address: SocketAddr,
}

impl Proxy {
    /// The pause begins so long after the first `packets` writes of clients, which are their CONNECT and SUBSCRIBE.
    fn start(broker: SocketAddr, packets: u64, after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Who carries holds it for reading, and the pause for writing.
        let gate = Arc::new(RwLock::new(()));
        let carried = Arc::new(AtomicU64::new(0));
        thread::spawn({
            let (gate, carried) = (Arc::clone(&gate), Arc::clone(&carried));
            move || {
                while carried.load(Ordering::SeqCst) < packets {
                    thread::sleep(Duration::from_millis(1));
                }
                thread::sleep(after);
                let _closed = gate.write();
                thread::sleep(PAUSE);
            }
        });
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(broker).unwrap());
                server.set_nodelay(true).unwrap();
                client.set_nodelay(true).unwrap();
                let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (gate, carried) = (Arc::clone(&gate), Arc::clone(&carried));
                thread::spawn(move || {
                    carry(client, server, || {
                        carried.fetch_add(1, Ordering::SeqCst);
                        drop(gate.read());
                    });
                });
                thread::spawn(move || carry(from_server, to_client, || {}));
            }
        });
        Self { address }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, before: impl Fn()) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        before();
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    // The other side may have closed it already.
    to.shutdown(Shutdown::Both).ok();
}

/// With a window of one message, nothing can be sent while the proxy stands still. A generator that counted from when it
/// sent would see one late message a publisher; all that were due meanwhile are late.
#[test]
fn a_pause_delays_every_message_that_is_due_in_it_and_all_of_them_count() {
    let broker = BrokerProcess::start(&[]);
    let (publishers, rate) = (4, 400);
    // Five CONNECTs and one SUBSCRIBE.
    let proxy = Proxy::start(broker.mqtt, publishers + 2, Duration::from_millis(400));
    let began = Instant::now();
    let scenario = format!("sharedsub-{publishers}-1-{publishers}-{rate}");
    let runs = good_runs(&[
        "--target",
        &mqtt(proxy.address),
        "--scenario",
        &scenario,
        "--qos",
        "1",
        "--window",
        "1",
        "--duration",
        "1s",
        "--warm-up",
        "0s",
    ]);
    assert!(began.elapsed() < Duration::from_secs(10));
    let run = &runs[0];
    assert_eq!(number(&run["received"]), rate);
    let latency = |name: &str| real(&run["latency_ms"][name]);
    // A fifth of the messages is due in the pause, the first of them 200 ms before its end and the last at its end; as they
    // go one after the other, none is much later than that.
    assert!(latency("max") >= 190.0, "{run:#}");
    assert!(latency("p99") >= 150.0, "four in 400 are later than 190 ms: {run:#}");
    assert!(latency("p90") >= 60.0, "a tenth is due in the first half of the pause: {run:#}");
    assert!(latency("p50") < 60.0, "most are not due in it: {run:#}");
}

#[test]
fn the_warm_up_does_not_count() {
    let broker = BrokerProcess::start(&[]);
    let proxy = Proxy::start(broker.mqtt, 3, Duration::from_millis(150));
    let target = mqtt(proxy.address);
    let scenario = ["--scenario", "sharedsub-1-1-1-100", "--qos", "1"];
    let times = ["--warm-up", "700ms", "--duration", "300ms"];
    let runs = good_runs(&[&["--target", &target][..], &scenario, &times].concat());
    assert_eq!(number(&runs[0]["received"]), 100, "what came in the warm-up must not be lost either");
    assert!(real(&runs[0]["latency_ms"]["max"]) < 150.0, "the pause was in the warm-up: {:#}", runs[0]);
}
