//! `dockgate demo`: a broker on free loopback ports, a dock and two backends, from the list of logs to an
//! upload that arrived. Every line is printed after what it says has been checked, and the first thing that
//! is not so ends the demo with an error.

mod bars;
mod error;
mod http;
mod ledger;
mod script;
mod stage;
mod terminal;

pub use error::DemoError;

/// dev
pub async fn dev(mqtt: std::net::SocketAddr) -> Result<(), DemoError> {
    let mut t = terminal::Terminal::stdout();
    script::play(script::Addresses { mqtt, http: mqtt }, &mut t).await
}
