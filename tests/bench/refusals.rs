//! What it does not take, and what it says then.

use crate::ground::{bench, said};

#[test]
fn wrong_arguments_exit_with_2_and_say_what_was_meant() {
    for (arguments, meant) in [
        (&["--scenario", "fanni"][..], "did you mean \"fanin\""),
        (&["--scenario", "p2p-1K-1K"], "p2p-1K-1K-1K-1K"),
        (&["--scenario", "pairs,hook-upload"], "did you mean \"hook-uploads\""),
        (&["--target", "127.0.0.1:1883"], "mqtt://127.0.0.1:1883"),
        (&["--target", "mqtt://127.0.0.1:1", "--target", "mqtt://127.0.0.1:1"], "two targets are called"),
        (&["--target", "mqtts://127.0.0.1:1"], "--ca FILE"),
        (&["--qos", "3"], "0..=2"),
        (&["--payload", "7"], "from 8"),
        (&["--batch", "0"], "from 1 to 1000"),
        (&["--protocol", "4.1"], "3.1.1 nor 5"),
        (&["--duration", "1h"], "10m"),
        (&["--prefix", "a/#"], "not a topic"),
        (&["--password-file", "secret"], "--username"),
        (&["--ca", "/nowhere", "--target", "mqtts://127.0.0.1:1"], "/nowhere"),
        (&["--ca", "x", "--insecure"], "--insecure"),
    ] {
        let output = bench(arguments);
        let text = said(&output);
        assert!(output.status.code() == Some(2) && text.contains(meant), "{arguments:?}: {text}");
    }
}
