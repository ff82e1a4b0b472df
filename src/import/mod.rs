//! From a `mosquitto.conf` to a `dockgate.toml` that does the same, as far as dockgate can.
//!
//! Every option of mosquitto.conf(5), of Mosquitto 1.6 to 2.1, is carried over, or asks for what dockgate does anyway, or is named
//! in a comment with the reason. Where a listener without its line would let in whom Mosquitto keeps out, or show what
//! Mosquitto hides, the listener is left out as a comment: an import opens nothing by accident.
//!
//! `source` reads the lines and follows `include_dir`; `options` knows every option; `listener` and `limits` collect what
//! belongs to one listener and what is bounded; `broker` collects the rest and decides; `toml` writes it down.

mod broker;
mod limits;
mod listener;
mod options;
mod source;
mod toml;

pub use source::ImportError;

use std::path::Path;

/// The settings file that does the same as this `mosquitto.conf`, with a comment for each line that could not be carried over.
///
/// # Errors
/// The file, or one of those that it includes, cannot be read.
pub fn mosquitto(file: &Path) -> Result<String, ImportError> {
    Ok(convert(&file.display().to_string(), &source::read(file)?))
}

/// What the lines of the file of this name become.
fn convert(name: &str, lines: &[source::Line]) -> String {
    let mut broker = broker::Broker::default();
    for line in lines {
        broker.take(line);
    }
    toml::write(name, &broker.decide())
}

#[cfg(test)]
mod tests;
