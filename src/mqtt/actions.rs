//! What a connection does with each packet.

use super::broker::{Accepted, Author};
use super::connect;
use super::connection::{Connection, End};
use super::encode::{self, Ack};
use super::fault::Fault;
use super::held::{Acknowledgement, Hold, REASON as NO_STORAGE};
use super::inflight::Received;
use super::subscriptions::Subscribing;
use super::topic;
use super::traffic::Traffic;
use super::wire::{Packet, Publish};
use crate::message::{NEVER, Parts, QoS};
use crate::metrics::Version;
use crate::route::Subscriber;
use crate::store::{Settled, Ticket};
use bytes::BytesMut;
use bytestring::ByteString;
use rmqtt_codec::v3;
use rmqtt_codec::v5::{self, DisconnectReasonCode, SubscribeAckReason};
use smallvec::SmallVec;
use std::num::NonZeroU16;

/// What the packets of one read bring about together.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) traffic: Traffic,
    /// Packets of any type.
    pub(super) packets: u64,
    /// An acknowledgement came: messages may wait for room in the session's window.
    pub(super) window_opens: bool,
    /// Memory for their messages.
    pub(super) arena: BytesMut,
    /// PUBACK and PUBREC, in the order of the publishes.
    pub(super) acks: SmallVec<[Acknowledgement; 64]>,
}

impl Turn {
    fn ack(&mut self, ack: Ack, id: NonZeroU16, code: u8, reason: Option<&str>, ticket: Ticket) {
        self.acks.push(Acknowledgement::new(ack, id, code, ticket, reason));
    }
}

impl<R, W> Connection<R, W> {
    /// Acts on one packet.
    pub(super) fn act(&mut self, packet: Packet<'_>, turn: &mut Turn) -> Result<(), End> {
        turn.window_opens |= matches!(packet, Packet::PubAck(_) | Packet::PubRec(..) | Packet::PubComp(_));
        match packet {
            Packet::Publish(publish) => {
                turn.traffic.count(publish.qos, publish.payload.len());
                self.publish(&publish, turn).map_err(End::Fault)?;
            }
            Packet::PubAck(id) => self.session.acknowledge(id),
            Packet::PubRec(id, code) => match self.session.received(id, code) {
                (Received::Release(_), ticket) => self.ack(Ack::Pubrel, id, 0, ticket),
                (Received::Refused(_), _) => {}
                (Received::Unknown, _) => self.ack(Ack::Pubrel, id, 0x92, Ticket::NONE),
            },
            Packet::PubRel(id) => {
                let (is_known, ticket) = self.session.release(id);
                self.ack(Ack::Pubcomp, id, if is_known { 0 } else { 0x92 }, ticket);
            }
            Packet::PubComp(id) => self.session.complete(id),
            Packet::Subscribe(packet) => {
                self.broker.deliver(&mut self.batch);
                if packet.filters.iter().any(|(filter, options)| options.no_local && filter.starts_with("$share/")) {
                    return Err(End::Fault(Fault::protocol("No Local on a shared subscription"))); // MQTT-3.8.3-4
                }
                self.subscribing = Some(Box::new(Subscribing { packet, codes: Vec::new(), ticket: Ticket::NONE }));
                self.go_on_subscribing();
            }
            Packet::Unsubscribe(packet_id, filters) => {
                self.broker.deliver(&mut self.batch);
                let (status, ticket) = self.broker.unsubscribe(&self.session, &filters);
                let mut packet = BytesMut::new();
                if self.version == Version::V5 {
                    let (properties, reason_string) = (Vec::new(), None);
                    let ack = v5::UnsubscribeAck { packet_id, properties, reason_string, status };
                    encode::v5(&mut packet, v5::Packet::UnsubscribeAck(ack));
                } else {
                    encode::v3(&mut packet, v3::Packet::UnsubscribeAck { packet_id });
                }
                self.send_after(ticket, packet, Hold::Alone);
            }
            Packet::Ping => {
                self.packets_out += 1;
                if self.version == Version::V5 {
                    encode::v5(&mut self.output, v5::Packet::PingResponse);
                } else {
                    encode::v3(&mut self.output, v3::Packet::PingResponse);
                }
            }
            Packet::Disconnect(disconnect) => return Err(self.disconnect(&disconnect)),
        }
        Ok(())
    }

