//! `dockgate demo`: a broker on free loopback ports, a dock and two backends, from the list of logs to an
//! upload that arrived.
//!
//! Every line is printed after what it says has been checked, and the first thing that is not so ends the
//! demo with an error. `script` has the steps in order and `stage` those who take part; `ledger` compares
//! what the broker says of the uploads with what was done.

mod bars;
mod broker;
mod error;
mod http;
mod ledger;
mod script;
mod stage;
mod terminal;

pub use error::DemoError;

use broker::Broker;
use terminal::Terminal;

use crate::config::Settings;

/// Runs the demo on standard output, in 10 to 15 seconds.
///
/// # Errors
/// The first thing that did not go as shown, and then at once.
pub async fn run() -> Result<(), DemoError> {
    let broker = Broker::start(Settings::default()).await?;
    let played = script::play(broker.at, &mut Terminal::stdout()).await;
    let stopped = broker.stop().await;
    played.and(stopped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

    #[tokio::test]
    async fn a_broker_that_lets_the_second_start_through_fails_the_demo() {
        let mut settings = Settings::default();
        settings.uploads.policy = Policy::Observe;
        let broker = Broker::start(settings).await.unwrap();
        let mut terminal = Terminal::plain(Vec::new());
        let error = script::play(broker.at, &mut terminal).await.unwrap_err();
        broker.stop().await.unwrap();
        // The code is the dock's own, so the start has reached it.
        let is_the_docks = matches!(
            &error,
            DemoError::Unexpected { expected, came, .. } if expected == "325009" && came == "314000"
        );
        assert!(is_the_docks, "{error}");
    }
}
