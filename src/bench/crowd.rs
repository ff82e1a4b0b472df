//! All clients of a run, connected and subscribed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::Client;
use super::receive::Listener;
use super::seen::Seen;
use super::shape::Shape;
use super::target::Target;
use super::{BenchError, Load};

/// Clients that connect at the same time.
const CONCURRENT: usize = 50;
/// All clients must be connected and subscribed within this.
const DEADLINE: Duration = Duration::from_secs(300);
/// What a subscriber takes in one read: large, so that the generator spends little on system calls, but not more than
/// this for all together.
const SUBSCRIBER_BUFFERS: usize = 32 << 20;
const SUBSCRIBER_BUFFER: (usize, usize) = (8 << 10, 256 << 10);
const PUBLISHER_BUFFER: usize = 4 << 10;

/// The clients of a run, publishers and subscribers in the order of their shape.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) publishers: Vec<Client>,
    pub(super) subscribers: Vec<Listener>,
    pub(super) shape: Arc<Shape>,
}

impl Crowd {
    /// Connects the subscribers, and then the publishers.
    pub(super) async fn connect(target: &Target, load: &Load, shape: Shape, run: &str) -> Result<Self, BenchError> {
        let shape = Arc::new(shape);
        let Load { qos, version, .. } = *load;
        let (least, most) = SUBSCRIBER_BUFFER;
        let buffer = (SUBSCRIBER_BUFFERS / shape.subscribers.len().max(1)).clamp(least, most);
        let group = Arc::new(Seen::default());
        let subscribers = each(shape.subscribers.len(), |number| {
            let (target, shape, group) = (target.clone(), Arc::clone(&shape), Arc::clone(&group));
            let id = format!("bench-{run}-s{number}");
            async move {
                let mut client = Client::connect(&target, version, id, buffer).await?;
                client.check_qos(qos)?;
                let subscriber = &shape.subscribers[number];
                client.subscribe(std::slice::from_ref(&subscriber.filter), qos).await?;
                // All publishers of a run have payloads of one length.
                let form = &shape.publishers[0].form;
                let payload = (form.bytes.len(), form.mark);
                // There is one group at most.
                let group = subscriber.filter.starts_with("$share/").then_some(group);
                Ok(Listener::new(client, qos, payload, subscriber.hears.clone(), group))
            }
        });
        let subscribers = subscribers.await?;
        let publishers = each(shape.publishers.len(), |number| {
            let (target, shape) = (target.clone(), Arc::clone(&shape));
            // A dock's client identifier is its serial number.
            let id = shape.publishers[number].uploading.clone().unwrap_or_else(|| format!("bench-{run}-p{number}"));
            async move { Client::connect(&target, version, id, PUBLISHER_BUFFER).await }
        });
        Ok(Self { publishers: publishers.await?, subscribers, shape })
    }
}

/// Does something for every number, for some of them at a time; what came of it is in order.
///
/// # Errors
/// The first.
pub(super) async fn each<T, F>(count: usize, mut of: impl FnMut(usize) -> F) -> Result<Vec<T>, BenchError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, BenchError>> + Send + 'static,
{
    let turns = Arc::new(Semaphore::new(CONCURRENT));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (turns, task) = (Arc::clone(&turns), of(number));
        tasks.spawn(async move {
            // Nobody closes it.
            let _turn = turns.acquire().await;
            task.await.map(|done| (number, done))
        });
    }
    let all = async {
        let mut done = Vec::with_capacity(count);
        while let Some(result) = tasks.join_next().await {
            done.push(result.map_err(|error| BenchError::Own(error.to_string()))??);
        }
        Ok(done)
    };
    let late = |_| BenchError::Late { what: "all clients connected and subscribed", within: DEADLINE };
    let mut done = tokio::time::timeout(DEADLINE, all).await.map_err(late)??;
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}
