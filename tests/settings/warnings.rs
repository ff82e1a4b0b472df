//! What is allowed but said to be unwise.

use std::os::unix::fs::PermissionsExt as _;

use dockgate::config::Place;

use crate::load_all;

/// The warnings of this text, without the directory that the file was in.
fn warnings(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("open", 0o644), ("closed", 0o640)] {
        let path = folder.path().join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let file = folder.path().join("dockgate.toml");
    std::fs::write(&file, text).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let warnings = load_all(Some(&file), &[]).unwrap().warnings;
    warnings.iter().map(|warning| warning.to_string().replace(&prefix, "")).collect()
}

/// Each warning contains, in this order, one of these parts.
#[track_caller]
fn assert_warnings(text: &str, parts: &[&str]) {
    let warnings = warnings(text);
    let all = warnings.len() == parts.len() && warnings.iter().zip(parts).all(|(warning, part)| warning.contains(part));
    assert!(all, "{parts:#?} in {warnings:#?}");
}

#[test]
fn what_is_unwise_is_said_with_its_place_and_a_remedy() {
    assert_eq!(
        warnings("[http]\nbind = \"0.0.0.0:80\"\ntoken_file = \"t\"\n"),
        ["dockgate.toml:2: http.bind = 0.0.0.0:80: others reach it unencrypted: who is on the way reads the token; \
             bind to 127.0.0.1, and have a proxy in front of it that encrypts"]
    );
    let tls = "tls_cert = \"a\"\ntls_key = \"closed\"\n";
    let passwords = "[access]\npassword_file = \"closed\"\nroles.dock = [\"*\"]\n";
    for (listener, rest, expected) in [
        ("bind = \"0.0.0.0:1\"\n", passwords, &["toml:1: listeners[0].protocol = \"mqtt\": 0.0.0.0:1 is reached"][..]),
        ("bind = \"0.0.0.0:1\"\nprotocol = \"ws\"\n", passwords, &["toml:3: listeners[0].protocol = \"ws\": "]),
        (&format!("bind = \"0.0.0.0:1\"\nprotocol = \"mqtts\"\n{tls}"), passwords, &[]),
        (
            &format!("bind = \"0.0.0.0:1\"\nprotocol = \"wss\"\n{tls}allow_anonymous = true\n"),
            passwords,
            &["toml:6: listeners[0].allow_anonymous = true: whoever reaches 0.0.0.0:1 is let in without a password"],
        ),
        (
            &format!("bind = \"0.0.0.0:1\"\nprotocol = \"wss\"\n{tls}"),
            "[access]\nallow_anonymous = true\n",
            &["toml:2: listeners[0].bind = 0.0.0.0:1: whoever reaches 0.0.0.0:1 is let in without a password"],
        ),
        ("bind = \"127.0.0.1:1\"\nproxy_protocol = true\n", passwords, &[]),
        ("bind = \"127.0.0.1:1\"\nproxy_protocol = true\nallow_anonymous = true\n", "", &["without a password"]),
        (
            "bind = \"10.0.0.1:1\"\nproxy_protocol = true\n",
            passwords,
            &["unencrypted", "toml:3: listeners[0].proxy_protocol = true: whoever reaches 10.0.0.1:1 past the proxy"],
        ),
        ("bind = \"127.0.0.1:1\"\nallow_anonymous = false\n", "", &["allow_anonymous = false: nobody can get in"]),
        (
            "bind = \"127.0.0.1:1\"\nprotocol = \"ws\"\norigins = [\"null\"]\n",
            "",
            &["toml:4: listeners[0].origins = [\"null\"]: whatever web page somebody on this machine looks at"],
        ),
        ("bind = \"127.0.0.1:1\"\nprotocol = \"ws\"\norigins = [\"*\"]\n", "", &["origins = [\"*\"]: whatever web"]),
        ("bind = \"127.0.0.1:1\"\nprotocol = \"ws\"\norigins = [\"https://ops.example\"]\n", "", &[]),
        ("bind = \"127.0.0.1:1\"\nprotocol = \"ws\"\norigins = [\"*\"]\n", passwords, &[]),
        (
            "bind = \"127.0.0.1:1\"\nlimits = { max_packet_size = 4096 }\n",
            "",
            &["max_packet_size = 4 KiB: this may be too small"],
        ),
        ("bind = \"127.0.0.1:1\"\nlimits = { max_packet_size = 4096 }\nrole = \"observer\"\n", "", &[]),
    ] {
        assert_warnings(&format!("[[listeners]]\n{listener}{rest}"), expected);
    }
    for (text, part) in [
        (
            "limits.max_packet_size = 4096\n",
            "toml:1: limits.max_packet_size = 4 KiB: this may be too small for a dock's list",
        ),
        (
            "limits.max_packet_size = 4194305\n",
            "toml:1: limits.max_packet_size = 4194305 B: the upload guard does not look",
        ),
        (
            "limits.sessions = 19_999\n",
            "toml:1: limits.sessions = 19999: fewer clients get in than limits.connections = 20000",
        ),
        ("limits.connections = 100_001\n", "settings: limits.sessions = 100000: fewer clients get in"),
        ("limits.queue_bytes_total = \"1000 GiB\"\n", "toml:1: limits.queue_bytes_total = 1000 GiB: there are only "),
        (
            "access.serial_number = \"client_id\"\n",
            "toml:1: access.serial_number = \"client_id\": whoever has the password of one",
        ),
        (
            "access.password_file = \"closed\"\n[[listeners]]\nbind = \"127.0.0.1:1\"\nproxy_protocol = true\n",
            "access.roles: whoever is let in may publish and read everything",
        ),
    ] {
        assert_warnings(text, &[part]);
    }
}

