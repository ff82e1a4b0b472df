//! What gungraun's runner reports, one line of JSON for each subject (its summary, schema 7).

use crate::subjects::{MESSAGES, OPERATIONS};
use serde_json::Value;

/// Figures of a subject, for one operation or one message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    pub(crate) instructions: f64,
    /// Blocks and bytes allocated, where they are counted.
    pub(crate) blocks: Option<f64>,
    pub(crate) bytes: Option<f64>,
}

/// Reads a line of the report. None if it is about something else.
pub(crate) fn read(line: &str) -> Option<(String, Figures)> {
    let summary: Value = serde_json::from_str(line).ok()?;
    let (group, name) = (summary["function_name"].as_str()?, summary["id"].as_str()?);
    let times = f64::from(if group == "edge" { MESSAGES } else { OPERATIONS });
    let metric = |tool: &str, name: &str| {
        let profile = summary["profiles"].as_array()?.iter().find(|profile| profile["tool"] == tool)?;
        let value = &profile["data"]["total"]["metrics"][name]["values"]["new"];
        value.as_f64().map(|value| value / times)
    };
    let (blocks, bytes) = (metric("DHAT", "TotalBlocks"), metric("DHAT", "TotalBytes"));
    Some((format!("{group}/{name}"), Figures { instructions: metric("Callgrind", "Ir")?, blocks, bytes }))
}
