//! Where a case is played: the binary as a process of its own, and two witnesses that must not notice anything.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::common::{BrokerProcess, Connect, Publish, V5, V311, Wire, other_broker, status};

/// How long a message of the witnesses may take while, or after, somebody else misbehaves. An honest one takes less than a
/// millisecond; debug builds on shared cores take their time with a million brackets.
const PATIENCE: Duration = Duration::from_secs(5);

/// A broker with two witnesses.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) broker: BrokerProcess,
    speaker: Wire,
    listener: Wire,
    said: u16,
}

impl Ground {
    #[track_caller]
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        // What a case sees is what it has brought about.
        let settings: Vec<_> = [("DOCKGATE_SYS_INTERVAL", "0s")].iter().chain(settings).copied().collect();
        let broker = BrokerProcess::start(&settings);
        // They say nothing while a case is played.
        let speaker = Wire::connect(broker.mqtt, &Connect::new(V5, "witness-speaker").keep_alive(0));
        let mut listener = Wire::connect(broker.mqtt, &Connect::new(V311, "witness-listener").keep_alive(0));
        listener.subscribe(&[("witness/exact", 1), ("witness/+/wild", 1)]);
        Self { broker, speaker, listener, said: 0 }
    }

    /// The witnesses still talk to each other, nobody else has talked to them, and strangers can still connect.
    #[track_caller]
    pub(crate) fn expect_unmoved(&mut self) {
        self.broker.expect_alive();
        let began = Instant::now();
        for topic in ["witness/exact", "witness/is/wild"] {
            self.said = self.said % 60_000 + 1;
            let text = self.said.to_string();
            self.speaker.publish(&Publish::new(topic, &text).qos(1, self.said));
            self.listener.expect_message(&text);
        }
        Wire::clean(self.broker.mqtt, V311, "witness-stranger").expect_alive();
        assert!(began.elapsed() < PATIENCE, "the others were held up for {:?}", began.elapsed());
    }

    /// The broker as a whole has come through: ready, without a panic, within its memory and with a log that can be read.
    #[track_caller]
    pub(crate) fn expect_sound(&mut self, memory_mib: u64) {
        self.expect_unmoved();
        if other_broker().is_some() {
            return;
        }
        assert_eq!(status(self.broker.http, "/readyz"), 200);
        let log = self.broker.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(log.len() < 500_000, "hostile input fills the log: {} bytes", log.len());
        assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "control characters of a client are in the log");
        if let Some(resident) = self.broker.resident_kib() {
            assert!(resident < memory_mib * 1024, "{resident} KiB resident");
        }
    }

    /// Plays every case, all of them also when some fail, with a look at the witnesses after each.
    #[track_caller]
    pub(crate) fn play<C>(&mut self, cases: &[C], name: impl Fn(&C) -> &str, mut one: impl FnMut(&mut Self, &C)) {
        let mut wrong = Vec::new();
        for case in cases {
            let began = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                one(self, case);
                self.expect_unmoved();
            }));
            if let Err(panic) = outcome {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
                wrong.push(format!("{}: {said}", name(case)));
            }
            if began.elapsed() > Duration::from_secs(3) {
                eprintln!("{} took {:?}", name(case), began.elapsed());
            }
        }
        assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    }
}
