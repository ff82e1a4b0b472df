//! What came to a simulated backend, for whoever wants to look through it.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time;

use super::error::SimError;
use super::journal::Message;

/// What came to a backend from a certain moment on, in the order in which it came.
#[derive(Debug)]
pub struct Inbox {
    who: String,
    messages: broadcast::Receiver<Message>,
}

impl Inbox {
    pub(super) fn new(who: String, messages: broadcast::Receiver<Message>) -> Self {
        Self { who, messages }
    }

    /// The next message for which `wanted` finds something; what it passes over is gone. `awaited` says
    /// what that is, for the error.
    ///
    /// # Errors
    /// If it does not come in time, the connection ends, or the inbox ran over.
    pub async fn next<T>(
        &mut self,
        awaited: &str,
        patience: Duration,
        mut wanted: impl FnMut(&Message) -> Option<T>,
    ) -> Result<T, SimError> {
        let found = async {
            loop {
                match self.messages.recv().await {
                    Ok(message) => {
                        if let Some(found) = wanted(&message) {
                            return Ok(found);
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(count)) => {
                        return Err(SimError::Missed {
                            who: self.who.clone(),
                            count,
                        });
                    }
                    Err(broadcast::error::RecvError::Closed) => {
                        let cause = format!("while it waited for {awaited}");
                        return Err(SimError::Lost {
                            who: self.who.clone(),
                            cause,
                        });
                    }
                }
            }
        };
        match time::timeout(patience, found).await {
            Ok(found) => found,
            Err(_) => Err(SimError::Silence {
                who: self.who.clone(),
                awaited: awaited.to_owned(),
                waited: patience,
            }),
        }
    }
}
