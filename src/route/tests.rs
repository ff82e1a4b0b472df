use super::*;
use crate::message::{NEVER, Parts};
use parking_lot::Mutex;

/// Notes what it gets, and whether it got that before the publisher went on.
#[derive(Debug, Default)]
struct Reader {
    key: u64,
    got: Mutex<Vec<u32>>,
}

impl Subscriber for Reader {
    fn key(&self) -> u64 {
        self.key
    }

    fn is_direct(&self) -> bool {
        false
    }

    fn deliver(&self, messages: &[Message], _: &[Options], _: Via) -> Delivered {
        let number = |message: &Message| u32::from_be_bytes(message.payload().try_into().unwrap());
        self.got.lock().extend(messages.iter().map(number));
        Delivered::default()
    }

    fn pressure(&self, _: bool) -> Option<Pressure> {
        None
    }
}

fn subscribe(route: &Route, key: u64, filter: &str) -> Arc<Reader> {
    let reader = Arc::new(Reader { key, got: Mutex::default() });
    let options =
        Options { qos: QoS::AtMostOnce, no_local: false, retain_as_published: false, id: None, partial: false };
    let subscriber: Arc<dyn Subscriber> = reader.clone();
    route.subscribe(filter, &subscriber, options, false);
    reader
}

fn publish(route: &Route, topic: &str, number: u32, batch: &mut Batch) {
    let (qos, retain, publisher, expires_at) = (QoS::AtMostOnce, false, 7, NEVER);
    let payload = &number.to_be_bytes();
    let parts = Parts { qos, retain, publisher, expires_at, topic, properties: &[], payload };
    route.publish(Message::new(&parts), batch);
}

async fn until_empty(route: &Route) {
    while route.inflight() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_get_it_at_once_and_many_by_the_routing_core() {
    let route = Route::start(1).unwrap();
    let few = subscribe(&route, 1, "few/+");
    let many: Vec<_> = (2..2 + WIDE as u64).map(|key| subscribe(&route, key, "many/+")).collect();
    let mut batch = route.batch(7);
    publish(&route, "few/1", 1, &mut batch);
    route.deliver(&mut batch);
    assert_eq!(*few.got.lock(), [1]);

    publish(&route, "many/1", 2, &mut batch);
    route.deliver(&mut batch);
    assert!(many.iter().all(|reader| reader.got.lock().is_empty()));
    assert!(route.send(&mut batch).is_none());
    until_empty(&route).await;
    assert!(many.iter().all(|reader| *reader.got.lock() == [2]));
}

/// Else those who are delivered to could not take it, and would be taken for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fanning_out_lets_others_run() {
    const MESSAGES: usize = 20_000;
    let route = Route::start(1).unwrap();
    let many: Vec<_> = (2..2 + WIDE as u64).map(|key| subscribe(&route, key, "many/#")).collect();
    let first = many[0].clone();
    let other = tokio::spawn(async move {
        let (mut before, mut most) = (0, 0);
        while before < MESSAGES {
            let now = first.got.lock().len();
            most = most.max(now - before);
            before = now;
            tokio::task::yield_now().await;
        }
        most
    });
    let mut batch = route.batch(7);
    for number in 0..MESSAGES as u32 {
        publish(&route, "many/1", number, &mut batch);
    }
    assert!(route.send(&mut batch).is_none());
    let most = other.await.unwrap() * WIDE;
    assert!(most <= 4 * SLICE, "{most} deliveries while others waited");
}

#[tokio::test]
async fn a_batch_to_many_is_long_until_it_is_sent() {
    let route = Route::start(1).unwrap();
    let _many: Vec<_> = (0..1000).map(|key| subscribe(&route, key, "many")).collect();
    let mut batch = route.batch(7);
    let mut published = 0;
    while !batch.is_long() {
        publish(&route, "many", published, &mut batch);
        published += 1;
    }
    assert!(published as usize * 1000 <= 2 * SLICE + RUN * 1000, "{published} messages to a thousand each");
    assert!(route.send(&mut batch).is_none());
    assert!(!batch.is_long());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_publisher_sends_keeps_its_order_whichever_way_it_goes() {
    const MESSAGES: u32 = 20_000;
    let route = Route::start(2).unwrap();
    let all = subscribe(&route, 1, "#");
    let _many: Vec<_> = (2..2 + WIDE as u64).map(|key| subscribe(&route, key, "many/#")).collect();
    let mut batch = route.batch(7);
    for number in 0..MESSAGES {
        // Runs of many kinds, some in one batch with what goes the other way, some alone.
        let topic = if number % 7 < 2 || number % 1000 < 20 { "many/1" } else { "few/1" };
        publish(&route, topic, number, &mut batch);
        if number % 5 == 0 {
            while let Some(wait) = route.send(&mut batch) {
                wait.over().await;
            }
        }
        if number % 500 == 499 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    assert!(route.send(&mut batch).is_none());
    until_empty(&route).await;
    assert!(all.got.lock().iter().copied().eq(0..MESSAGES));
}
