//! What can go wrong between a simulated device and a broker.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

/// The broker did not do its part, or nobody answered.
#[derive(Debug, Error)]
pub enum SimError {
    /// No connection.
    #[error("{who} cannot connect to {address}: {cause}")]
    Connect {
        /// Who wanted it.
        who: String,
        /// Where the broker should be.
        address: SocketAddr,
        /// What the client library says.
        cause: String,
    },
    /// The broker answered a SUBSCRIBE with a failure.
    #[error("{who} was refused a subscription to {filters}: {codes}")]
    SubscriptionRefused {
        /// Who wanted it.
        who: String,
        /// The topic filters.
        filters: String,
        /// The SUBACK's codes.
        codes: String,
    },
    /// The broker did not answer a SUBSCRIBE.
    #[error("{who} subscribed to {filters} and got no SUBACK within {waited:?}")]
    NoSubAck {
        /// Who wanted it.
        who: String,
        /// The topic filters.
        filters: String,
        /// How long it waited.
        waited: Duration,
    },
    /// The connection broke.
    #[error("{who} lost its connection: {cause}")]
    Lost {
        /// Whose connection.
        who: String,
        /// What the client library says.
        cause: String,
    },
    /// A command without an answer.
    #[error("{who} sent {method} and got no reply with its tid and bid within {waited:?}")]
    NoReply {
        /// Who asked.
        who: String,
        /// What.
        method: String,
        /// How long it waited.
        waited: Duration,
    },
    /// An expected message did not come.
    #[error("{who} waited {waited:?} for {awaited}, and nothing came")]
    Silence {
        /// Who waited.
        who: String,
        /// For what.
        awaited: String,
        /// How long.
        waited: Duration,
    },
    /// An inbox was not read for so long that it ran over.
    #[error("{who} did not read its inbox in time and missed {count} messages")]
    Missed {
        /// Whose inbox.
        who: String,
        /// How many.
        count: u64,
    },
    /// A message of a shape that it should not have.
    #[error("{who} cannot read what came on {topic}: {source}")]
    Unreadable {
        /// Who read it.
        who: String,
        /// Where it came.
        topic: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}
