//! What the upload rules count. The ledger and the hook tell it as [`Observation`]s; nothing here knows their insides.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Metrics;
use super::broker::signed;
use super::family::{CounterPairs, Counters, Definer, Gauges};
use super::label::Label;
use crate::ledger::{Direction, Method, Modules, Observation, Observer, Outcome, ParseFailure, State, codes};

/// An upload takes seconds to hours.
const DURATION_BUCKETS: &[f64] = &[5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0];

/// 64 KiB to 4 GiB in steps of four: samples hold 33 KB to 4 MB a boot, and the codes 324012 and 324016 speak of archives
/// that are too large for a dock.
const SIZE_BUCKETS: &[f64] = &[
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];

/// What a result code counts as that nobody published.
const OTHER_CODE: &str = "other";

macro_rules! label_from_ledger {
    ($($name:ty),+) => {$(
        impl Label for $name {
            const ALL: &'static [Self] = &<$name>::ALL;

            fn as_str(self) -> &'static str {
                <$name>::as_str(self)
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )+};
}

label_from_ledger!(Method, Direction, ParseFailure, State, Outcome, Modules);

/// The metrics of the hook and the ledger.
pub(super) struct Uploads {
    hook_messages: CounterPairs<Method, Direction>,
    hook_parse_failures: Counters<ParseFailure>,
    hook_unknown_methods: IntCounter,
    hook_not_allowed: Counters<Direction>,
    pub(super) started: IntCounter,
    pub(super) refused: Counters<State>,
    would_refuse: Counters<State>,
    pub(super) ended: CounterPairs<Outcome, Modules>,
    /// The published codes in their order, then "other".
    result_codes: Box<[IntCounter]>,
    published_codes: Box<[i64]>,
    running: Gauges<State>,
    duration: Histogram,
    file_size: Histogram,
    retries: IntCounter,
    duplicates: IntCounter,
    adopted: IntCounter,
    late_events: IntCounter,
    unmatched: IntCounter,
    unknown_status: IntCounter,
    gateway_mismatches: IntCounter,
    bad_gateways: IntCounter,
    gateways_evicted: IntCounter,
    gateways_full: IntCounter,
    gateways: IntGauge,
}

impl Uploads {
    pub(super) fn new(define: &Definer<'_>) -> Self {
        let published_codes: Box<[i64]> = codes::published().collect();
        let code_labels = published_codes.iter().map(i64::to_string).chain([OTHER_CODE.to_owned()]);
        Self {
            hook_messages: define.counter_pairs(
                "hook_messages_total",
                "Messages of the remote log upload that went by, refused ones included.",
                ["method", "direction"],
            ),
            hook_parse_failures: define.counters(
                "hook_parse_failures_total",
                "Payloads on the watched topics that could not be read; they were forwarded.",
                "kind",
            ),
            hook_unknown_methods: define.counter(
                "hook_unknown_methods_total",
                "Messages with a fileupload_ method that DJI does not publish; they were forwarded.",
            ),
            hook_not_allowed: define.counters(
                "hook_not_allowed_total",
                "Upload messages whose publisher may not speak for the gateway; the ledger took no notice.",
                "direction",
            ),
            started: define.counter("uploads_started_total", "Starts that took a free slot."),
            refused: define.counters(
                "uploads_refused_total",
                "Starts refused because an upload in this state held the slot.",
                "reason",
            ),
            would_refuse: define.counters(
                "uploads_would_refuse_total",
                "Starts let through under the policy observe that enforce would have refused.",
                "reason",
            ),
            ended: define.counter_pairs(
                "uploads_ended_total",
                "Uploads that ended, by whose logs they were about.",
                ["outcome", "module"],
            ),
            result_codes: define.counters_for(
                "upload_result_codes_total",
                "Result codes of replies and ended uploads; 0 is success, other is a code that DJI does not publish.",
                "code",
                code_labels,
            ),
            published_codes,
            running: define.gauges("uploads_running", "Uploads that hold a slot, now.", "state"),
            duration: define.histogram(
                "upload_duration_seconds",
                "Time from the start of an upload to its end, however it ended.",
                DURATION_BUCKETS,
            ),
            file_size: define.histogram("upload_file_size_bytes", "Size of the files that arrived.", SIZE_BUCKETS),
            retries: define
                .counter("upload_retries_total", "Starts that repeated the running one under a new tid or bid."),
            duplicates: define
                .counter("upload_duplicates_total", "Messages that came again and were not applied twice."),
            adopted: define
                .counter("uploads_adopted_total", "Uploads learned from their progress, without their start."),
            late_events: define.counter("upload_late_events_total", "Messages about an upload that had ended."),
            unmatched: define.counter("upload_unmatched_total", "Replies and events that belong to nothing known."),
            unknown_status: define.counter(
                "upload_unknown_status_total",
                "Status words that DJI does not publish; they mean still going on.",
            ),
            gateway_mismatches: define.counter(
                "gateway_mismatches_total",
                "Payloads that name another gateway than their topic; the topic's counts.",
            ),
            bad_gateways: define.counter("bad_gateways_total", "Messages whose topic has an unusable serial number."),
            gateways_evicted: define.counter("gateways_evicted_total", "Idle gateways forgotten to make room."),
            gateways_full: define.counter(
                "gateways_full_total",
                "Messages forwarded unguarded because no gateway could be forgotten to make room.",
            ),
            gateways: define.gauge("gateways", "Gateways that the ledger knows, now."),
        }
    }

    fn result_code(&self, code: i64) -> &IntCounter {
        // A miss is the place after the last code: "other".
        &self.result_codes[self.published_codes.binary_search(&code).unwrap_or(self.published_codes.len())]
    }
}

impl Observer for Metrics {
    fn observe(&self, observation: &Observation) {
        let uploads = &self.uploads;
        match *observation {
            Observation::Message { method, direction } => uploads.hook_messages.of(method, direction).inc(),
            Observation::ParseFailure { kind } => uploads.hook_parse_failures.of(kind).inc(),
            Observation::UnknownMethod => uploads.hook_unknown_methods.inc(),
            Observation::NotAllowed { direction } => uploads.hook_not_allowed.of(direction).inc(),
            Observation::Started => uploads.started.inc(),
            Observation::Refused { reason } => uploads.refused.of(reason).inc(),
            Observation::WouldRefuse { reason } => uploads.would_refuse.of(reason).inc(),
            Observation::Retry => uploads.retries.inc(),
            Observation::Duplicate => uploads.duplicates.inc(),
            Observation::Adopted => uploads.adopted.inc(),
            Observation::Late => uploads.late_events.inc(),
            Observation::Unmatched => uploads.unmatched.inc(),
            Observation::Ended { outcome, modules } => uploads.ended.of(outcome, modules).inc(),
            Observation::ResultCode(code) => uploads.result_code(code).inc(),
            Observation::UploadDuration(ms) => uploads.duration.observe(ms as f64 / 1000.0),
            Observation::FileSize(bytes) => uploads.file_size.observe(bytes as f64),
            Observation::GatewayMismatch => uploads.gateway_mismatches.inc(),
            Observation::UnknownStatusWord => uploads.unknown_status.inc(),
            Observation::BadGateway => uploads.bad_gateways.inc(),
            Observation::GatewaysEvicted => uploads.gateways_evicted.inc(),
            Observation::GatewaysFull => uploads.gateways_full.inc(),
        }
    }
}

impl Metrics {
    /// How many uploads in this state hold a slot.
    pub fn set_uploads_running(&self, state: State, uploads: u64) {
        self.uploads.running.of(state).set(i64::try_from(uploads).unwrap_or(i64::MAX));
    }

    /// How many gateways the ledger knows.
    pub fn set_gateways(&self, gateways: usize) {
        self.uploads.gateways.set(signed(gateways));
    }
}