    fn publish(&mut self, publish: &Publish<'_>, turn: &mut Turn) -> Result<(), Fault> {
        let named;
        let topic = match publish.properties.topic_alias {
            None => publish.topic,
            Some(alias) => {
                named = self.resolve(alias, publish.topic)?;
                &named
            }
        };
        if topic.is_empty() && publish.properties.topic_alias.is_none() && self.version == Version::V5 {
            return Err(Fault::protocol("neither a topic name nor a topic alias")); // MQTT 5, 3.3.2.1
        }
        topic::check_name(topic, self.broker.topic_limits())?;
        let mut ticket = Ticket::NONE;
        if publish.qos == QoS::ExactlyOnce {
            let id = publish.packet_id.unwrap_or(NonZeroU16::MIN);
            let v5 = self.version == Version::V5;
            let most = if v5 { usize::from(self.limits.receive_maximum) } else { usize::MAX };
            match self.session.receive(id, most) {
                None => return Err(Fault::RECEIVE_MAXIMUM),
                Some((true, received)) => ticket = received,
                // Sent again because our PUBREC got lost: it has been published (MQTT-4.3.3-10).
                Some((false, received)) => {
                    turn.acks.push(Acknowledgement::again(id, received));
                    return Ok(());
                }
            }
        }
        let now = || self.broker.clock.now_ms();
        let parts = Parts {
            qos: publish.qos,
            retain: publish.retain,
            publisher: self.session.key(),
            expires_at: publish.properties.expiry.map_or(NEVER, |seconds| now() + u64::from(seconds) * 1000),
            topic,
            properties: &publish.properties.forwarded(),
            payload: publish.payload,
        };
        let (identity, rights, presence) = (&self.identity, &self.rights, &self.presence);
        let author = Author { identity, rights, presence, is_here: true };
        let accepted = self.broker.publish(&author, &parts, &mut self.batch, &mut turn.arena);
        let Some(id) = publish.packet_id else { return Ok(()) };
        if self.broker.store.is_failing() {
            // One is refused and the next is not: each is delivered by itself, and has an answer of its own.
            self.broker.deliver(&mut self.batch);
            ticket = ticket.max(self.batch.take_ticket());
        }
        let ack = if publish.qos == QoS::AtLeastOnce { Ack::Puback } else { Ack::Pubrec };
        match accepted {
            Accepted::Delivered => turn.ack(ack, id, 0, None, ticket),
            Accepted::NoSubscriber => turn.ack(ack, id, 0x10, None, ticket),
            Accepted::NotAuthorized => self.refuse(ack, id, 0x87, None, turn),
            // MQTT 3 has no word for it, but it can be told nothing: what the disk keeps from being retained comes again.
            Accepted::NoStorage if self.version != Version::V5 => {
                turn.ack(ack, id, 0, None, ticket.max(self.broker.store.refused()));
            }
            Accepted::NoStorage => {
                let reason = Some(NO_STORAGE).filter(|_| self.problem_info);
                self.refuse(ack, id, 0x97, reason, turn);
            }
            Accepted::Quota(reason) => {
                let reason = Some(&reason[..]).filter(|_| self.problem_info);
                self.refuse(ack, id, 0x97, reason, turn);
            }
        }
        Ok(())
    }

    /// Acknowledges a publish with an error; MQTT 3 has none, and is told nothing.
    fn refuse(&mut self, ack: Ack, id: NonZeroU16, code: u8, reason: Option<&str>, turn: &mut Turn) {
        // With an error in PUBREC the exchange is over (MQTT 5, 4.3.3); MQTT 3 goes on as ever.
        if self.version == Version::V5 && matches!(ack, Ack::Pubrec) {
            self.session.release(id);
        }
        turn.ack(ack, id, code, reason, Ticket::NONE);
    }

    /// Acknowledges what has been acted on, as soon as it is safe.
    pub(super) fn acknowledge(&mut self, turn: &mut Turn) {
        let ticket = self.batch.take_ticket();
        self.packets_out += turn.acks.len() as u64;
        for mut ack in turn.acks.drain(..) {
            let mut ticket = ack.ticket().max(ticket);
            if ticket.is_refused() && ack.code < 0x80 {
                // It has not been kept for all: when it comes again, it must not be taken for one that has. That is settled
                // now, whether or not the connection lives until the client is told.
                if ack.ack == Ack::Pubrec {
                    self.session.release(ack.id);
                }
                if self.version != Version::V5 {
                    continue;
                }
                let reason = Some(NO_STORAGE).filter(|_| self.problem_info);
                (ack, ticket) = (Acknowledgement::new(ack.ack, ack.id, 0x97, Ticket::NONE, reason), Ticket::NONE);
            }
            if self.is_safe(ticket) && !self.held.has_acks() {
                ack.encode(&mut self.output, self.version);
            } else {
                self.held.hold_ack(ticket, ack);
            }
        }
    }

