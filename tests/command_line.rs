//! The binary, run as a user runs it.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use tempfile::{NamedTempFile, TempDir};

/// dockgate with no `DOCKGATE_…` variables but these.
fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DOCKGATE_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(variables.iter().copied());
    command
}

fn dockgate(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(arguments, variables).output().unwrap()
}

/// A broker on free ports that has said that it listens. Killed when the test is over, however it ends.
struct Serving {
    process: Child,
    log: BufReader<ChildStderr>,
    listening: serde_json::Value,
    data: TempDir,
}

impl Serving {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let variables = [
            ("DOCKGATE_DATA_DIR", data.path().to_str().unwrap()),
            ("DOCKGATE_LISTENERS", r#"[{bind="127.0.0.1:0"}]"#),
            ("DOCKGATE_HTTP__BIND", "127.0.0.1:0"),
            ("DOCKGATE_LOG__FORMAT", "json"),
        ];
        let mut process = command(&[], &variables).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mqtt = line(&mut log, "listening");
        assert_eq!(mqtt["protocol"], "mqtt");
        let listening = line(&mut log, "listening");
        Self { process, log, listening, data }
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already, as it should.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The next line of the log that says this. The log ends with the process, so this does not wait for ever for one that
/// has failed.
fn line(log: &mut BufReader<ChildStderr>, message: &str) -> serde_json::Value {
    let mut text = String::new();
    loop {
        text.clear();
        assert_ne!(log.read_line(&mut text).unwrap(), 0, "no line says {message}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        if line["message"] == message {
            return line;
        }
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_says_ok_and_who_reaches_what() {
    let output = dockgate(&["check"], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(text.starts_with("OK: "), "{text}");
    assert!(text.contains("mqtt 127.0.0.1:1883: reached by this machine only"), "{text}");
    assert!(text.contains("http 127.0.0.1:9641: reached by this machine only"), "{text}");
    assert_eq!(stderr(&output), "");
}

#[test]
fn check_reads_the_file_and_the_environment_and_warns_of_what_is_open() {
    let file = file(
        "[[listeners]]\nbind = \"0.0.0.0:1883\"\n[access]\nallow_anonymous = true\n\
         [uploads]\npolicy = \"observe\"\n",
    );
    let path = file.path().to_str().unwrap();
    let output = dockgate(&["check", "--config", path], &[("DOCKGATE_HTTP__BIND", "127.0.0.1:9999")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("mqtt 0.0.0.0:1883: reached by every machine"), "{text}");
    assert!(text.contains("http 127.0.0.1:9999"), "{text}");
    assert!(text.contains("let through and counted"), "{text}");
    let warning =
        format!("warning: {path}:2: listeners[0].bind = 0.0.0.0:1883: whoever reaches 0.0.0.0:1883 is let in");
    assert!(text.contains(&warning), "{text}");
}

#[test]
fn check_says_how_each_listener_lets_clients_in() {
    for (listener, expected) in [
        (r#"bind="127.0.0.1:1""#, "mqtt 127.0.0.1:1: reached by this machine only, without a password\n"),
        (r#"bind="127.0.0.1:1",role="observer""#, ": reached by this machine only, without a password, as observer\n"),
        (r#"bind="127.0.0.1:1",allow_anonymous=false"#, ": reached by this machine only, who cannot get in\n"),
        (
            r#"bind="127.0.0.1:1",proxy_protocol=true,allow_anonymous=true"#,
            ": reached by this machine only and whoever its proxy brings, without a password\n",
        ),
    ] {
        let listeners = format!("[{{{listener}}}]");
        let output = dockgate(&["check"], &[("DOCKGATE_LISTENERS", &listeners)]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(stdout(&output).contains(expected), "{expected} in {}", stdout(&output));
    }
}

#[test]
fn check_goes_by_its_other_names_too() {
    let expected = stdout(&dockgate(&["check"], &[]));
    assert_eq!(stdout(&dockgate(&["test-config"], &[])), expected);
    assert_eq!(stdout(&dockgate(&["--test-config"], &[])), expected);
    let file = file("[limits]\ninflight = 0\n");
    let path = file.path().to_str().unwrap();
    let output = dockgate(&["--test-config", "--config", path], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn wrong_settings_end_check_and_serve_with_2_and_every_problem() {
    let file = file("[limits]\nqueue_mesages = 1\ninflight = 0\n[listener]\nbind = 1\n");
    let path = file.path().to_str().unwrap();
    for arguments in [vec!["check", "--config", path], vec!["serve", "--config", path], vec!["--config", path]] {
        let output = dockgate(&arguments, &[("DOCKGATE_HTTP__BIND", "nowhere")]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(stdout(&output), "");
        let text = stderr(&output);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        for part in [
            format!("{path}:2: limits.queue_mesages: there is no such setting; did you mean limits.queue_messages?"),
            format!("{path}:3: limits.inflight = 0: "),
            format!("{path}:4: listener: there is no such setting; did you mean listeners?"),
            "environment variable DOCKGATE_HTTP__BIND: http.bind = \"nowhere\": ".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }
}

#[test]
fn an_unknown_variable_is_an_error() {
    let output = dockgate(&["check"], &[("DOCKGATE_HTTP_BIND", "127.0.0.1:0")]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains("did you mean DOCKGATE_HTTP__BIND"), "{text}");
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let output = dockgate(&["check", "--config", "/nowhere/dockgate.toml"], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("/nowhere/dockgate.toml"), "{output:?}");
}

#[test]
fn an_open_listener_without_leave_is_refused_with_the_reason() {
    let open = r#"[{protocol="mqtt",bind="0.0.0.0:0"}]"#;
    let output = dockgate(&["serve"], &[("DOCKGATE_LISTENERS", open)]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(stderr(&output).contains("access.allow_anonymous = true"), "{output:?}");
}

#[test]
fn a_mosquitto_conf_becomes_settings_that_check_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write("server.pem", &cert.pem());
    write("server.key", &signing_key.serialize_pem());
    // The password is "secret".
    write(
        "passwd",
        "backend:$7$101$fc5oDopbAmbgn3qr$sRhLRMr5m8nbjiMRW0HjrT0GbN/5x2Zilxf72t2dFzO4SPpBO3t9YVJkye8t0hpuygD0lQ84p0ehZhsmkGuAqg==\n",
    );
    write("acl", "user backend\ntopic readwrite thing/#\n");
    std::fs::create_dir(path("conf.d")).unwrap();
    write(
        "mosquitto.conf",
        &format!(
            "# Ours\npid_file /run/mosquitto.pid\npassword_file {}\ninclude_dir {}\n",
            path("passwd"),
            path("conf.d")
        ),
    );
    write(
        "conf.d/docks.conf",
        &format!("listener 8883\ncertfile {}\nkeyfile {}\n", path("server.pem"), path("server.key")),
    );
    write("conf.d/backend.conf", &format!("acl_file {}\nlistener 1883 127.0.0.1\nmax_qos 1\n", path("acl")));

    let imported = dockgate(&["import-mosquitto", &path("mosquitto.conf")], &[]);
    assert_eq!(imported.status.code(), Some(0), "{imported:?}");
    let settings = stdout(&imported);
    for part in [
        format!("# - {}:2: pid_file /run/mosquitto.pid: ", path("mosquitto.conf")),
        format!("# - {}:3: max_qos 1: ", path("conf.d/backend.conf")),
    ] {
        assert!(settings.contains(&part), "{part} in {settings}");
    }
    write("dockgate.toml", &settings);
    let checked = dockgate(&["check", "--config", &path("dockgate.toml")], &[]);
    assert_eq!(checked.status.code(), Some(0), "{settings}\n{checked:?}");
    let text = stdout(&checked);
    for part in [
        "mqtt 127.0.0.1:1883: reached by this machine only, with a password\n",
        "mqtts [::]:8883: reached by every machine that can reach this one, with a password\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_mosquitto_conf_that_cannot_be_read_is_named() {
    let output = dockgate(&["import-mosquitto", "/nowhere/mosquitto.conf"], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("/nowhere/mosquitto.conf: cannot be read"), "{output:?}");
}

#[test]
fn the_help_names_every_command() {
    let output = dockgate(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    for command in ["serve", "check", "demo", "import-mosquitto", "--config", "--test-config"] {
        assert!(stdout(&output).contains(command), "{command}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    assert_eq!(dockgate(&["sevre"], &[]).status.code(), Some(2));
}

#[test]
fn serve_says_where_it_listens_and_stops_at_sigterm_and_sigint_with_0() {
    for signal in ["TERM", "INT"] {
        let mut serving = Serving::start();
        let http = serving.listening["address"].as_str().unwrap();
        assert!(http.starts_with("127.0.0.1:") && !http.ends_with(":0"), "{http}");
        assert!(std::net::TcpStream::connect(http).is_ok());
        serving.signal(signal);
        let stopping = line(&mut serving.log, "asked to stop");
        assert_eq!(stopping["signal"], format!("SIG{signal}"));
        line(&mut serving.log, "stopped");
        assert_eq!(serving.process.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn check_finds_an_address_that_is_not_this_machines() {
    let listeners = r#"[{bind="192.0.2.1:1883",allow_anonymous=true}]"#;
    let output = dockgate(&["check"], &[("DOCKGATE_LISTENERS", listeners)]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("192.0.2.1:1883: set listeners[0].bind"), "{told}");
}

#[test]
fn an_address_that_is_taken_ends_serve_with_1_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output =
        dockgate(&["serve"], &[("DOCKGATE_LISTENERS", r#"[{bind="127.0.0.1:0"}]"#), ("DOCKGATE_HTTP__BIND", &address)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stderr(&output);
    assert!(text.contains(&address) && text.contains("http.bind"), "{text}");
}
