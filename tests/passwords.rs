//! Password files between dockgate and Debian's Mosquitto: what one writes the other takes.

#![allow(clippy::unwrap_used)] // A panic is how a test fails, in its helpers too.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dockgate::access::{Access, Denied, Door, Login, Proof, Secret, Sources, Standing};

const MISSING: &str = "mosquitto and mosquitto_passwd are needed: apt-get install mosquitto (see README.md)";
const DEADLINE: Duration = Duration::from_secs(20);

fn mosquitto_passwd(arguments: &[&str]) {
    let status = Command::new("mosquitto_passwd").args(arguments).status().expect(MISSING);
    assert!(status.success(), "{arguments:?}: {status}");
}

/// `dockgate passwd` with this on its standard input.
fn passwd(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dockgate"))
        .arg("passwd")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have refused its arguments and be gone.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn open(file: &Path) -> Access {
    Access::open(Sources { password_file: Some(file.to_owned()), ..Sources::default() }).unwrap()
}

fn login(user: &str, password: &str) -> Login {
    Login {
        client_id: "client".into(),
        username: Some(user.into()),
        password: Some(Secret::new(password.into())),
        certificate_name: None,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        door: Door { anonymous: false, role: None },
    }
}

#[tokio::test]
async fn what_mosquitto_passwd_writes_lets_its_users_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwd");
    let file = path.to_str().unwrap();
    mosquitto_passwd(&["-c", "-b", file, "dock-1", "hunter2"]);
    mosquitto_passwd(&["-b", file, "dock ü", "pass:word$ "]);
    mosquitto_passwd(&["-H", "sha512", "-b", file, "dock-3", "three"]);
    let access = open(&path);
    for (user, password) in [("dock-1", "hunter2"), ("dock ü", "pass:word$ "), ("dock-3", "three")] {
        let who = access.authenticate(login(user, password)).await.unwrap();
        assert_eq!(who.username.as_deref(), Some(user));
        assert!(matches!(who.proof, Proof::Password(_)));
    }
    assert_eq!(access.authenticate(login("dock-1", "three")).await.unwrap_err(), Denied::WrongPassword);
    let told: Vec<_> = access.warnings().iter().map(|flaw| flaw.fault.clone()).collect();
    assert!(told.iter().any(|fault| fault.contains("fewer than 1000 iterations")), "{told:?}");
}

#[tokio::test]
async fn a_changed_file_counts_once_it_is_read_again_and_a_bad_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwd");
    let file = path.to_str().unwrap();
    mosquitto_passwd(&["-c", "-b", file, "dock-1", "old"]);
    mosquitto_passwd(&["-b", file, "dock-2", "same"]);
    let access = open(&path);
    let one = access.authenticate(login("dock-1", "old")).await.unwrap();
    let two = access.authenticate(login("dock-2", "same")).await.unwrap();

    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"dock-3:plain\n").unwrap();
    let flaws = access.reload().unwrap_err();
    let expected = format!(
        "{file}:3: the password of user \"dock-3\" is not hashed; \
         run dockgate passwd {file} dock-3, or mosquitto_passwd -U {file} if none in the file is hashed"
    );
    assert_eq!(flaws.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    assert!(access.standing(&one) == Standing::Good && access.standing(&two) == Standing::Good);

    assert!(passwd(&[file, "dock-3", "--delete"], "").status.success());
    assert!(passwd(&[file, "dock-1", "--iterations", "1000"], "new\n").status.success());
    assert!(access.standing(&one) == Standing::Good, "it has not been read yet");
    access.reload().unwrap();
    assert!(access.standing(&one) != Standing::Good && access.standing(&two) == Standing::Good);
    assert_eq!(access.authenticate(login("dock-1", "old")).await.unwrap_err(), Denied::WrongPassword);
    assert!(access.authenticate(login("dock-1", "new")).await.is_ok());

    std::fs::remove_file(&path).unwrap();
    assert!(access.reload().unwrap_err()[0].fault.contains("cannot be read"));
    assert!(access.standing(&two) == Standing::Good);
}

#[tokio::test]
async fn argon2id_is_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwd");
    let file = path.to_str().unwrap();
    assert!(passwd(&[file, "dock-1", "--hash", "argon2id"], "hunter2").status.success());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("dock-1:$argon2id$v=19$m=47104,t=1,p=1$"), "{text}");
    let access = open(&path);
    assert!(access.authenticate(login("dock-1", "hunter2")).await.is_ok());
    assert_eq!(access.warnings(), []);
}

