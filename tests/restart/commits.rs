//! What costs a commit, and what does not.

use crate::common::{Connect, Publish, V5, Wire, metric};
use crate::ground::Ground;

fn commits(ground: &Ground) -> f64 {
    metric(ground.http(), "dockgate_store_commits_total", "")
}

#[test]
fn what_nothing_durable_depends_on_costs_no_commit() {
    let ground = Ground::new();
    let mut subscriber = Wire::subscriber(ground.mqtt(), "clean", &[("free/#", 2), ("free/exact", 1)]);
    let mut publisher = Wire::clean(ground.mqtt(), V5, "publisher");
    let before = commits(&ground);
    for n in 0..100 {
        publisher.publish(&Publish::new("free/exact", n.to_string()).qos(2, 1));
        subscriber.expect_message(&n.to_string());
    }
    assert!((commits(&ground) - before).abs() < 0.5);
}

#[test]
fn many_publishes_at_once_share_commits() {
    let ground = Ground::new();
    let mut subscriber = Wire::connect(ground.mqtt(), &Connect::persistent(V5, "kept"));
    subscriber.subscribe(&[("shared/#", 1)]);
    subscriber.leave();
    let before = commits(&ground);
    let publishers: Vec<_> = (0..10)
        .map(|n| {
            let address = ground.mqtt();
            std::thread::spawn(move || {
                let mut publisher = Wire::clean(address, V5, &format!("publisher-{n}"));
                let packets: Vec<_> =
                    (1..=100).flat_map(|pid| Publish::new(&format!("shared/{n}"), "x").qos(1, pid).bytes(V5)).collect();
                publisher.send(&packets);
                for pid in 1..=100 {
                    publisher.expect_ack(crate::common::Puback, pid);
                }
            })
        })
        .collect();
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let commits = commits(&ground) - before;
    assert!((1.0..200.0).contains(&commits), "{commits} commits for 1,000 publishes");
}
