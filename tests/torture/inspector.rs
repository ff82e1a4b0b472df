//! Looks at what shows from outside, over and over: the API's gateways and the retained messages.
//!
//! What it sees may be older than the last fact, as others go on meanwhile; so it notes how long the history was when
//! it began to look.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::actors::{GATEWAYS, RETAINED};
use crate::client::{Client, News};
use crate::common::V5;
use crate::fact::Fact;
use crate::label::Label;
use crate::scene::{DEADLINE, Scene};

/// How long nothing more may come before what was retained has come.
const QUIET: Duration = Duration::from_millis(100);

pub(crate) fn play(scene: &Arc<Scene>) {
    while !scene.is_over() {
        if look_at_gateways(scene).is_some() && look_at_retained(scene).is_some() {
            scene.inspections.fetch_add(1, Ordering::AcqRel);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing if the broker died meanwhile.
fn look_at_gateways(scene: &Scene) -> Option<()> {
    for gateway in GATEWAYS {
        let life = scene.life()?;
        let began = scene.history.len();
        let (status, body) = ask(life.http, &format!("/api/v1/gateways/{gateway}"))?;
        let view: Value = match status {
            200 => serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}")),
            // No upload of it has begun.
            404 => Value::Null,
            other => panic!("status {other} of {gateway}: {body}"),
        };
        let list = |name: &str, word: &str| {
            let uploads = view[name].as_array().map(Vec::as_slice).unwrap_or_default();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            uploads.iter().map(|upload| (text(&upload["aliases"][0]["bid"]), text(&upload[word]))).collect()
        };
        let running = list("running", "state");
        let mut ended: Vec<(String, String)> = list("history", "outcome");
        ended.reverse();
        scene.record(Fact::Gateway { gateway: gateway.into(), began, running, ended });
    }
    Some(())
}

fn look_at_retained(scene: &Arc<Scene>) -> Option<()> {
    let mut client = Client::clean(scene, V5, "inspector");
    let began = scene.history.len();
    client.connect().then_some(())?;
    client.subscribe("r/#", 1);
    client.ping();
    let until = Instant::now() + DEADLINE;
    let mut quiet_since = None;
    let mut found: HashMap<String, Label> = HashMap::new();
    while quiet_since.is_none_or(|since: Instant| since.elapsed() < QUIET) {
        assert!(Instant::now() < until, "no PINGRESP within {DEADLINE:?}");
        client.poll(Duration::from_millis(5));
        if !client.is_connected() || scene.is_over() {
            return None;
        }
        for news in client.news.drain(..) {
            match news {
                News::Pong => quiet_since = Some(Instant::now()),
                News::Message(message) if message.retain => {
                    quiet_since = quiet_since.map(|_| Instant::now());
                    if let Ok(label) = Label::of(&message) {
                        found.insert(message.topic, label);
                    }
                }
                _ => {}
            }
        }
    }
    for (topic, _) in RETAINED {
        scene.record(Fact::Retained { topic: topic.into(), began, found: found.remove(topic) });
    }
    Some(())
}

/// Status and body of `GET path`, unless the broker dies.
fn ask(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    // HTTP 1.0, so that the body comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        return None;
    }
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
