//! Every kind of scenario once.

use serde_json::Value;

use crate::common::{BrokerProcess, metric};
use crate::ground::{good_runs, mqtt, number, real};

#[test]
fn by_the_clock_messages_come_at_their_rate_at_every_qos_and_version() {
    let broker = BrokerProcess::start(&[]);
    let scenarios = "p2p-10-10-10-200,fanout-1-20-1-200,sharedsub-10-3-10-200";
    let target = mqtt(broker.mqtt);
    let runs = good_runs(&[
        "--target",
        &target,
        "--scenario",
        scenarios,
        "--qos",
        "0,1,2",
        "--protocol",
        "5,3.1.1",
        "--payload",
        "100",
        "--duration",
        "200ms",
        "--warm-up",
        "50ms",
    ]);
    assert_eq!(runs.len(), 3 * 3 * 2);
    for run in &runs {
        // Two and a half messages are three.
        let (copies, deliveries) = if run["scenario"] == "fanout-1-20-1-200" { (20, 60) } else { (1, 50) };
        assert_eq!(number(&run["received"]), deliveries, "200 a second for 250 ms: {run:#}");
        let sent = number(&run["sent"]);
        assert_eq!(sent * copies, deliveries);
        assert_eq!(number(&run["acknowledged"]), if run["qos"] == 0 { 0 } else { sent });
        let latency = &run["latency_ms"];
        let order = ["p50", "p90", "p99", "p999", "max"].map(|name| real(&latency[name]));
        assert!(order[0] > 0.0 && order.is_sorted(), "{latency}");
        assert_eq!(run["batch"], Value::Null, "it does not matter by the clock");
    }
}

#[test]
fn at_full_speed_everything_arrives_at_every_qos_and_latencies_are_not_told() {
    let broker = BrokerProcess::start(&[]);
    let before = metric(broker.http, "dockgate_messages_sent_total", "");
    let runs = good_runs(&[
        "--target",
        &mqtt(broker.mqtt),
        "--scenario",
        "fanin,fanout,fanoutw,pairs",
        "--qos",
        "0,1,2",
        "--batch",
        "1,10",
        "--messages",
        "20",
    ]);
    assert_eq!(runs.len(), 4 * 3 * 2);
    for run in &runs {
        let (publishers, copies) = match run["scenario"].as_str().unwrap() {
            "fanin" => (100, 1),
            "pairs" => (50, 1),
            _ => (1, 100),
        };
        assert_eq!((number(&run["sent"]), number(&run["received"])), (publishers * 20, publishers * 20 * copies));
        assert_eq!(run["latency_ms"], Value::Null);
        assert!(real(&run["rate"]) > 0.0 && real(&run["broker"]["peak_mib"]) > 0.0, "{run:#}");
    }
    let received: u64 = runs.iter().map(|run| number(&run["received"])).sum();
    assert_eq!(metric(broker.http, "dockgate_messages_sent_total", "") - before, received as f64);
}

#[test]
fn the_hook_is_asked_where_it_should_be_and_follows_the_uploads() {
    let broker = BrokerProcess::start(&[]);
    let of_broker = |name: &str, label: &str| metric(broker.http, name, label) as u64;
    let looks = || of_broker("dockgate_hook_seconds_count", "");
    let run = |scenario: &str| {
        let target = mqtt(broker.mqtt);
        let runs = good_runs(&["--target", &target, "--scenario", scenario, "--qos", "1", "--messages", "10"]);
        assert_eq!(number(&runs[0]["sent"]), 500);
    };
    run("hook-off");
    assert_eq!(looks(), 0);
    run("hook-on");
    assert_eq!((looks(), of_broker("dockgate_uploads_started_total", "")), (500, 0));
    run("hook-uploads");
    assert_eq!(of_broker("dockgate_uploads_started_total", ""), 50);
    assert_eq!(of_broker("dockgate_uploads_ended_total", "outcome=\"ok\""), 50);
    // The start, the dock's answer and the end beside the load.
    assert_eq!(looks(), 500 + 500 + 3 * 50);
    let progress = of_broker("dockgate_hook_messages_total", "method=\"fileupload_progress\"");
    assert_eq!(progress, 500 + 50);
}

#[test]
fn connections_are_counted_and_their_memory_and_time() {
    let broker = BrokerProcess::start(&[]);
    let target = mqtt(broker.mqtt);
    let runs = good_runs(&["--target", &target, "--scenario", "conn-60-300,idle-40", "--protocol", "3.1.1"]);
    let [connected, idle] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((number(&connected["received"]), number(&idle["received"])), (60, 40));
    assert!(real(&connected["seconds"]) >= 0.19, "60 connects at 300 a second: {connected:#}");
    assert!(real(&connected["latency_ms"]["p50"]) > 0.0);
    assert_eq!(idle["latency_ms"], Value::Null);
    assert!(runs.iter().all(|run| run["kib_per_connection"].is_number()), "{runs:#?}");
    // Each run has 50 more, which do not count.
    assert_eq!(metric(broker.http, "dockgate_connections_total", ""), 200.0);
}

#[test]
fn docks_have_their_own_traffic_in_the_same_report() {
    let broker = BrokerProcess::start(&[]);
    let runs = good_runs(&["--target", &mqtt(broker.mqtt), "--scenario", "dji-3", "--duration", "1s"]);
    let run = &runs[0];
    assert_eq!((&run["qos"], &run["payload"]), (&Value::Null, &Value::Null));
    assert_eq!(number(&run["received"]), 2 * number(&run["sent"]), "two backends hear everything");
    assert!(real(&run["latency_ms"]["p99"]) > 0.0);
}
