//! A stop that was asked for, in the middle of everything.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use crate::common::{Answer, Connect, Publish, V311, Wait, Wire, ack, eventually};
use crate::common::{Puback, V5};
use crate::ground::Ground;

#[test]
fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let mut ground = Ground::new();
    let kept = |n: u32| Connect::persistent(V5, &format!("kept-{n}"));
    for n in 0..4 {
        let mut subscriber = Wire::connect(ground.mqtt(), &kept(n));
        subscriber.subscribe(&[(&format!("load/{n}"), 1)]);
        subscriber.leave();
    }
    let acknowledged: [AtomicU32; 4] = Default::default();
    thread::scope(|scope| {
        for (n, acknowledged) in acknowledged.iter().enumerate() {
            let address = ground.mqtt();
            scope.spawn(move || {
                let mut publisher = Wire::clean(address, V311, &format!("load-{n}"));
                // As fast as it goes, until the broker goes; below the bound of a queue.
                for number in 0..9_000_u32 {
                    let pid = u16::try_from(number % 60_000 + 1).unwrap();
                    publisher.send_to_closing(
                        &Publish::new(&format!("load/{n}"), number.to_string()).qos(1, pid).bytes(V311),
                    );
                    match publisher.wait(crate::common::DEADLINE) {
                        Wait::Answer(Answer::Ack(Puback, found, 0, _)) if found == pid => {
                            acknowledged.store(number + 1, SeqCst)
                        }
                        _ => return,
                    }
                }
            });
        }
        eventually("each has published", || acknowledged.iter().all(|count| count.load(SeqCst) > 20));
        ground.stop();
    });
    ground.start();
    for (n, acknowledged) in (0..).zip(&acknowledged) {
        let mut subscriber = Wire::connect(ground.mqtt(), &kept(n));
        for number in 0..acknowledged.load(SeqCst) {
            let message = subscriber.expect_publish();
            assert_eq!(message.text(), number.to_string(), "kept-{n}");
            subscriber.send(&ack(Puback, message.pid));
        }
    }
}
