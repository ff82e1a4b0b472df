//! Topics and wildcard filters that grow in number, under the same stream of messages.

use anyhow::Context;

use crate::Times;
use crate::brokers::Broker;
use crate::figures::Measured;
use crate::pour::{Filters, pour};

/// Subscribers that share the filters.
const SUBSCRIBERS: usize = 100;

/// So many topics, and one subscriber to all of them.
pub(crate) async fn topics(broker: &Broker, count: usize, times: Times) -> anyhow::Result<Measured> {
    let topics = (0..count).map(|topic| format!("growth/{topic:06}/osd")).collect();
    measure(broker, topics, vec![vec!["growth/#".to_owned()]], times).await
}

/// So many filters with wildcards, of which each message matches one.
pub(crate) async fn filters(broker: &Broker, count: usize, times: Times) -> anyhow::Result<Measured> {
    let topics = (0..count).map(|filter| format!("growth/x/{filter:06}/osd")).collect();
    let mut filters: Filters = vec![Vec::new(); SUBSCRIBERS.min(count)];
    for filter in 0..count {
        filters[filter % SUBSCRIBERS].push(format!("growth/+/{filter:06}/#"));
    }
    measure(broker, topics, filters, times).await
}

async fn measure(broker: &Broker, topics: Vec<String>, filters: Filters, times: Times) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    let mut running = broker.start()?;
    let pid = running.pid.context("no process to look at")?;
    let poured = crate::bounded(pour(running.address, pid, &topics, &filters, times, &mut measured)).await;
    match running.ended() {
        Some(how) => poured.with_context(|| format!("the broker {how}"))?,
        None => poured?,
    }
    Ok(measured)
}
