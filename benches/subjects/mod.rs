//! What `micro` measures in time, and `instructions` in instructions and allocations.
//!
//! A [`Subject`] does one thing again and again. Those of `edge` send messages through a whole broker, the others are parts
//! of that way: `hook`, `ledger`, `access`, `codec`, `routing` and `retained`. [`every_subject`] lists them all.

pub(crate) mod access;
pub(crate) mod codec;
pub(crate) mod edge;
pub(crate) mod hook;
pub(crate) mod ledger;
#[path = "../../tests/common/packet.rs"]
#[expect(dead_code, unused_imports, reason = "the tests need more of it")]
mod packet;
pub(crate) mod payload;
#[path = "../../tests/common/property.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod property;
pub(crate) mod retained;
pub(crate) mod routing;

/// Operations of a part that are counted together: on one topic after the other, where it could matter which.
pub(crate) const OPERATIONS: u32 = 100;
/// Messages through the edge that are counted together.
pub(crate) const MESSAGES: u32 = 1_000;

/// Something to measure.
pub(crate) struct Subject {
    /// How often it is done when it is counted.
    times: u32,
    /// Messages that reach a subscriber each time; 1 where it is not about that.
    messages: u32,
    operation: Box<dyn FnMut()>,
}

impl Subject {
    /// A part of the way of a message.
    fn part(operation: impl FnMut() + 'static) -> Self {
        Self { times: OPERATIONS, messages: 1, operation: Box::new(operation) }
    }

    /// A round of messages through the edge.
    fn round(messages: u32, operation: impl FnMut() + 'static) -> Self {
        assert!(MESSAGES.is_multiple_of(messages), "{MESSAGES} messages are no whole number of rounds of {messages}");
        Self { times: MESSAGES / messages, messages, operation: Box::new(operation) }
    }

    /// Messages that reach a subscriber each time.
    #[allow(dead_code, reason = "instructions knows how many it counts")]
    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// Does it once.
    pub(crate) fn once(&mut self) {
        (self.operation)();
    }

    /// Does it as often as it is counted.
    #[allow(dead_code, reason = "micro decides for itself how often")]
    pub(crate) fn counted(&mut self) {
        for _ in 0..self.times {
            self.once();
        }
    }
}