#[test]
fn docks_that_prove_nothing_and_users_without_rules_are_warned_about_where_others_come_in() {
    let tls = "protocol = \"mqtts\"\ntls_cert = \"a\"\ntls_key = \"closed\"\n";
    let passwords = "[access]\npassword_file = \"closed\"\n";
    let any_dock = "toml:6: listeners[0].role = \"dock\": whoever reaches 0.0.0.0:1 may call itself any dock";
    let no_rules = "access.roles: whoever is let in may publish and read everything";
    let (others, here) = (format!("bind = \"0.0.0.0:1\"\n{tls}"), format!("bind = \"127.0.0.1:1\"\n{tls}"));
    for (listener, rest, expected) in [
        (&others, "role = \"dock\"\nallow_anonymous = true\n", &["without a password", any_dock][..]),
        (&others, "role = \"dock\"\n[access]\nallow_anonymous = true\n", &["without a password", any_dock]),
        (&others, &format!("role = \"dock\"\n{passwords}"), &[]),
        (&others, "role = \"observer\"\nallow_anonymous = true\n", &["is let in without a password"]),
        (&here, "role = \"dock\"\n", &[]),
        (&others, passwords, &[no_rules]),
        (&others, "client_ca = \"ca\"\nrequire_client_cert = true\n", &[no_rules]),
        (&others, &format!("role = \"backend\"\n{passwords}"), &[]),
        (&others, &format!("{passwords}acl_file = \"acl\"\n"), &[]),
        (&others, &format!("{passwords}roles = {{ dock = [\"*\"] }}\n"), &[]),
        (&here, passwords, &[]),
        (&here, &format!("proxy_protocol = true\n{passwords}"), &[no_rules]),
    ] {
        assert_warnings(&format!("[[listeners]]\n{listener}{rest}"), expected);
    }
}

#[test]
fn a_role_for_everybody_is_warned_about_where_everybody_gets_in() {
    let open = "[[listeners]]\nbind = \"127.0.0.1:1\"\nproxy_protocol = true\nallow_anonymous = true\n";
    let backend = "toml:1: access.roles.backend = [\"*\"]: * is whoever has no user name too";
    assert_warnings(&format!("access.roles.backend = [\"*\"]\n{open}"), &["is let in without a password", backend]);
    assert_warnings(&format!("access.roles.dock = [\"*\"]\n{open}"), &["is let in without a password"]);
}

#[test]
fn names_that_nobody_proves_are_warned_about() {
    let names = "acl_file = \"acl\"\nroles = { dock = [\"7*\", \"*\"], observer = [\"me\"] }\n";
    assert_warnings(
        &format!("[access]\n{names}"),
        &[
            "toml:2: access.acl_file = ",
            "toml:3: access.roles.dock = [\"7*\", \"*\"]: no user name is ever proved",
            "toml:3: access.roles.observer = [\"me\"]: ",
        ],
    );
    assert_warnings(&format!("[access]\npassword_file = \"closed\"\n{names}"), &[]);
    let certificates = "protocol = \"mqtts\"\ntls_cert = \"a\"\ntls_key = \"closed\"\nclient_ca = \"b\"\n";
    assert_warnings(&format!("[[listeners]]\nbind = \"127.0.0.1:1\"\n{certificates}[access]\n{names}"), &[]);
}

#[test]
fn secrets_that_everybody_on_the_machine_may_read_are_warned_about() {
    assert_warnings("access.password_file = \"closed\"\n", &[]);
    assert_warnings("http.token_file = \"closed\"\n", &[]);
    assert_warnings(
        "http.token_file = \"open\"\n",
        &["http.token_file = \"open\": everybody on this machine may read"],
    );
    assert_warnings("access.password_file = \"missing\"\n", &[]);
    assert_warnings(
        "access.password_file = \"open\"\n",
        &[
            "toml:1: access.password_file = \"open\": everybody on this machine may read the secrets in this file; chmod o-r open",
        ],
    );
    let listener =
        "[[listeners]]\nbind = \"127.0.0.1:1\"\nprotocol = \"mqtts\"\ntls_cert = \"open\"\ntls_key = \"open\"\n";
    assert_warnings(listener, &["toml:5: listeners[0].tls_key = \"open\": everybody"]);
}

#[test]
fn a_warning_about_a_variable_names_it() {
    let loaded = load_all(None, &[("DOCKGATE_HTTP__BIND", "0.0.0.0:0"), ("DOCKGATE_HTTP__TOKEN_FILE", "t")]).unwrap();
    let [warning] = &*loaded.warnings else { panic!("{loaded:?}") };
    assert_eq!(warning.place, Place::Environment("DOCKGATE_HTTP__BIND".to_owned()));
    assert_eq!(warning.key, "http.bind");
}
