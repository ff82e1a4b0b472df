//! The report as text.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use super::figures::{Quantiles, grouped};
use super::report::Report;

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { docks, flying, backends, seed, seconds, broker, .. } = self;
        let group = if self.shared { " in one group" } else { "" };
        writeln!(
            f,
            "{docks} docks, {flying} in flight, {backends} backends{group}, {seconds} s at {broker}, seed {seed}"
        )?;
        let rate = |count: u64| grouped((count as f64 / seconds.max(0.1)).round() as u64);
        for (name, total) in [("published", self.published), ("heard", self.heard)] {
            let (messages, bytes) = (grouped(total.messages), rate(total.bytes / 1000));
            writeln!(f, "{name:<12}{messages:>12} messages, {}/s, {bytes} KB/s", rate(total.messages))?;
        }
        self.connections(f)?;
        self.data(f)?;
        self.commands(f)?;
        self.uploads(f)?;
        let schedule = &self.schedule;
        writeln!(
            f,
            "\nsender      {} messages more than 10 ms after their time, the latest {} ms; {} withheld",
            grouped(schedule.late),
            schedule.latest_ms,
            schedule.withheld
        )?;
        for named in &self.named {
            let (lost, twice, order) = (named.lost, named.duplicated, named.out_of_order);
            writeln!(f, "  {} {}: {lost} lost, {twice} twice, {order} out of order", named.dock, named.stream)?;
        }
        if self.is_well() {
            return writeln!(f, "\nNothing of QoS 1 was lost, and nothing happened that should not have.");
        }
        writeln!(f, "\nThis should not have happened:")?;
        self.flaws.iter().try_for_each(|flaw| writeln!(f, "  {flaw}"))
    }
}

impl Report {
    fn connections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = &self.connections;
        write!(f, "connections {:>12} accepted", grouped(connections.accepted))?;
        if let Some(took) = connections.took_ms {
            write!(f, " in {} ms (p99 {}, max {})", took.p50, took.p99, took.max)?;
        }
        writeln!(
            f,
            "; {} refused, {} lost, {} broken off on purpose, {} came again",
            connections.refused.values().sum::<u64>(),
            connections.lost.values().sum::<u64>(),
            connections.cut,
            connections.reconnects,
        )
    }

    fn data(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<16}{:>4}{:>11}{:>12}{:>8}{:>10}{:>8}{:>7}{LATENCY}",
            "data", "QoS", "sent", "received", "lost", "unsettled", "twice", "order"
        )?;
        for data in self.data.iter().filter(|data| data.sent > 0) {
            writeln!(
                f,
                "{:<16}{:>4}{:>11}{:>12}{:>8}{:>10}{:>8}{:>7}{}",
                data.stream,
                data.qos,
                grouped(data.sent),
                grouped(data.received),
                data.lost,
                data.unsettled,
                data.duplicated,
                data.out_of_order,
                latency(data.latency_ms),
            )?;
        }
        writeln!(f, "lost: {} of QoS 0, {} of QoS 1", self.lost.qos0, self.lost.qos1)?;
        let others = self.other.iter().filter(|other| other.sent.messages > 0);
        let others: Vec<String> =
            others.map(|other| format!("{} {}", other.stream, grouped(other.sent.messages))).collect();
        writeln!(f, "also sent: {}", others.join(", "))
    }

    fn commands(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.commands.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{:<18}{:>9}{:>9}{:>9}{:>8}{:>9}{:>12}{:>6}{LATENCY}",
            "commands", "sent", "ok", "refused", "failed", "ignored", "unanswered", "open"
        )?;
        for commands in &self.commands {
            writeln!(
                f,
                "{:<18}{:>9}{:>9}{:>9}{:>8}{:>9}{:>12}{:>6}{}",
                commands.method.method(),
                grouped(commands.sent),
                grouped(commands.ok),
                commands.refused,
                commands.failed.values().sum::<u64>(),
                commands.ignored,
                commands.unanswered,
                commands.open,
                latency(commands.latency_ms),
            )?;
        }
        Ok(())
    }

    fn uploads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uploads = &self.uploads;
        if uploads.wanted == 0 {
            return Ok(());
        }
        writeln!(f, "\nuploads     {:>12} wanted", grouped(uploads.wanted))?;
        for (what, count, why) in [
            ("ok", uploads.ok, String::new()),
            ("failed", uploads.failed.values().sum(), codes(&uploads.failed)),
            ("canceled", uploads.canceled, String::new()),
            ("rejected", uploads.rejected.values().sum(), codes(&uploads.rejected)),
            ("refused", uploads.refused, "  by the broker: another ran on the dock".to_owned()),
            ("unanswered", uploads.unanswered, String::new()),
            ("stalled", uploads.stalled, String::new()),
            ("running", uploads.running, String::new()),
        ] {
            if count > 0 {
                writeln!(f, "  {what:<10}{:>12}{why}", grouped(count))?;
            }
        }
        if !self.faults.is_empty() {
            let faults: Vec<String> = self.faults.iter().map(|(fault, docks)| format!("{fault} {docks}")).collect();
            writeln!(f, "docks with faults: {}", faults.join(", "))?;
        }
        Ok(())
    }
}

/// The heads of [`latency`]'s columns.
const LATENCY: &str = "   p50 ms   p90 ms   p99 ms   max ms";

fn latency(quantiles: Option<Quantiles>) -> String {
    quantiles.map_or_else(String::new, |q| format!("{:>9}{:>9}{:>9}{:>9}", q.p50, q.p90, q.p99, q.max))
}

fn codes(codes: &BTreeMap<i64, u64>) -> String {
    codes.iter().map(|(code, count)| format!("  {code}: {count}")).collect()
}
