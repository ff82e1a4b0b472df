//! What a process has used, from `/proc`, and which process it is that listens on a port.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::BenchError;

/// `/proc/PID/stat` counts in these; 100 on every Linux that Rust targets (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// CPU time of all threads of a process so far, user and system.
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration, BenchError> {
    let path = format!("/proc/{pid}/stat");
    Ok(ticks(&read(&path)?))
}

/// CPU time of each thread of this process so far, by thread.
pub(super) fn own_threads() -> HashMap<String, Duration> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let times = threads.filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        Some((thread.file_name().into_string().ok()?, ticks(&stat)))
    });
    times.collect()
}

fn ticks(stat: &str) -> Duration {
    // The name in parentheses may hold blanks: fields count from the last parenthesis. utime is field 14, stime 15.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
}

/// Resident memory now (`VmRSS`), in KiB.
///
/// # Errors
/// If there is no such process.
pub fn resident_kib(pid: u32) -> Result<u64, BenchError> {
    status_kib(pid, "VmRSS:")
}

/// The most memory that was ever resident (`VmHWM`), in KiB.
///
/// # Errors
/// If there is no such process.
pub fn peak_resident_kib(pid: u32) -> Result<u64, BenchError> {
    status_kib(pid, "VmHWM:")
}

/// Starts a new peak, for brokers that outlive a run. Not every process allows it, and then the old peak stays.
pub fn forget_peak(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn status_kib(pid: u32, key: &str) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let status = read(&path)?;
    let value = status.lines().find_map(|line| line.strip_prefix(key));
    let number = value.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.ok_or_else(|| BenchError::Process { why: format!("it has no {key}"), path })
}

fn read(path: &str) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(|error| BenchError::Process { path: path.to_owned(), why: error.to_string() })
}

/// Lets this thread's sleeps end when they should, and not up to 50 µs later.
pub(super) fn wake_in_time() {
    let thread = fs::read_link("/proc/thread-self").ok();
    let id = thread.as_deref().and_then(|path| path.file_name()?.to_str());
    if let Some(id) = id {
        // Where the kernel does not allow it, sleeps are as long as ever.
        let _ = fs::write(format!("/proc/{id}/timerslack_ns"), "1000");
    }
}

/// The process that listens on this address, if it is a process of this machine that we may look into.
pub(super) fn listening_on(address: SocketAddr) -> Option<u32> {
    // An address is this machine's if something can be bound to it.
    UdpSocket::bind((address.ip(), 0)).ok()?;
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(|line| listener(line, address))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let has_one = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    // A socket may be open in many processes; the first is the one that the others come from, as a rule.
    if sockets.is_empty() { None } else { pids.find(has_one) }
}

/// The inode of a line of `/proc/net/tcp`, if it is a listener that this address reaches.
fn listener(line: &str, address: SocketAddr) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let (ip, port) = local.split_once(':')?;
    let is_port = u16::from_str_radix(port, 16) == Ok(address.port());
    let ip = parse_ip(ip)?;
    let is_ip = ip.is_unspecified() || ip == address.ip().to_canonical();
    (*state == LISTEN && is_port && is_ip).then_some(*inode)
}

/// An address as the kernel prints it: words in the byte order of the machine.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..hex.len() / 8)
        .filter_map(|word| u32::from_str_radix(hex.get(word * 8..word * 8 + 8)?, 16).ok())
        .map(u32::to_ne_bytes)
        .collect();
    match words[..] {
        [v4] => Some(Ipv4Addr::from(v4).into()),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            Some(IpAddr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_of_this_process_is_found() {
        for ip in ["127.0.0.1", "0.0.0.0"] {
            let listener = TcpListener::bind((ip, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            assert_eq!(listening_on(address), Some(std::process::id()), "{ip}");
            drop(listener);
            assert_eq!(listening_on(address), None);
        }
    }

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        if cfg!(target_endian = "little") {
            assert_eq!(parse_ip("0100007F"), Some(Ipv4Addr::LOCALHOST.into()));
            assert_eq!(parse_ip("0000000000000000FFFF00000100007F"), Some(Ipv4Addr::LOCALHOST.into()));
            assert_eq!(parse_ip("00000000000000000000000001000000"), Some("::1".parse().unwrap()));
        }
        assert_eq!(parse_ip("0100"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let own = std::process::id();
        assert!(resident_kib(own).unwrap() <= peak_resident_kib(own).unwrap());
        assert!(cpu_time(own).unwrap() <= Duration::from_secs(3600));
        assert!(!own_threads().is_empty());
    }
}
