//! A connected client: its handshake, and what it has read but not yet used.

use std::sync::Arc;

use super::BenchError;
use super::pipe::Pipe;
use super::reader::PacketReader;
use super::target::Target;
use super::wire::{self, CONNACK, ConnAck, SUBACK};
use crate::sim::fleet::{Version, reason};

/// A client that the broker has accepted.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) pipe: Arc<Pipe>,
    pub(super) reader: PacketReader,
    pub(super) version: Version,
    /// Messages of QoS 1 and 2 that the broker lets wait for their acknowledgement.
    pub(super) receive_maximum: u16,
    maximum_qos: u8,
}

impl Client {
    /// Connects with a new session and waits for the CONNACK. `read_buffer` is what one read can take.
    pub(super) async fn connect(
        target: &Target,
        version: Version,
        id: String,
        read_buffer: usize,
    ) -> Result<Self, BenchError> {
        let (address, tls) = (target.address, target.tls());
        let pipe = Pipe::open(address, tls).await;
        let pipe =
            pipe.map_err(|source| BenchError::Connect { client: id.clone(), address, tls: tls.is_some(), source })?;
        let reader = PacketReader::with_capacity(read_buffer);
        let mut client = Self { id, pipe: Arc::new(pipe), reader, version, receive_maximum: u16::MAX, maximum_qos: 2 };
        let connect = wire::connect(version, &client.id, target.user(), target.password());
        client.write(&connect).await?;
        let body = client.expect(CONNACK).await?;
        let Some(ack) = ConnAck::read(&body, version) else {
            return Err(client.unexpected(format!("a CONNACK that cannot be read: {body:02x?}")));
        };
        if ack.code != 0 {
            return Err(BenchError::Refused { client: client.id, code: ack.code, reason: reason(ack.code) });
        }
        client.receive_maximum = ack.receive_maximum.max(1);
        client.maximum_qos = ack.maximum_qos;
        Ok(client)
    }

    /// Subscribes and waits until every filter is granted.
    pub(super) async fn subscribe(&mut self, filters: &[String], qos: u8) -> Result<(), BenchError> {
        let subscribe = wire::subscribe(self.version, filters, qos);
        self.write(&subscribe).await?;
        let suback = self.expect(SUBACK).await?;
        // MQTT 5 has properties before the codes, which are as many as the filters.
        let codes = suback.len().checked_sub(filters.len()).filter(|begin| *begin >= 2).map(|begin| &suback[begin..]);
        let Some(codes) = codes else {
            return Err(self.unexpected(format!("a SUBACK with too few codes: {suback:02x?}")));
        };
        match codes.iter().zip(filters).find(|(code, _)| **code != qos) {
            None => Ok(()),
            Some((code, filter)) => {
                Err(BenchError::NotSubscribed { client: self.id.clone(), filter: filter.clone(), qos, code: *code })
            }
        }
    }

    /// Says whether the broker takes this QoS.
    pub(super) fn check_qos(&self, qos: u8) -> Result<(), BenchError> {
        if qos <= self.maximum_qos {
            return Ok(());
        }
        Err(self.unexpected(format!("a CONNACK with a maximum QoS of {}, and {qos} was to be used", self.maximum_qos)))
    }

    /// Writes all of it.
    pub(super) async fn write(&self, bytes: &[u8]) -> Result<(), BenchError> {
        self.pipe.write_all(bytes).await.map_err(BenchError::broken(&self.id))
    }

    /// Waits for bytes.
    pub(super) async fn fill(&mut self) -> Result<(), BenchError> {
        self.pipe.fill(&mut self.reader).await.map_err(BenchError::broken(&self.id))
    }

    /// The body of the next packet, which must be of this kind.
    pub(super) async fn expect(&mut self, first: u8) -> Result<Vec<u8>, BenchError> {
        loop {
            let packet = self.reader.next().map_err(BenchError::broken(&self.id))?;
            match packet.map(|packet| (packet.first, packet.body.to_vec())) {
                Some((found, body)) if found == first => return Ok(body),
                Some((found, _)) => {
                    return Err(self.unexpected(format!("a packet {found:#04x} instead of {first:#04x}")));
                }
                None => self.fill().await?,
            }
        }
    }

    /// The broker broke the protocol, or this is not what was asked of it.
    pub(super) fn unexpected(&self, what: String) -> BenchError {
        BenchError::Unexpected { client: self.id.clone(), what }
    }
}
