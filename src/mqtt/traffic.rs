//! Counts the messages of one batch, to be added to the metrics in one go.

use crate::message::QoS;
use crate::metrics::{Metrics, Qos};

/// Messages and payload bytes by QoS.
#[derive(Debug, Default)]
pub(super) struct Traffic([(u64, u64); 3]);

impl Traffic {
    pub(super) fn count(&mut self, qos: QoS, payload_bytes: usize) {
        let (messages, bytes) = &mut self.0[usize::from(qos.value())];
        *messages += 1;
        *bytes += payload_bytes as u64;
    }

    pub(super) fn report_received(&self, metrics: &Metrics) {
        for (qos, messages, bytes) in self.counted() {
            metrics.received(qos, messages, bytes);
        }
    }

    pub(super) fn report_sent(&self, metrics: &Metrics) {
        for (qos, messages, bytes) in self.counted() {
            metrics.sent(qos, messages, bytes);
        }
    }

    fn counted(&self) -> impl Iterator<Item = (Qos, u64, u64)> {
        let counts = Qos::ALL.iter().zip(self.0).filter(|(_, (messages, _))| *messages > 0);
        counts.map(|(&qos, (messages, bytes))| (qos, messages, bytes))
    }
}
