//! Mosquitto's acl_file, as it stands.

use super::common::{Connect, Publish, V5, V311, Wire};
use super::{Files, client};

const ACL: &str = "\
# General: clients without a user name.
topic read public/#

user alice
topic read house/#
topic write house/alice/#
topic deny house/alice/secret

user bob
topic readwrite #

pattern readwrite inbox/%u
pattern write by-client/%c/out
";

#[test]
fn the_sections_of_an_acl_file_mean_what_they_mean_to_mosquitto() {
    let files = Files::with_users(&["alice", "bob"]);
    files.write_acl(ACL);
    let broker = files.start(&[("DOCKGATE_ACCESS__ALLOW_ANONYMOUS", "true")]);
    let nobody = Wire::connect(broker.mqtt, &Connect::new(V5, "nobody"));
    let mut clients = [client(&broker, V5, "alice"), client(&broker, V5, "bob"), nobody];
    const ALICE: usize = 0;
    const BOB: usize = 1;
    const NOBODY: usize = 2;

    for (who, topic, allowed) in [
        (ALICE, "house/alice/light", true),
        (ALICE, "house/alice/secret", false),
        (ALICE, "house/bob/light", false),
        (ALICE, "inbox/alice", true),
        (ALICE, "inbox/bob", false),
        (ALICE, "by-client/alice/out", true),
        (ALICE, "by-client/bob/out", false),
        (BOB, "anything/at/all", true),
        (NOBODY, "public/x", false),
        (NOBODY, "by-client/nobody/out", true),
        (NOBODY, "inbox/", false),
    ] {
        let code = clients[who].publish(&Publish::new(topic, "x").qos(1, 1));
        assert_eq!(code, if allowed { 0x10 } else { 0x87 }, "{topic}");
    }
    for (who, filter, allowed) in [
        (ALICE, "house/#", true),
        (ALICE, "house/alice/secret", false),
        (ALICE, "public/x", false),
        (NOBODY, "public/x", true),
        (NOBODY, "house/x", false),
    ] {
        assert_eq!(clients[who].try_subscribe(&[], &[(filter, 1)]), [if allowed { 1 } else { 0x87 }], "{filter}");
    }
    let [alice, bob, _] = &mut clients;
    bob.publish(&Publish::new("house/alice/secret", "hidden").qos(1, 1));
    bob.publish(&Publish::new("house/kitchen", "seen").qos(1, 1));
    alice.expect_message("seen");
    alice.expect_alive();
}

#[test]
fn a_client_identifier_with_wildcards_does_not_widen_a_pattern() {
    let files = Files::with_users(&[]);
    files.write_acl("pattern readwrite by-client/%c/#\n");
    let broker = files.start(&[("DOCKGATE_ACCESS__ALLOW_ANONYMOUS", "true")]);
    for id in ["+", "#", "a/b"] {
        let mut client = Wire::connect(broker.mqtt, &Connect::new(V5, id));
        assert_eq!(client.publish(&Publish::new("by-client/victim/x", "x").qos(1, 1)), 0x87, "{id}");
        assert_eq!(client.try_subscribe(&[], &[("by-client/victim/#", 1)]), [0x87], "{id}");
    }
}

#[test]
fn mqtt_3_is_told_by_the_failure_code_in_suback_alone() {
    let files = Files::with_users(&["alice"]);
    files.write_acl("user alice\ntopic readwrite #\ntopic deny test/nosubscribe\n");
    let broker = files.start(&[]);
    let mut alice = client(&broker, V311, "alice");
    assert_eq!(alice.try_subscribe(&[], &[("test/nosubscribe", 2), ("test/yes", 1)]), [0x80, 1]);
    alice.publish(&Publish::new("test/nosubscribe", "dropped").qos(2, 1));
    alice.publish(&Publish::new("test/yes", "kept").qos(2, 2));
    alice.expect_message("kept");
}
