use super::*;

#[test]
fn a_connect_has_the_bytes_of_the_specification() {
    let mut out = BytesMut::new();
    let who = Connect { client_id: "a", keep_alive: 10, user: Some("u"), password: Some(b"p") };
    connect(&mut out, Version::V311, &who);
    assert_eq!(&out[..], b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x0a\x00\x01a\x00\x01u\x00\x01p");
    out.clear();
    connect(&mut out, Version::V5, &Connect { user: None, password: None, ..who });
    assert_eq!(&out[..], b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x01a");
}

#[test]
fn a_publish_is_read_as_it_was_written_whatever_its_length() {
    for (version, qos, length) in
        [(Version::V311, 0, 3), (Version::V311, 1, 200), (Version::V5, 0, 20_000), (Version::V5, 1, 3_000_000)]
    {
        let mut out = BytesMut::new();
        publish(&mut out, version, "a/b", qos, 7, length);
        out.put_bytes(b'x', length);
        let (packet, used) = decode(&out, version).unwrap().unwrap();
        let acknowledge = (qos == 1).then_some(7);
        assert_eq!(packet, Packet::Publish { topic: "a/b", payload: &vec![b'x'; length], acknowledge });
        assert_eq!(used, out.len());
        for cut in [1, 2, 4, out.len() - 1] {
            assert_eq!(decode(&out[..cut], version), Ok(None));
        }
    }
}

#[test]
fn the_connack_of_mqtt_5_says_what_the_broker_allows() {
    let bytes = b"\x20\x0c\x00\x00\x09\x21\x00\x14\x13\x00\x3c\x24\x01\x2a";
    // The length of the properties is one short: the last has no value.
    assert_eq!(decode(bytes, Version::V5), Err(SHORT));
    let bytes = b"\x20\x0b\x00\x00\x08\x21\x00\x14\x13\x00\x3c\x24\x01";
    let ack = ConnAck { code: 0, receive_maximum: 20, keep_alive: Some(60) };
    assert_eq!(decode(bytes, Version::V5), Ok(Some((Packet::ConnAck(ack), 13))));
}

#[test]
fn acknowledgements_have_a_reason_in_mqtt_5_only() {
    let bytes = b"\x40\x0a\x00\x07\x97\x06\x1f\x00\x03why";
    assert_eq!(decode(bytes, Version::V5), Ok(Some((Packet::PubAck { pid: 7, code: 0x97 }, 12))));
    assert!(decode(bytes, Version::V311).is_err());
    assert_eq!(decode(b"\x40\x02\x00\x07", Version::V311), Ok(Some((Packet::PubAck { pid: 7, code: 0 }, 4))));
}

#[test]
fn what_no_server_sends_is_refused() {
    for bytes in
        [&b"\x10\x00"[..], b"\x34\x05\x00\x01a\x00\x01", b"\xd0\x01x", b"\xe0\x00", b"\x30\xff\xff\xff\xff\x01"]
    {
        assert!(decode(bytes, Version::V311).is_err(), "{bytes:?}");
    }
}
