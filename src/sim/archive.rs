//! The archive of a module's logs: a real tar file of text that looks like a log, the same for the same seed.

use std::io::{self, Read};

use md5::{Digest as _, Md5};
use tar::{Builder, Header};

use super::random::Random;
use crate::object_store::sigv4;

/// One log to be packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its path in the archive.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it ended, milliseconds since the epoch.
    pub end_time: u64,
    /// Where its text comes from.
    pub seed: u64,
}

/// An archive that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The tar file.
    pub bytes: Vec<u8>,
    /// Its MD5, 32 hexadecimal digits: what a progress event calls `fingerprint`.
    pub md5: String,
    /// Its SHA-256, 64 hexadecimal digits: what the request's signature covers.
    pub sha256: String,
}

/// Packs logs. It takes as long as it takes to write and digest their bytes: not for an async task.
///
/// # Errors
/// If a name cannot be one in a tar file.
pub fn pack(logs: &[Log]) -> io::Result<Packed> {
    let mut archive = Builder::new(Vec::new());
    for log in logs {
        let mut header = Header::new_ustar();
        header.set_size(log.size);
        header.set_mode(0o644);
        header.set_mtime(log.end_time / 1000);
        archive.append_data(&mut header, &log.name, Text::new(log))?;
    }
    let bytes = archive.into_inner()?;
    let md5 = Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let sha256 = sigv4::sha256(&bytes);
    Ok(Packed { bytes, md5, sha256 })
}

/// The text of a log, made while it is read.
struct Text {
    random: Random,
    line: Vec<u8>,
    /// How much of the line has been read.
    at: usize,
    number: u64,
    left: u64,
}

impl Text {
    fn new(log: &Log) -> Self {
        Self { random: Random::new(log.seed), line: Vec::new(), at: 0, number: 0, left: log.size }
    }

    fn next_line(&mut self) {
        const PARTS: [&str; 6] = ["flight", "battery", "gimbal", "link", "rtk", "dock"];
        let part = PARTS[usize::try_from(self.random.between(0, 5)).unwrap_or(0)];
        let (one, other) = (self.random.next(), self.random.next());
        self.number += 1;
        self.line = format!("{:09} [{part}] {one:016x} {other:016x}\n", self.number).into_bytes();
        self.at = 0;
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() && self.left > 0 {
            if self.at == self.line.len() {
                self.next_line();
            }
            let rest = &self.line[self.at..];
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let take = rest.len().min(buffer.len() - read).min(left);
            buffer[read..read + take].copy_from_slice(&rest[..take]);
            (read, self.at, self.left) = (read + take, self.at + take, self.left - take as u64);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str, size: u64, seed: u64) -> Log {
        Log { name: name.to_owned(), size, end_time: 1_780_000_000_123, seed }
    }

    #[test]
    fn an_archive_is_a_tar_file_that_holds_each_log_with_its_size() {
        let packed = pack(&[log("1581F/321.log", 100_000, 1), log("1581F/322.log", 0, 2)]).unwrap();
        let mut archive = tar::Archive::new(&*packed.bytes);
        let found: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.path().unwrap().display().to_string(), entry.header().mtime().unwrap(), text)
            })
            .collect();
        assert_eq!(found.len(), 2);
        let (name, mtime, text) = &found[0];
        assert_eq!((name.as_str(), *mtime, text.len()), ("1581F/321.log", 1_780_000_000, 100_000));
        assert!(text.starts_with("000000001 [") && text.lines().count() > 1_000);
        assert_eq!((found[1].0.as_str(), found[1].2.len()), ("1581F/322.log", 0));
    }

    #[test]
    fn the_same_logs_make_the_same_archive_and_others_another() {
        let one = pack(&[log("a", 5_000, 1)]).unwrap();
        assert_eq!(one, pack(&[log("a", 5_000, 1)]).unwrap());
        assert_ne!(one.md5, pack(&[log("a", 5_000, 2)]).unwrap().md5);
        assert_eq!((one.md5.len(), one.sha256.len()), (32, 64));
    }

    /// RFC 1321, A.5.
    #[test]
    fn the_fingerprint_is_md5() {
        let digest: String = Md5::digest(b"message digest").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "f96b697d7cb7938d525a2f31aaf161d0");
    }
}
