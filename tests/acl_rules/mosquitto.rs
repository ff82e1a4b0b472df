//! The same ACL files, clients and topics, asked of Mosquitto and of us.

use super::common::{Answer, Connect, DEADLINE, PINGREQ, Publish, V311, Wire, eventually};
use super::{by_file, client, line, topics};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const MISSING: &str = "mosquitto is needed: apt-get install mosquitto (see README.md)";

/// It sees what others publish, and publishes what they may read. In Mosquitto, too, what a user's own rules allow no pattern
/// denies.
const WITNESS: &str = "user witness\ntopic readwrite #\ntopic readwrite $x/#\n";

const FILES: [&str; 7] = [
    "",
    "topic a\ntopic deny a/b\ntopic read a/#\nuser bob\ntopic write a/+\n",
    "user bob\ntopic readwrite #\ntopic deny a/#\nuser b b\ntopic read +/b\nuser bob\ntopic b/b/b\n",
    "pattern write %u/#\npattern read +/%c\npattern deny a/%c/b\n",
    "pattern a/#\npattern deny a/b\nuser bob\ntopic read a/b\ntopic deny a/a\n",
    "# comment\r\n\r\n  topic   read   a/b  \r\npattern readwrite b/+/#\r\nuser b b \r\ntopic read a b/a\r\n",
    "topic read $x/#\ntopic read +/a\npattern read $x/%c\nuser bob\ntopic #\n",
];

/// Client identifier and user name.
const CLIENTS: [(&str, Option<&str>); 5] =
    [("a", None), ("a", Some("bob")), ("b", Some("b b")), ("+", Some("bob")), ("a", Some("#"))];

/// Mosquitto with a listener for each ACL file; it is killed when this is dropped.
struct Mosquitto {
    child: Child,
    listeners: Vec<SocketAddr>,
}

impl Mosquitto {
    fn start(directory: &Path, files: &[String]) -> Self {
        let free: Vec<TcpListener> =
            files.iter().map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let listeners: Vec<_> = free.iter().map(|free| free.local_addr().expect("it is bound")).collect();
        let mut settings = "per_listener_settings true\nuser root\nlog_dest none\nset_tcp_nodelay true\n".to_owned();
        for (address, content) in listeners.iter().zip(files) {
            let path = directory.join(format!("{}.acl", address.port()));
            fs::write(&path, format!("{content}{WITNESS}")).expect("the directory is ours");
            write!(
                settings,
                "listener {} 127.0.0.1\nallow_anonymous true\nacl_file {}\n",
                address.port(),
                path.display()
            )
            .expect("a string takes all");
        }
        let path = directory.join("mosquitto.conf");
        fs::write(&path, settings).expect("the directory is ours");
        drop(free);
        let child = Command::new("mosquitto").arg("-c").arg(path).stdout(Stdio::null()).spawn().expect(MISSING);
        let mosquitto = Self { child, listeners };
        for address in &mosquitto.listeners {
            eventually("mosquitto listens", || TcpStream::connect(address).is_ok());
        }
        mosquitto
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The topics of the messages that have come before the answer to a ping, if their payload is this.
fn arrived(wire: &mut Wire, payload: &str) -> BTreeSet<String> {
    wire.send(&PINGREQ);
    let mut topics = BTreeSet::new();
    loop {
        match wire.next() {
            Answer::Publish(message) if message.text() == payload => _ = topics.insert(message.topic),
            Answer::Publish(_) => {}
            Answer::Pingresp => return topics,
            other => panic!("a message or the answer to a ping expected within {DEADLINE:?}, {other:?} came"),
        }
    }
}

/// What a client may read and write of `topics`, by what Mosquitto does. It works off one packet after the other, so that
/// everything of before a ping comes before the answer to it.
fn found(broker: SocketAddr, (id, username): (&str, Option<&str>), topics: &[String]) -> [BTreeSet<String>; 2] {
    let filters: Vec<_> = topics.iter().map(|topic| (topic.as_str(), 0)).collect();
    let mut witness = Wire::connect(broker, &Connect::new(V311, "witness").login("witness", ""));
    let connect = Connect::new(V311, id);
    let connect = username.map_or(connect.clone(), |name| connect.login(name, ""));
    let mut client = Wire::connect(broker, &connect);
    witness.subscribe(&filters);
    client.subscribe(&filters);
    for topic in topics {
        witness.push(&Publish::new(topic, "from the witness"));
    }
    arrived(&mut witness, "");
    let read = arrived(&mut client, "from the witness");
    for topic in topics {
        client.push(&Publish::new(topic, "from the client"));
    }
    arrived(&mut client, "");
    [read, arrived(&mut witness, "from the client")]
}

#[test]
fn an_acl_file_means_the_same_as_to_mosquitto() {
    let mut files: Vec<String> = FILES.iter().map(ToString::to_string).collect();
    let mut runner = TestRunner::deterministic();
    let file = proptest::collection::vec(line(), 3..12);
    files.extend((0..20).map(|_| file.new_tree(&mut runner).expect("lines are simple").current().concat()));
    let mut topics = topics(&["a", "b", "bob", ""]);
    topics.extend(["$x/a", "$x/b", "$x", "a b/a"].map(str::to_owned));

    let directory = tempfile::tempdir().expect("a temporary directory");
    let mosquitto = Mosquitto::start(directory.path(), &files);
    let mut allowed = 0;
    for (broker, file) in mosquitto.listeners.iter().zip(&files) {
        let access = by_file(file);
        for (id, username) in CLIENTS {
            let [read, write] = found(*broker, (id, username), &topics);
            allowed += read.len() + write.len();
            let rights = access.rights(&client(id, username));
            for topic in &topics {
                let (ours, theirs) = (
                    (rights.may_read(topic), rights.may_publish(topic)),
                    (read.contains(topic), write.contains(topic)),
                );
                assert_eq!(ours, theirs, "(read, write) {topic:?} by client {id:?}, user {username:?}, under:\n{file}");
            }
        }
    }
    let asked = 2 * topics.len() * CLIENTS.len() * files.len();
    assert!(allowed > asked / 10 && allowed < asked * 9 / 10, "{allowed} of {asked} allowed: the files say too little");
}
