//! As much of HTTP as it takes to read `/metrics` and the API.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::wire::DEADLINE;

/// The body of `GET path`, which must be answered with 200.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let (head, body) = ask(address, path);
    assert!(head.starts_with("HTTP/1.1 200"), "GET {path}: {head}\n{body}");
    body
}

/// The status of the answer to `GET path`.
#[track_caller]
pub(crate) fn status(address: SocketAddr, path: &str) -> u16 {
    let (head, _) = ask(address, path);
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("GET {path}: {head}"))
}

#[track_caller]
fn ask(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("HTTP listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")
        .expect("the request goes out");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer comes");
    let answer = String::from_utf8(answer).expect("the answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    (head.to_owned(), body)
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}

/// The sum of all samples of a metric whose labels contain `label` (empty for all).
#[track_caller]
pub(crate) fn metric(address: SocketAddr, name: &str, label: &str) -> f64 {
    let text = get(address, "/metrics");
    text.lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
