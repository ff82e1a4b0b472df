//! MQTT 5 properties of a message: kept for MQTT 5 subscribers, left out for older ones.

use crate::common::property::{
    AUTH_METHOD, CONTENT_TYPE, CORRELATION, MAXIMUM_PACKET_SIZE, PAYLOAD_FORMAT, REASON, RESPONSE_TOPIC, TOPIC_ALIAS,
    USER, find, text, user,
};
use crate::common::{Answer, Broker, Connect, Property, Publish, V5, V31, V311, VERSIONS, Value, Wire};

fn rich() -> Vec<Property> {
    vec![
        (PAYLOAD_FORMAT, Value::Byte(1)),
        text(CONTENT_TYPE, "application/json"),
        text(RESPONSE_TOPIC, "answers/1"),
        (CORRELATION, Value::Bytes(vec![0, 1, 0xff])),
        user("order", "1"),
        user("order", "2"),
        user("", ""),
        user("机场", "度"),
    ]
}

#[test]
fn properties_reach_mqtt_5_subscribers_as_they_were() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::clean(broker.mqtt, V5, "sub");
    subscriber.subscribe(&[("rich/exact", 2), ("rich/+/wild", 2)]);
    let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
    for topic in ["rich/exact", "rich/1/wild"] {
        for qos in 0..=2 {
            let mut message = Publish::new(topic, "{}").qos(qos, 1);
            message.properties = rich();
            publisher.publish(&message);
            let mut came = subscriber.expect_message("{}").properties;
            let order = |properties: &[Property]| -> Vec<Property> {
                properties.iter().filter(|(id, _)| *id == USER).cloned().collect()
            };
            assert_eq!(order(&came), order(&rich()), "3.3.2-18: in order");
            came.retain(|property| !rich().contains(property));
            assert_eq!(came, [], "only what was published, at {qos} on {topic}");
        }
    }
}

#[test]
fn subscribers_of_mqtt_3_get_the_message_without_properties() {
    let broker = Broker::start(|_| {});
    for version in [V31, V311] {
        let mut subscriber = Wire::clean(broker.mqtt, version, "sub");
        subscriber.subscribe(&[("plain/exact", 2), ("plain/+/wild", 2)]);
        let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
        for topic in ["plain/exact", "plain/1/wild"] {
            for qos in 0..=2 {
                let mut message = Publish::new(topic, "payload").qos(qos, 1);
                message.properties = rich();
                publisher.publish(&message);
                let came = subscriber.expect_message("payload");
                assert_eq!((came.topic.as_str(), came.qos), (topic, qos));
            }
        }
    }
}

#[test]
fn messages_of_mqtt_3_reach_mqtt_5_subscribers_without_properties() {
    let broker = Broker::start(|_| {});
    let mut subscriber = Wire::clean(broker.mqtt, V5, "sub");
    subscriber.subscribe(&[("old/#", 1)]);
    for version in [V31, V311] {
        let mut publisher = Wire::clean(broker.mqtt, version, "pub");
        publisher.publish(&Publish::new("old/x", "x").qos(1, 1));
        assert_eq!(subscriber.expect_message("x").properties, []);
    }
}

#[test]
fn a_request_and_its_response_find_each_other() {
    let broker = Broker::start(|_| {});
    let mut asks = Wire::clean(broker.mqtt, V5, "asks");
    asks.subscribe(&[("answers/asks", 1)]);
    let mut replies = Wire::clean(broker.mqtt, V5, "replies");
    replies.subscribe(&[("questions", 1)]);
    let question = Publish::new("questions", "?")
        .qos(1, 1)
        .property(text(RESPONSE_TOPIC, "answers/asks"))
        .property((CORRELATION, Value::Bytes(b"42".to_vec())));
    asks.publish(&question);
    let question = replies.expect_message("?");
    let Some(Value::Text(topic)) = find(&question.properties, RESPONSE_TOPIC) else {
        panic!("no response topic: {question:?}");
    };
    let correlation = find(&question.properties, CORRELATION).unwrap().clone();
    let answer = Publish::new(topic, "!").qos(1, 1).property((CORRELATION, correlation.clone()));
    replies.publish(&answer);
    let answer = asks.expect_message("!");
    assert_eq!(find(&answer.properties, CORRELATION), Some(&correlation));
}

#[test]
fn user_properties_of_subscribe_and_disconnect_do_no_harm() {
    let broker = Broker::start(|_| {});
    let mut wire = Wire::clean(broker.mqtt, V5, "user");
    assert_eq!(wire.try_subscribe(&[user("a", "b")], &[("x", 1)]), [1]);
    wire.send(&crate::common::disconnect(0, &[user("a", "b"), text(REASON, "done")]));
    assert_eq!(wire.expect_closed(), None);
}

#[test]
fn an_authentication_method_is_refused_by_its_code() {
    let broker = Broker::start(|_| {});
    let connect = Connect::new(V5, "auth").property(text(AUTH_METHOD, "SCRAM-SHA-1"));
    let (mut wire, connack) = Wire::try_connect(broker.mqtt, &connect);
    assert_eq!(connack.code, 0x8c, "4.12.0-1");
    wire.expect_closed();
}

#[test]
fn connack_keeps_to_the_clients_maximum_packet_size() {
    let broker = Broker::start(|_| {});
    let connect = Connect::new(V5, "tiny").property((MAXIMUM_PACKET_SIZE, Value::Four(30)));
    let mut wire = Wire::open(broker.mqtt, V5);
    wire.send(&connect.bytes());
    // A server that cannot say less may close instead; what it sends must fit.
    if let Some(answer) = wire.next_or_close() {
        assert!(matches!(answer, Answer::Connack(ref connack) if connack.code == 0), "{answer:?}");
        wire.expect_alive();
    }
}

#[test]
fn no_alias_is_sent_to_a_client_that_did_not_allow_it() {
    let broker = Broker::start(|_| {});
    for version in VERSIONS {
        let mut subscriber = Wire::clean(broker.mqtt, version, "sub");
        subscriber.subscribe(&[("alias/out/#", 0)]);
        let mut publisher = Wire::clean(broker.mqtt, V5, "pub");
        publisher.push(&Publish::new("alias/out/x", "1").property((TOPIC_ALIAS, Value::Two(1))));
        publisher.push(&Publish::new("", "2").property((TOPIC_ALIAS, Value::Two(1))));
        for payload in ["1", "2"] {
            let message = subscriber.expect_message(payload);
            assert_eq!(message.topic, "alias/out/x", "3.3.2-9");
            assert_eq!(find(&message.properties, TOPIC_ALIAS), None);
        }
    }
}
