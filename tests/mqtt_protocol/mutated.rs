//! Whole conversations with bytes changed, left out and put in at random, the same ones for the same seed
//! (`DOCKGATE_TEST_SEED`, 1 unless it is set).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::common::{BrokerProcess, DEADLINE, Publish, V311, VERSIONS, Version, Wire, get, other_broker};
use crate::split::conversation;

/// Numbers that look random (xorshift64*, Vigna 2016); the same seed gives the same numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("31 bits fit") % limit
    }
}

/// One to four changes anywhere in the conversation.
fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    const TELLING: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0xff, b'#', b'+', b'$'];
    for _ in 0..=numbers.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = numbers.below(bytes.len());
        let telling = TELLING[numbers.below(TELLING.len())];
        match numbers.below(5) {
            0 => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes[at] = telling,
            2 => bytes.insert(at, telling),
            3 => drop(bytes.remove(at)),
            _ => bytes.truncate(at + 1),
        }
    }
}

/// Sends the bytes, then the end of the stream: the broker must close the connection, whatever it made of them.
fn expect_end(broker: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(broker).expect("the broker accepts connections");
    stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    stream.write_all(bytes).ok();
    stream.shutdown(Shutdown::Write).ok();
    let mut answers = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answers) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "no end after {bytes:02x?}");
    }
}

#[test]
fn mutated_conversations_neither_kill_nor_hang_the_broker() {
    let mut broker = BrokerProcess::start(&[]);
    let mut wild = Wire::subscriber(broker.mqtt, "wild", &[("end", 1), ("end/+", 1)]);
    let seed = std::env::var("DOCKGATE_TEST_SEED").map_or(Ok(1), |seed| seed.parse());
    let mut numbers = Numbers(seed.expect("DOCKGATE_TEST_SEED is a number, and not 0"));
    for round in 0..4000 {
        let version: Version = VERSIONS[round % 3];
        let mut bytes: Vec<u8> = conversation(version).into_iter().flat_map(|(packet, _)| packet).collect();
        mutate(&mut bytes, &mut numbers);
        expect_end(broker.mqtt, &bytes);
    }
    broker.expect_alive();
    let mut publisher = Wire::clean(broker.mqtt, V311, "pub");
    for topic in ["end", "end/x"] {
        publisher.publish(&Publish::new(topic, topic).qos(1, 1));
        wild.expect_message(topic);
    }
    if other_broker().is_none() {
        get(broker.http, "/readyz");
        let log = broker.log();
        assert!(!log.contains("panicked"), "{log}");
        assert!(log.len() < 200_000, "hostile input fills the log: {} bytes", log.len());
    }
}
