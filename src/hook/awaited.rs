//! Who waits for a dock's answer to a request of the broker's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::sync::oneshot;

use crate::ledger::{Body, Event};

/// The requests that are waited for, by tid.
#[derive(Debug, Default)]
pub struct Awaited {
    waiting: DashMap<Box<str>, Waiter, ahash::RandomState>,
    /// How many there are: the map is not looked into for every reply of every dock.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Waiter {
    gateway: Box<str>,
    answer: oneshot::Sender<i64>,
}

/// An answer that is waited for; whoever drops it does not wait any more.
#[derive(Debug)]
pub struct Expected {
    awaited: Arc<Awaited>,
    tid: Box<str>,
    answer: oneshot::Receiver<i64>,
}

impl Awaited {
    /// Waits from now on for what this gateway answers to a request with this tid, which nobody else has.
    #[must_use]
    pub fn expect(self: &Arc<Self>, gateway: &str, tid: &str) -> Expected {
        let (sender, answer) = oneshot::channel();
        self.waiting.insert(tid.into(), Waiter { gateway: gateway.into(), answer: sender });
        self.count.fetch_add(1, Ordering::Relaxed);
        Expected { awaited: Arc::clone(self), tid: tid.into(), answer }
    }

    /// A gateway has said this, and the ledger knows it.
    pub(super) fn settle(&self, gateway: &str, event: &Event<'_>) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let result = match &event.body {
            Body::ListReply(reply) | Body::UnnamedReply(reply) => reply.result,
            Body::StartReply(result) | Body::CancelReply(result) => *result,
            _ => return,
        };
        let waiter = self.waiting.remove_if(event.tid, |_, waiter| *waiter.gateway == *gateway);
        if let Some((_, waiter)) = waiter {
            // No result counts as 0, as the ledger has it. Whoever waited may have just given up.
            let _ = waiter.answer.send(result.unwrap_or(0));
        }
    }
}

impl Expected {
    /// `data.result` of the answer, once it has come.
    pub async fn answer(&mut self) -> i64 {
        match (&mut self.answer).await {
            Ok(result) => result,
            // The sender goes only with its answer.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.awaited.waiting.remove(&self.tid);
        self.awaited.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(tid: &str) -> Event<'_> {
        Event { client: "dock", is_here: true, tid, bid: "", body: Body::StartReply(Some(314_000)) }
    }

    #[tokio::test]
    async fn only_the_gateway_that_was_asked_answers_and_nothing_of_it_stays() {
        let awaited = Arc::new(Awaited::default());
        let mut expected = awaited.expect("SN1", "t1");
        awaited.settle("SN2", &reply("t1"));
        awaited.settle("SN1", &reply("t2"));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), expected.answer()).await.is_err());
        awaited.settle("SN1", &reply("t1"));
        assert_eq!(expected.answer().await, 314_000);
        drop(expected);
        drop(awaited.expect("SN1", "t3"));
        assert!(awaited.waiting.is_empty());
        assert_eq!(awaited.count.load(Ordering::Relaxed), 0);
    }
}