#[test]
fn debians_mosquitto_lets_in_whom_dockgate_passwd_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwd");
    let file = path.to_str().unwrap();
    mosquitto_passwd(&["-c", "-b", file, "dock-1", "theirs"]);
    assert!(passwd(&[file, "dock-2"], "ours\r\n").status.success());
    assert!(passwd(&[file, "dock ü"], "pass:word$ \n").status.success());
    assert!(passwd(&[file, "gone"], "gone\n").status.success());
    assert!(passwd(&[file, "gone", "--delete"], "").status.success());
    let mosquitto = Mosquitto::start(folder.path(), &path);
    for (user, password, answer) in [
        ("dock-1", "theirs", 0),
        ("dock-2", "ours", 0),
        ("dock ü", "pass:word$ ", 0),
        ("dock-2", "theirs", 5),
        ("gone", "gone", 5),
    ] {
        assert_eq!(mosquitto.connect(user, password), answer, "{user} {password}");
    }
}

#[test]
fn passwd_says_what_it_did_and_keeps_the_rest_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwd");
    let file = path.to_str().unwrap();
    std::fs::write(&path, "# the fleet\r\nplain:text\r\n\r\n").unwrap();
    let said = |output: Output| {
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said(passwd(&[file, "dock-1"], "hunter2\n")), format!("{file}: user \"dock-1\" added\n"));
    assert_eq!(said(passwd(&[file, "dock-1"], "hunter3\n")), format!("{file}: user \"dock-1\" has a new password\n"));
    let text = std::fs::read_to_string(&path).unwrap();
    let entry = text.strip_prefix("# the fleet\r\nplain:text\r\n\r\ndock-1:$7$100000$").unwrap();
    assert!(entry.ends_with("==\r\n") && !entry.contains("hunter"), "{text:?}");
    assert_eq!(said(passwd(&[file, "dock-1", "--delete"], "")), format!("{file}: user \"dock-1\" deleted\n"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# the fleet\r\nplain:text\r\n\r\n");
}

#[test]
fn passwd_refuses_what_cannot_be_used_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passwd");
    let file = path.to_str().unwrap();
    let long = "p".repeat(65_536);
    for (arguments, input, code, said) in [
        (&[file, "a:b"][..], "x\n", 2, "dockgate: the user name has a colon in it"),
        (&[file, ""], "x\n", 2, "dockgate: the user name is empty"),
        (&[file, "a\tb"], "x\n", 2, "dockgate: the user name has a control character in it"),
        (&[file, "dock", "secret"], "x\n", 2, "error: unexpected argument"),
        (&[file, "dock", "--iterations", "999"], "x\n", 2, "error: invalid value '999'"),
        (&[file, "dock", "--hash", "argon2id", "--iterations", "1000"], "x\n", 2, "dockgate: --iterations is for"),
        (&[file, "dock", "--delete", "--hash", "pbkdf2"], "", 2, "error: the argument '--delete' cannot be used"),
        (&[file, "dock"], "", 1, "dockgate: the password is empty"),
        (&[file, "dock"], "\r\n", 1, "dockgate: the password is empty"),
        (&[file, "dock"], &long, 1, "dockgate: the password is longer than 65535 bytes"),
        (&[file, "dock"], "a\0b\n", 1, "dockgate: the password has a zero byte in it"),
        (&[file, "dock", "--delete"], "", 1, "has no such user"),
    ] {
        let output = passwd(arguments, input);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(said), "{arguments:?}: {errors}");
        assert!(!path.exists(), "{arguments:?}");
    }
    let longest = "p".repeat(65_535) + "\r\n";
    assert!(passwd(&[file, "dock", "--iterations", "1000"], &longest).status.success());
}

/// Debian's Mosquitto on a free port; killed when this is dropped.
struct Mosquitto {
    process: Child,
    address: SocketAddr,
}

impl Mosquitto {
    fn start(folder: &Path, passwords: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = format!(
            "listener {} 127.0.0.1\npassword_file {}\nallow_anonymous false\nuser root\npersistence false\n",
            address.port(),
            passwords.display()
        );
        let configuration = folder.join("mosquitto.conf");
        std::fs::write(&configuration, settings).unwrap();
        // Debian installs it where only root's PATH looks.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let process = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(MISSING);
        let mut mosquitto = Self { process, address };
        let until = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            assert!(mosquitto.process.try_wait().unwrap().is_none(), "mosquitto has ended");
            assert!(Instant::now() < until, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        mosquitto
    }

    /// The return code of the CONNACK to a CONNECT of MQTT 3.1.1.
    fn connect(&self, user: &str, password: &str) -> u8 {
        let mut body = b"\x00\x04MQTT\x04\xc2\x00\x3c".to_vec(); // user name, password, clean session; keep-alive 60 s
        for field in ["client", user, password] {
            body.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
            body.extend_from_slice(field.as_bytes());
        }
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&[0x10, u8::try_from(body.len()).unwrap()]).unwrap();
        stream.write_all(&body).unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        assert_eq!(connack[..2], [0x20, 0x02]);
        connack[3]
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
