//! `dockgate health`: asks a running broker whether it is ready, for supervisors that know nothing but exit codes. The
//! container image has no shell and no curl.

use anyhow::{Context as _, bail};
use clap::Args;
use dockgate::config::Settings;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// For everything together. The HTTP side answers within milliseconds while the broker is busy; Docker gives a check 30 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is read of an answer; the reasons for not being ready take a few hundred bytes.
const ANSWER_MAX: u64 = 8 * 1024;
const READYZ: &str = "/readyz";

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 if it is ready, 1 if it is not or does not answer within five seconds, 2 if the \
settings are wrong."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: super::SettingsFile,
    /// Ask here, instead of where the settings have http.bind [example: http://127.0.0.1:9641/readyz].
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<Url>,
}

/// `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    host: String,
    port: u16,
    path: String,
}

/// Asks, and says what came of it.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => match Settings::load(arguments.settings.config.as_deref()) {
            Ok(loaded) => Url::of(loaded.settings.http.bind),
            Err(problems) => {
                eprintln!("{problems}");
                return ExitCode::from(super::WRONG_SETTINGS);
            }
        },
    };
    super::finish(ask(&url, PATIENCE).map(|()| println!("ready")))
}

/// Fails unless the answer is 200.
fn ask(url: &Url, patience: Duration) -> anyhow::Result<()> {
    let answer = exchange(url, patience).with_context(|| {
        format!("{url} does not answer: start the broker, or name the address of its HTTP listener with --url")
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or_default();
    match status {
        "200" => Ok(()),
        "503" => bail!("not ready: {}", on_one_line(body)),
        _ => bail!(
            "{url} answers {:?}, which says nothing about a broker: name the address of its HTTP listener with --url",
            on_one_line(head.lines().next().unwrap_or_default())
        ),
    }
}

/// One request and its answer, as far as it is of interest.
fn exchange(url: &Url, patience: Duration) -> anyhow::Result<String> {
    let until = Instant::now() + patience;
    // A time-out of zero is an error of its own kind.
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = connect(url, left)?;
    stream.set_write_timeout(Some(left()))?;
    // HTTP/1.0: the answer ends with the connection, and comes in one piece.
    write!(stream, "GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", url.path, url.authority())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while (answer.len() as u64) < ANSWER_MAX {
        if Instant::now() >= until {
            bail!("it was not done after {}", humantime::format_duration(patience));
        }
        stream.set_read_timeout(Some(left()))?;
        match stream.read(&mut chunk)? {
            0 => break,
            length => answer.extend_from_slice(&chunk[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn connect(url: &Url, left: impl Fn() -> Duration) -> anyhow::Result<TcpStream> {
    let mut failure = None;
    for address in (url.host.as_str(), url.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error.into()),
        None => bail!("{} has no address", url.host),
    }
}

/// What a server sends is for a terminal only without its control characters.
fn on_one_line(text: &str) -> String {
    text.trim().chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

impl Url {
    /// Where a listener on this address is reached from this machine.
    fn of(bind: SocketAddr) -> Self {
        let host = match bind.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self { host: host.to_string(), port: bind.port(), path: READYZ.to_owned() }
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.chars().all(|character| character.is_ascii_graphic()) {
            return Err("an address has no spaces and no characters beyond ASCII");
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err("it has to begin with http://; ask the broker itself, not a proxy with TLS in front of it");
        };
        let (authority, path) = rest.find('/').map_or((rest, READYZ), |at| rest.split_at(at));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| "the port is a number up to 65535")?)
            }
            _ => (authority, 80),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains('@') {
            return Err("http:// is followed by a name or an address, and by nothing else before the port");
        }
        let path = if path == "/" { READYZ } else { path };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_address_is_read_with_what_it_leaves_out() {
        for (text, whole) in [
            ("http://127.0.0.1:9641", "http://127.0.0.1:9641/readyz"),
            ("http://127.0.0.1:9641/", "http://127.0.0.1:9641/readyz"),
            ("http://localhost/broker/readyz", "http://localhost:80/broker/readyz"),
            ("http://[::1]:9641/healthz", "http://[::1]:9641/healthz"),
            ("http://[::1]", "http://[::1]:80/readyz"),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), whole, "{text}");
        }
        for wrong in [
            "",
            "127.0.0.1:9641",
            "https://127.0.0.1:9641",
            "http://",
            "http://:1",
            "http://a:b",
            "http://a:1/\r\nx",
            "http://u@h:1",
        ] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_loopback() {
        assert_eq!(Url::of("0.0.0.0:9641".parse().unwrap()).to_string(), "http://127.0.0.1:9641/readyz");
        assert_eq!(Url::of("[::]:9641".parse().unwrap()).to_string(), "http://[::1]:9641/readyz");
        assert_eq!(Url::of("10.0.0.7:1".parse().unwrap()).to_string(), "http://10.0.0.7:1/readyz");
    }

    /// What is said of a server that sends this, and then does nothing until its client has gone.
    fn said_of(answer: &'static str, patience: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::of(listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            let mut request = String::new();
            stream.shutdown(std::net::Shutdown::Write).unwrap_or_default();
            stream.read_to_string(&mut request).unwrap_or_default();
            request
        });
        let said = ask(&url, patience).map_or_else(|error| format!("{error:#}"), |()| "ready".to_owned());
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:"), "{said}");
        said
    }

    #[test]
    fn the_answer_decides_and_its_reasons_are_said() {
        let patience = Duration::from_secs(10);
        assert_eq!(said_of("HTTP/1.1 200 OK\r\n\r\nready\n", patience), "ready");
        assert_eq!(said_of("HTTP/1.0 200 OK\r\n\r\n", patience), "ready");
        let said = said_of("HTTP/1.1 503 Service Unavailable\r\n\r\nstore: the disk is full\n", patience);
        assert_eq!(said, "not ready: store: the disk is full");
        let said = said_of("HTTP/1.1 503 Service Unavailable\r\n\r\n\x1b[31mred\nblue", patience);
        assert_eq!(said, "not ready:  [31mred blue");
        for other in ["HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 302 Found\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", ""] {
            let said = said_of(other, patience);
            assert!(said.contains("says nothing about a broker"), "{other:?}: {said}");
        }
    }

    #[test]
    fn nobody_and_somebody_silent_are_no_answer_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::of(listener.local_addr().unwrap());
        let began = Instant::now();
        let said = format!("{:#}", ask(&url, Duration::from_millis(50)).unwrap_err());
        assert!(said.contains("does not answer") && began.elapsed() < PATIENCE, "{said}");
        drop(listener);
        let said = format!("{:#}", ask(&url, PATIENCE).unwrap_err());
        assert!(said.contains("does not answer") && said.contains("--url"), "{said}");
    }
}