/// Hands all subjects to a macro: groups of parts, then what goes through the edge.
macro_rules! every_subject {
    ($take:ident) => {
        $take! {
            parts {
                topic {
                    unrelated: subjects::hook::topic("bench/000");
                    telemetry: subjects::hook::topic("thing/product/8UUXN000000001/osd");
                    events: subjects::hook::topic("thing/product/8UUXN000000001/events");
                }
                method {
                    another_800_b: subjects::hook::method(Some("hms"), 800);
                    another_3700_b: subjects::hook::method(Some("hms"), 3_700);
                    none_800_b: subjects::hook::method(None, 800);
                }
                parse {
                    list_small: subjects::hook::parse("services", subjects::payload::LIST);
                    list_typical: subjects::hook::parse("services", subjects::payload::seed::LIST);
                    list_reply_small: subjects::hook::parse("services_reply", subjects::payload::LIST_REPLY);
                    list_reply_typical: subjects::hook::parse("services_reply", subjects::payload::seed::LIST_REPLY);
                    list_reply_64_kib: subjects::hook::parse("services_reply", &subjects::payload::long_list_reply());
                    start_small: subjects::hook::parse("services", subjects::payload::START);
                    start_typical: subjects::hook::parse("services", subjects::payload::seed::START);
                    start_reply_small: subjects::hook::parse("services_reply", subjects::payload::START_REPLY);
                    start_reply_typical: subjects::hook::parse("services_reply", subjects::payload::seed::START_REPLY);
                    update_small: subjects::hook::parse("services", subjects::payload::UPDATE);
                    update_typical: subjects::hook::parse("services", subjects::payload::seed::UPDATE);
                    update_reply_small: subjects::hook::parse("services_reply", subjects::payload::UPDATE_REPLY);
                    update_reply_typical: subjects::hook::parse("services_reply", subjects::payload::seed::UPDATE_REPLY);
                    progress_small: subjects::hook::parse("events", subjects::payload::PROGRESS);
                    progress_typical: subjects::hook::parse("events", subjects::payload::seed::PROGRESS);
                }
                guard {
                    start_and_rejection: subjects::hook::start_and_rejection(subjects::hook::Keeping::Nothing);
                    start_and_rejection_kept: subjects::hook::start_and_rejection(subjects::hook::Keeping::Journal);
                    start_refused: subjects::hook::start_refused();
                    progress: subjects::hook::progress(subjects::hook::Keeping::Nothing, 0);
                    progress_kept: subjects::hook::progress(subjects::hook::Keeping::Journal, 0);
                    progress_kept_each_second: subjects::hook::progress(subjects::hook::Keeping::Journal, 1);
                    progress_again: subjects::hook::progress_again();
                    list_reply_64_kib: subjects::hook::list_reply();
                }
                ledger {
                    start_and_rejection: subjects::ledger::start_and_rejection();
                    progress: subjects::ledger::progress();
                }
                access {
                    acl_1000_lines_allowed: subjects::access::acl(true);
                    acl_1000_lines_denied: subjects::access::acl(false);
                    dock_own_topic: subjects::access::dock("thing/product/8UUXN000000001/osd", true);
                    dock_other_topic: subjects::access::dock("thing/product/8UUXN000000002/osd", false);
                }
                read {
                    publish_qos0_v311_256_b: subjects::codec::read(0, Version::V311, 256);
                    publish_qos0_v311_4_kib: subjects::codec::read(0, Version::V311, 4 << 10);
                    publish_qos0_v5_256_b: subjects::codec::read(0, Version::V5, 256);
                    publish_qos0_v5_4_kib: subjects::codec::read(0, Version::V5, 4 << 10);
                    publish_qos1_v311_256_b: subjects::codec::read(1, Version::V311, 256);
                    publish_qos1_v311_4_kib: subjects::codec::read(1, Version::V311, 4 << 10);
                    publish_qos1_v5_256_b: subjects::codec::read(1, Version::V5, 256);
                    publish_qos1_v5_4_kib: subjects::codec::read(1, Version::V5, 4 << 10);
                    connect_v311: subjects::codec::connect(Version::V311);
                    connect_v5: subjects::codec::connect(Version::V5);
                    subscribe_v311: subjects::codec::subscribe(Version::V311);
                    subscribe_v5: subjects::codec::subscribe(Version::V5);
                }
                write {
                    publish_qos0_v311_256_b: subjects::codec::write(0, Version::V311, 256);
                    publish_qos0_v311_4_kib: subjects::codec::write(0, Version::V311, 4 << 10);
                    publish_qos0_v5_256_b: subjects::codec::write(0, Version::V5, 256);
                    publish_qos0_v5_4_kib: subjects::codec::write(0, Version::V5, 4 << 10);
                    publish_qos1_v311_256_b: subjects::codec::write(1, Version::V311, 256);
                    publish_qos1_v311_4_kib: subjects::codec::write(1, Version::V311, 4 << 10);
                    publish_qos1_v5_256_b: subjects::codec::write(1, Version::V5, 256);
                    publish_qos1_v5_4_kib: subjects::codec::write(1, Version::V5, 4 << 10);
                }
                routing {
                    exact_10: subjects::routing::exact(10);
                    exact_1_000: subjects::routing::exact(1_000);
                    exact_100_000: subjects::routing::exact(100_000);
                    wildcard_10: subjects::routing::wildcard(10);
                    wildcard_1_000: subjects::routing::wildcard(1_000);
                    wildcard_100_000: subjects::routing::wildcard(100_000);
                    wildcard_new_topic_10: subjects::routing::wildcard_new_topic(10);
                    wildcard_new_topic_1_000: subjects::routing::wildcard_new_topic(1_000);
                    wildcard_new_topic_100_000: subjects::routing::wildcard_new_topic(100_000);
                }
                retained {
                    of_one_dock: subjects::retained::of_one_dock();
                    of_every_dock: subjects::retained::of_every_dock();
                }
            }
            edge {
                fan_in_qos0_batch10: subjects::edge::fan_in(0, 10);
                fan_in_qos0_batch1: subjects::edge::fan_in(0, 1);
                fan_in_qos1_batch10: subjects::edge::fan_in(1, 10);
                fan_in_qos1_batch1: subjects::edge::fan_in(1, 1);
                fan_out_exact_qos0_batch10: subjects::edge::fan_out("bench/000", 0, 10);
                fan_out_exact_qos0_batch1: subjects::edge::fan_out("bench/000", 0, 1);
                fan_out_exact_qos1_batch10: subjects::edge::fan_out("bench/000", 1, 10);
                fan_out_exact_qos1_batch1: subjects::edge::fan_out("bench/000", 1, 1);
                fan_out_wildcard_qos0_batch10: subjects::edge::fan_out("bench/+", 0, 10);
                fan_out_wildcard_qos0_batch1: subjects::edge::fan_out("bench/+", 0, 1);
                fan_out_wildcard_qos1_batch10: subjects::edge::fan_out("bench/+", 1, 10);
                fan_out_wildcard_qos1_batch1: subjects::edge::fan_out("bench/+", 1, 1);
                pairs_qos0_batch10: subjects::edge::pairs(0, 10);
                pairs_qos0_batch1: subjects::edge::pairs(0, 1);
                pairs_qos1_batch10: subjects::edge::pairs(1, 10);
                pairs_qos1_batch1: subjects::edge::pairs(1, 1);
                dock_telemetry: subjects::edge::dock_telemetry();
                dock_event: subjects::edge::dock_event();
                dock_progress: subjects::edge::dock_progress();
            }
        }
    };
}
pub(crate) use every_subject;
