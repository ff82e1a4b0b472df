//! That latencies count from when messages were due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::common::BrokerProcess;
use crate::ground::{good_runs, mqtt, number, real};
use crate::proxy::{self, Fate};

const PAUSE: Duration = Duration::from_millis(200);

/// A proxy to a broker that once stops carrying anything to it for [`PAUSE`]: so long after the first `writes` of clients,
/// which are their CONNECT and SUBSCRIBE.
fn pausing(broker: SocketAddr, writes: u64, after: Duration) -> SocketAddr {
    // Who carries holds it for reading, and the pause for writing.
    let gate = Arc::new(RwLock::new(()));
    let carried = Arc::new(AtomicU64::new(0));
    thread::spawn({
        let (gate, carried) = (Arc::clone(&gate), Arc::clone(&carried));
        move || {
            while carried.load(Ordering::SeqCst) < writes {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(after);
            let _closed = gate.write();
            thread::sleep(PAUSE);
        }
    });
    proxy::start(broker, move |_| {
        carried.fetch_add(1, Ordering::SeqCst);
        drop(gate.read());
        Fate::Carried
    })
}

/// With a window of one message, nothing can be sent while the proxy stands still. A generator that counted from when it
/// sent would see one late message a publisher; all that were due meanwhile are late.
#[test]
fn a_pause_delays_every_message_that_is_due_in_it_and_all_of_them_count() {
    let broker = BrokerProcess::start(&[]);
    let (publishers, rate) = (4, 400);
    // Five CONNECTs and one SUBSCRIBE.
    let proxy = pausing(broker.mqtt, publishers + 2, Duration::from_millis(400));
    let began = Instant::now();
    let scenario = format!("sharedsub-{publishers}-1-{publishers}-{rate}");
    let runs = good_runs(&[
        "--target",
        &mqtt(proxy),
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
    let proxy = pausing(broker.mqtt, 3, Duration::from_millis(150));
    let target = mqtt(proxy);
    let scenario = ["--scenario", "sharedsub-1-1-1-100", "--qos", "1"];
    let times = ["--warm-up", "700ms", "--duration", "300ms"];
    let runs = good_runs(&[&["--target", &target][..], &scenario, &times].concat());
    assert_eq!(number(&runs[0]["received"]), 100, "what came in the warm-up must not be lost either");
    assert!(real(&runs[0]["latency_ms"]["max"]) < 150.0, "the pause was in the warm-up: {:#}", runs[0]);
}
