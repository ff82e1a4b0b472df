//! A file that can be changed without being changed: what is written stays in memory.
//!
//! A database that was not closed has to be repaired before it can be read, and checking it writes to it. This lets redb do both
//! to a file that is left as it is.

use parking_lot::Mutex;
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// What is kept of a write, and where it begins: a multiple of it.
const PAGE: u64 = 4096;

#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    length: u64,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    length: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn over(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length, changed: Mutex::new(Changed { length, pages: BTreeMap::new() }) })
    }

    /// Reads from the file; beyond its end are zeros.
    fn original(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.length.saturating_sub(offset).min(out.len() as u64);
        let (there, beyond) = out.split_at_mut(usize::try_from(there).unwrap_or(out.len()));
        beyond.fill(0);
        self.file.read_exact_at(there, offset)
    }
}

/// The parts of a range that lie in one page each: the page, where the part begins in it and in the range, its length.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let inside = usize::try_from(at % PAGE).unwrap_or(0);
        let part = (length - done).min(PAGE as usize - inside);
        let found = (at / PAGE, inside, done, part);
        done += part;
        (part > 0).then_some(found)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed.lock();
        if offset + out.len() as u64 > changed.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.original(offset, out)?;
        for (page, inside, at, part) in parts(offset, out.len()) {
            if let Some(page) = changed.pages.get(&page) {
                out[at..at + part].copy_from_slice(&page[inside..inside + part]);
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut changed = self.changed.lock();
        if length < changed.length {
            // What is cut off must not come back if it grows again.
            for page in length / PAGE..=changed.length / PAGE {
                let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
                if page == length / PAGE {
                    match changed.pages.get(&page) {
                        Some(page) => bytes.copy_from_slice(page),
                        None => self.original(page * PAGE, &mut bytes)?,
                    }
                    bytes[usize::try_from(length % PAGE).unwrap_or(0)..].fill(0);
                }
                changed.pages.insert(page, bytes);
            }
        }
        changed.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed.lock();
        for (page, inside, at, part) in parts(offset, data.len()) {
            let bytes = match changed.pages.entry(page) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => {
                    let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
                    self.original(page * PAGE, &mut bytes)?;
                    free.insert(bytes)
                }
            };
            bytes[inside..inside + part].copy_from_slice(&data[at..at + part]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn overlay(bytes: &[u8]) -> (tempfile::NamedTempFile, Overlay) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let overlay = Overlay::over(file.reopen().unwrap()).unwrap();
        (file, overlay)
    }

    fn read(overlay: &Overlay, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0xff; length];
        overlay.read(offset, &mut out).unwrap();
        out
    }

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_is() {
        let bytes: Vec<u8> = (0..10_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (file, overlay) = overlay(&bytes);
        overlay.write(4_000, &[9; 5_000]).unwrap();
        let mut expected = bytes.clone();
        expected[4_000..9_000].fill(9);
        assert_eq!(read(&overlay, 0, 10_000), expected);
        assert_eq!(read(&overlay, 4_095, 3), [9, 9, 9]);
        assert_eq!(std::fs::read(file.path()).unwrap(), bytes);
    }

    #[test]
    fn what_is_cut_off_does_not_come_back() {
        let (_file, overlay) = overlay(&[7; 10_000]);
        overlay.write(9_000, &[8; 10]).unwrap();
        overlay.set_len(5_000).unwrap();
        assert!(overlay.read(4_990, &mut [0; 11]).is_err());
        overlay.set_len(20_000).unwrap();
        assert_eq!(overlay.len().unwrap(), 20_000);
        assert_eq!(read(&overlay, 4_990, 10), [7; 10]);
        assert_eq!(read(&overlay, 5_000, 15_000), vec![0; 15_000]);
    }
}
