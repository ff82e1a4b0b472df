//! Who takes part: which clients, and what each of them does.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::changer::Changer;
use crate::client::Client;
use crate::common::{V5, V311, property};
use crate::inspector;
use crate::publisher::Publisher;
use crate::random::Random;
use crate::retainer::Retainer;
use crate::scene::Scene;
use crate::subscriber::{Habit, Subscriber};
use crate::uploader::Uploader;

/// What has to be granted before the publishers begin.
pub(crate) const SUBSCRIPTIONS: usize = 16;
/// The gateways with uploads.
pub(crate) const GATEWAYS: [&str; 4] = ["4TADK7E0000001", "7CTDM7E0000002", "8UUXN7E0000003", "7CTDM7E0000004"];
/// The topics with retained messages, and who writes them.
pub(crate) const RETAINED: [(&str, &str); 6] = [
    ("r/a", "retain-clean-311"),
    ("r/b/c", "retain-clean-311"),
    ("r/d", "retain-311"),
    ("r/e/f/g", "retain-311"),
    ("r/h", "retain-5"),
    ("r/i", "retain-5"),
];

/// An actor at work.
pub(crate) type Actor = JoinHandle<()>;

/// Starts all.
pub(crate) fn start(scene: &Arc<Scene>, seed: u64) -> Vec<Actor> {
    let mut actors = subscribers(scene, seed);
    actors.extend(publishers(scene, seed));
    for (version, name) in [(V311, "change-311"), (V5, "change-5")] {
        let changer = Changer::new(Client::persistent(scene, version, name), Random::new(seed, name));
        actors.push(spawn(scene, name, move |scene| changer.play(scene)));
    }
    for (client, window) in [
        (Client::clean(scene, V311, "retain-clean-311"), 1),
        (Client::persistent(scene, V311, "retain-311"), 3),
        (Client::persistent(scene, V5, "retain-5"), 3),
    ] {
        let name = client.name.to_string();
        let retainer = Retainer::new(client, window, Random::new(seed, &name));
        actors.push(spawn(scene, &name, move |scene| retainer.play(scene)));
    }
    for (at, gateway) in GATEWAYS.into_iter().enumerate() {
        let uploader = Uploader::new(scene, gateway, at, Random::new(seed, gateway));
        actors.push(spawn(scene, gateway, move |scene| uploader.play(scene)));
    }
    actors.push(spawn(scene, "inspector", inspector::play));
    actors
}

fn subscribers(scene: &Arc<Scene>, seed: u64) -> Vec<Actor> {
    let few = (property::RECEIVE_MAXIMUM, property::Value::Two(3));
    type Filters<'a> = &'a [(&'a str, u8)];
    let cast: [(Client, Filters<'_>, Habit); 14] = [
        (Client::persistent(scene, V311, "exact-q1"), &[("t/a", 1)], Habit::Steady),
        (Client::persistent(scene, V5, "all-q2"), &[("t/#", 2)], Habit::Steady),
        (Client::persistent(scene, V5, "overlapping"), &[("t/+", 1), ("t/a", 2)], Habit::Flighty),
        (Client::persistent(scene, V311, "exact-q2"), &[("t/a", 2)], Habit::Flighty),
        (Client::persistent(scene, V311, "away-q2"), &[("t/+/d", 2)], Habit::Away),
        (Client::persistent(scene, V5, "slow-q1").property(few.clone()), &[("+/b", 1)], Habit::Slow),
        (Client::persistent(scene, V5, "slow-q2").property(few), &[("t/c/d", 2)], Habit::Slow),
        (Client::persistent(scene, V311, "never-pubcomp"), &[("t/#", 2)], Habit::WithoutPubcomp),
        (Client::persistent(scene, V5, "share-q2-steady"), &[("$share/two/t/#", 2)], Habit::Steady),
        (Client::persistent(scene, V311, "share-q2-flighty"), &[("$share/two/t/#", 2)], Habit::Flighty),
        (Client::persistent(scene, V5, "share-q1-a"), &[("$share/one/t/a", 1)], Habit::Flighty),
        (Client::persistent(scene, V5, "share-q1-b"), &[("$share/one/t/a", 1)], Habit::Away),
        // Not of every gateway: where nobody else waits for the commit, the ledger has to.
        (Client::persistent(scene, V311, "docks"), &[("thing/product/7CTDM7E0000002/#", 1)], Habit::Flighty),
        (Client::persistent(scene, V5, "backends"), &[("thing/product/8UUXN7E0000003/events", 2)], Habit::Slow),
    ];
    let cast = cast.map(|(client, filters, habit)| {
        let name = client.name.to_string();
        let filters: Vec<_> = filters.iter().map(|(filter, qos)| ((*filter).to_owned(), *qos)).collect();
        let subscriber = Subscriber::new(client, filters, habit, Random::new(seed, &name));
        spawn(scene, &name, move |scene| subscriber.play(scene))
    });
    cast.into()
}

fn publishers(scene: &Arc<Scene>, seed: u64) -> Vec<Actor> {
    let cast: [(Client, &'static [u8]); 7] = [
        (Client::clean(scene, V311, "publish-q1-clean"), &[1]),
        (Client::persistent(scene, V311, "publish-q1-311"), &[1]),
        (Client::persistent(scene, V5, "publish-q1-5"), &[1]),
        (Client::persistent(scene, V311, "publish-q2-311"), &[2]),
        (Client::persistent(scene, V5, "publish-q2-5"), &[2]),
        (Client::persistent(scene, V5, "publish-mixed-5"), &[1, 2]),
        (Client::persistent(scene, V311, "publish-mixed-311"), &[1, 2]),
    ];
    let cast = cast.map(|(client, qos)| {
        let name = client.name.to_string();
        let publisher = Publisher::new(client, qos, Random::new(seed, &name));
        spawn(scene, &name, move |scene| publisher.play(scene))
    });
    cast.into()
}

fn spawn(scene: &Arc<Scene>, name: &str, play: impl FnOnce(&Arc<Scene>) + Send + 'static) -> Actor {
    let scene = Arc::clone(scene);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || play(&scene)).expect("a thread starts")
}
