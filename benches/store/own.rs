//! The store itself.

use crate::{Amount, MESSAGE, copy_all, cpu_time, folder, ms, payload, size};
use dockgate::message::{Message, NEVER, Parts, QoS};
use dockgate::metrics::Metrics;
use dockgate::store::{Entry, Options, Settled, Store, Sync};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn open(folder: &Path) -> (Arc<Store>, dockgate::store::Saved) {
    let (data_dir, metrics) = (folder.to_owned(), Arc::new(Metrics::new()));
    Store::open(&Options { data_dir, sync: Sync::Always, metrics }).unwrap()
}

fn entry(number: u64) -> Entry {
    let (qos, topic, payload) = (QoS::AtLeastOnce, "thing/product/7CTDM3D00B1A2C/services", payload(number));
    let parts =
        Parts { qos, retain: false, publisher: 1, expires_at: NEVER, topic, properties: &[], payload: &payload };
    let (message, ids) = (Message::new(&parts), smallvec::SmallVec::new());
    Entry { message, qos, retain: false, ids, shared: None }
}

pub(crate) fn run(amount: &Amount) {
    println!();
    for publishers in [1, 10, 100, 1_000] {
        settled(publishers, amount);
    }
    passing(amount);
    let loaded = folder();
    load(loaded.path(), amount);
}

/// Publishers that each wait for the acknowledgement of one message before they send the next, to one session that is away.
fn settled(publishers: u64, amount: &Amount) {
    let folder = folder();
    let (store, _) = open(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (cpu, began) = (cpu_time(), Instant::now());
    let each = (amount.commits / 4).max(5);
    let mut times: Vec<Duration> = runtime.block_on(async {
        let all: Vec<_> = (0..publishers)
            .map(|publisher| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    store.put_session(publisher, b"{}".to_vec());
                    for number in 0..each {
                        let began = Instant::now();
                        let ticket = store.put_message(publisher, number, entry(number));
                        assert_eq!(store.settle(ticket).await, Settled::Committed);
                        times.push(began.elapsed());
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for publisher in all {
            times.extend(publisher.await.unwrap());
        }
        times
    });
    let (took, cpu) = (began.elapsed(), cpu_time() - cpu);
    times.sort_unstable();
    let messages = publishers * each;
    println!(
        "{publishers:>5} publishers: {:>7.0} messages/s, acknowledged in {:.1} ms (median), {:.1} ms (99 %), {:.1} µs of CPU each",
        messages as f64 / took.as_secs_f64(),
        ms(times[times.len() / 2]),
        ms(times[times.len() * 99 / 100]),
        cpu.as_secs_f64() * 1e6 / messages as f64,
    );
}

/// Messages that their subscriber acknowledges at once.
fn passing(amount: &Amount) {
    let folder = folder();
    let (store, _) = open(folder.path());
    let entry = entry(1);
    let cpu = cpu_time();
    for number in 0..amount.flood {
        let scope = store.scope();
        store.put_message(1, number, entry.clone());
        store.sent(1, number, std::num::NonZeroU16::MIN);
        store.done(1, number);
        drop(scope);
    }
    let each = (cpu_time() - cpu).as_secs_f64() * 1e9 / amount.flood as f64;
    println!("a message that comes and goes: {each:.0} ns of CPU");
}

fn load(from: &Path, amount: &Amount) {
    let (store, _) = open(from);
    let sessions = amount.rows / 10;
    for session in 0..sessions {
        let scope = store.scope();
        store.put_session(session, format!("{{\"client\":\"7CTDM3D00B1A2C{session}\"}}").into_bytes());
        store.subscribe(session, &format!("thing/product/{session}/services"), b"{\"qos\":1}".to_vec());
        for number in 0..10 {
            store.put_message(session, number, entry(number));
        }
        drop(scope);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.settle(store.put_session(0, b"{}".to_vec())));
    let killed = folder();
    copy_all(from, killed.path());
    store.close();
    for (how, folder) in [("closed", from), ("killed", killed.path())] {
        let (cpu, began) = (cpu_time(), Instant::now());
        let (store, saved) = open(folder);
        let (took, cpu) = (began.elapsed(), cpu_time() - cpu);
        assert_eq!(saved.sessions.len() as u64, sessions);
        println!(
            "{sessions} sessions with 10 messages of {MESSAGE} B each, {how}: opened and read in {:.0} ms, {:.0} ms of CPU, {} MB",
            ms(took),
            ms(cpu),
            size(folder) >> 20,
        );
        if how == "killed" {
            let began = Instant::now();
            for session in 0..sessions {
                store.end_session(session);
            }
            store.close();
            println!("all of them ended and closed in {:.0} ms, {} MB", ms(began.elapsed()), size(folder) >> 20);
        }
    }
}