    /// The topic behind an alias (MQTT 5, 3.3.2.3.4), after `topic`, if there is one, has become it.
    fn resolve(&mut self, alias: u16, topic: &str) -> Result<ByteString, Fault> {
        if alias == 0 || alias > self.limits.topic_alias_maximum {
            return Err(Fault::TOPIC_ALIAS);
        }
        if topic.is_empty() {
            let unknown = Fault::protocol("a topic alias that has not been defined");
            return self.aliases.get(&alias).cloned().ok_or(unknown);
        }
        if topic.len() > self.limits.topic_length {
            return Err(topic::Unusable::TooLong.into());
        }
        let topic: ByteString = topic.into();
        self.aliases.insert(alias, topic.clone());
        Ok(topic)
    }

    fn disconnect(&self, disconnect: &v5::Disconnect) -> End {
        let asked = disconnect.session_expiry_interval_secs;
        // MQTT-3.1.2-23: a session that was to end with its connection cannot be prolonged now.
        if asked.is_some_and(|seconds| seconds > 0) && self.session.state().terms.expiry_ms == 0 {
            return End::Fault(Fault::protocol("a session expiry in DISCONNECT after 0 in CONNECT"));
        }
        let expiry_ms = asked.map(|seconds| connect::expiry_ms(seconds, &self.limits));
        let with_will = disconnect.reason_code != DisconnectReasonCode::NormalDisconnection;
        End::Client { expiry_ms, with_will }
    }

    /// Subscribes to the next filters of the SUBSCRIBE that is being acted on; after the last comes its SUBACK.
    pub(super) fn go_on_subscribing(&mut self) {
        let Some(mut subscribing) = self.subscribing.take() else { return };
        if self.broker.subscribe(&self.session, &mut subscribing) {
            self.subscribing = Some(subscribing);
        } else {
            let Subscribing { packet, codes, ticket } = *subscribing;
            self.suback(packet.packet_id, codes, ticket);
        }
    }

    fn suback(&mut self, packet_id: NonZeroU16, status: Vec<SubscribeAckReason>, ticket: Ticket) {
        let mut packet = BytesMut::new();
        if self.version == Version::V5 {
            let (properties, reason_string) = (Vec::new(), None);
            let ack = v5::SubscribeAck { packet_id, properties, reason_string, status };
            encode::v5(&mut packet, v5::Packet::SubscribeAck(ack));
        } else {
            let code = |reason: SubscribeAckReason| match QoS::try_from(u8::from(reason)) {
                Ok(qos) => v3::SubscribeReturnCode::Success(qos),
                Err(_) => v3::SubscribeReturnCode::Failure,
            };
            let status = status.into_iter().map(code).collect();
            encode::v3(&mut packet, v3::Packet::SubscribeAck { packet_id, status });
        }
        // Messages of the subscription might come first, but no client expects that.
        self.send_after(ticket, packet, Hold::WithThoseAfter);
    }

    /// PUBREL or PUBCOMP.
    pub(super) fn ack(&mut self, ack: Ack, id: NonZeroU16, code: u8, ticket: Ticket) {
        self.packets_out += 1;
        if self.is_safe(ticket) {
            return encode::ack(&mut self.output, ack, id, code, None, self.version);
        }
        let mut packet = BytesMut::new();
        encode::ack(&mut packet, ack, id, code, None, self.version);
        self.held.hold(ticket, packet, Hold::Alone);
    }

    /// Whether what the ticket is for is safe.
    pub(super) fn is_safe(&self, ticket: Ticket) -> bool {
        !ticket.is_some() || self.broker.store.settled(ticket) == Some(Settled::Committed)
    }

    fn send_after(&mut self, ticket: Ticket, packet: BytesMut, how: Hold) {
        self.packets_out += 1;
        if self.is_safe(ticket) {
            self.output.extend_from_slice(&packet);
        } else {
            self.held.hold(ticket, packet, how);
        }
    }
}
