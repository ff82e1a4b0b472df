//! Who may use a listener, who has which role, and where the files are.

use std::path::Path;

use dockgate::config::Settings;

use crate::{assert_only_problem, from_environment, from_file, load};

#[test]
fn a_listener_that_others_reach_needs_passwords_certificates_or_leave() {
    let open = "[[listeners]]\nbind = \"0.0.0.0:1883\"\n";
    let proxied = "[[listeners]]\nbind = \"127.0.0.1:1883\"\nproxy_protocol = true\n";
    let tls = "[[listeners]]\nbind = \"0.0.0.0:1883\"\nprotocol = \"mqtts\"\ntls_cert = \"a\"\ntls_key = \"b\"\n";
    for (listener, rest, allowed) in [
        (open, "", false),
        (open, "allow_anonymous = true\n", true),
        (open, "allow_anonymous = false\n", false),
        (open, "[access]\nallow_anonymous = true\n", true),
        (open, "allow_anonymous = false\n[access]\nallow_anonymous = true\n", false),
        (open, "allow_anonymous = false\n[access]\npassword_file = \"passwd\"\n", true),
        (open, "[access]\npassword_file = \"passwd\"\n", true),
        (open, "[access]\nacl_file = \"acl\"\n", false),
        (open, "role = \"observer\"\n", false),
        (proxied, "", false),
        (proxied, "allow_anonymous = true\n", true),
        (proxied, "[access]\npassword_file = \"passwd\"\n", true),
        (tls, "", false),
        (tls, "client_ca = \"ca\"\n", false),
        (tls, "client_ca = \"ca\"\nrequire_client_cert = true\n", true),
    ] {
        let text = format!("{listener}{rest}");
        if allowed {
            assert!(from_file(&text, &[]).is_ok(), "{text}");
        } else {
            let place = "dockgate.toml:2: listeners[0].bind = ";
            assert_only_problem(
                &text,
                &[],
                &[place, "who may use it", "access.password_file", "allow_anonymous = true"],
            );
        }
    }
}

#[test]
fn anonymous_clients_get_in_with_leave_or_where_nothing_is_said_and_nobody_else_connects() {
    let tls = "protocol = \"mqtts\"\ntls_cert = \"a\"\ntls_key = \"b\"\nclient_ca = \"ca\"\n";
    let tls = tls.to_owned();
    for (bind, listener, access, admitted) in [
        ("127.0.0.1:1", "", "", true),
        ("[::1]:1", "", "", true),
        ("127.0.0.1:1", "allow_anonymous = false\n", "", false),
        ("127.0.0.1:1", "", "password_file = \"p\"\n", false),
        ("127.0.0.1:1", "", "password_file = \"p\"\nallow_anonymous = true\n", true),
        ("127.0.0.1:1", "allow_anonymous = true\n", "password_file = \"p\"\n", true),
        ("127.0.0.1:1", "allow_anonymous = false\n", "password_file = \"p\"\nallow_anonymous = true\n", false),
        ("127.0.0.1:1", "proxy_protocol = true\n", "password_file = \"p\"\n", false),
        ("127.0.0.1:1", &tls, "", false),
        ("127.0.0.1:1", &format!("{tls}allow_anonymous = true\n"), "", true),
        ("0.0.0.0:1", "", "allow_anonymous = true\n", true),
        ("0.0.0.0:1", "", "password_file = \"p\"\n", false),
        ("0.0.0.0:1", "allow_anonymous = true\n", "", true),
        ("0.0.0.0:1", &format!("{tls}require_client_cert = true\n"), "", false),
    ] {
        let text = format!("[[listeners]]\nbind = \"{bind}\"\n{listener}[access]\n{access}");
        let settings = from_file(&text, &[]).unwrap();
        assert_eq!(settings.admits_anonymous(&settings.listeners[0]), admitted, "{text}");
    }
}

#[test]
fn a_user_has_one_role() {
    assert_only_problem(
        "[access.roles]\ndock = [\"a\", \"dock-*\"]\nbackend = [\"b\",\n\"dock-*\"]\nobserver = [\"c\"]\n",
        &[],
        &["dockgate.toml:4: access.roles.backend[1] = \"dock-*\": ", "access.roles.dock", "delete it"],
    );
    assert_only_problem(
        "[access.roles]\ndock = [\"\"]\n",
        &[],
        &["dockgate.toml:2: access.roles.dock[0] = \"\": ", "empty"],
    );
    assert!(from_file("[access.roles]\ndock = [\"*\", \"*-*\", \"a*b\", \"*\"]\n", &[]).is_ok());
}

#[test]
fn what_is_no_role_is_named_with_what_was_meant() {
    for (text, parts) in [
        (
            "[access.roles]\ndocks = [\"a\"]\n",
            ["dockgate.toml:2: access.roles.docks: ", "did you mean access.roles.dock?"],
        ),
        ("[access.roles]\ndock = \"a\"\n", ["dockgate.toml:2: access.roles.dock = \"a\": ", "a list of texts"]),
        ("[access.roles]\ndock = [1]\n", ["dockgate.toml:2: access.roles.dock = [1]: ", "the default is []"]),
        ("[access]\nroles = [\"a\"]\n", ["dockgate.toml:2: access.roles = [\"a\"]: ", "give access.roles.backend, "]),
        (
            "[access]\nserial_number = \"clientid\"\n",
            ["access.serial_number = \"clientid\": ", "did you mean \"client_id\"?"],
        ),
        ("[access]\npassword_file = 5\n", ["access.password_file = 5: this must be a path", "the default is none"]),
        ("[access]\npasswordfile = \"p\"\n", ["access.passwordfile: ", "did you mean access.password_file?"]),
        ("[access]\nacl_file = \"\"\n", ["dockgate.toml:2: access.acl_file = \"\": ", "names no file"]),
    ] {
        assert_only_problem(text, &[], &parts);
    }
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dockgate.toml");
    let text = "\
[[listeners]]
bind = \"0.0.0.0:1883\"
protocol = \"mqtts\"
tls_cert = \"tls/server.pem\"
tls_key = \"/tls/server.key\"
client_ca = \"../ca.pem\"
[access]
password_file = \"passwd\"
acl_file = \"acl\"
";
    std::fs::write(&file, text).unwrap();
    let settings = load(Some(&file), &[("DOCKGATE_ACCESS__ACL_FILE", "own/acl")]).unwrap();
    let [listener] = &*settings.listeners else { panic!("{settings:?}") };
    assert_eq!(listener.tls_cert, Some(folder.path().join("tls/server.pem")));
    assert_eq!(listener.tls_key.as_deref(), Some(Path::new("/tls/server.key")));
    assert_eq!(listener.client_ca, Some(folder.path().join("../ca.pem")));
    assert_eq!(settings.access.password_file, Some(folder.path().join("passwd")));
    assert_eq!(settings.access.acl_file.as_deref(), Some(Path::new("own/acl")));

    let listeners = r#"[{bind="127.0.0.1:0",protocol="wss",tls_cert="a.pem",tls_key="a.key"}]"#;
    let settings = load(Some(&file), &[("DOCKGATE_LISTENERS", listeners)]).unwrap();
    assert_eq!(settings.listeners[0].tls_cert.as_deref(), Some(Path::new("a.pem")));
    let settings = from_environment(&[("DOCKGATE_ACCESS__PASSWORD_FILE", "p")]).unwrap();
    assert_eq!(settings.access.password_file.as_deref(), Some(Path::new("p")));
    assert_eq!(Settings::default().access.password_file, None);
}
