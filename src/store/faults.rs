//! A file that fails when a test tells it to.

use super::medium::Wrap;
use parking_lot::{Condvar, Mutex};
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::Arc;

/// EIO and ENOSPC of Linux.
pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;

/// How the file fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// No write gets through; this is what the system says.
    Write(i32),
    /// So many bytes get through, then no space is left: the last write ends half-way.
    Space(usize),
    /// fsync fails, and what was written since the last one will not get to the disk, though it can be read for now.
    Sync,
    /// fsync panics, as a database that finds itself damaged may.
    Panic,
    /// fsync does not come back until the fault is taken away.
    Stall,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// What is on the disk, whatever the page cache says.
    disk: Vec<u8>,
    /// Places and lengths of writes that the next fsync takes to the disk. One that fails forgets them, as Linux does.
    dirty: Vec<(u64, usize)>,
    /// Successful and failed.
    syncs: usize,
    stalling: bool,
}

/// The switch of the faults of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch(Arc<(Mutex<State>, Condvar)>);

impl Switch {
    /// From now on the file fails like this, or no more.
    pub(super) fn set(&self, fault: Option<Fault>) {
        self.0.0.lock().fault = fault;
        self.0.1.notify_all();
    }

    /// How often an fsync was asked for.
    pub(super) fn syncs(&self) -> usize {
        self.0.0.lock().syncs
    }

    /// Waits until an fsync does not come back.
    pub(super) fn wait_for_stall(&self) {
        let mut state = self.0.0.lock();
        while !state.stalling {
            self.0.1.wait(&mut state);
        }
    }

    /// What the disk would have after a loss of power now.
    pub(super) fn disk(&self) -> Vec<u8> {
        self.0.0.lock().disk.clone()
    }

    /// What puts the faults between a database and its file.
    pub(super) fn wrap(&self) -> Wrap {
        let switch = self.clone();
        Arc::new(move |file| Box::new(Faulty { file, switch: switch.clone() }))
    }
}

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    switch: Switch,
}

impl StorageBackend for Faulty {
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.switch.0.0.lock();
        let (through, error) = match &mut state.fault {
            Some(Fault::Write(error)) => (0, Some(*error)),
            Some(Fault::Space(left)) => {
                let through = data.len().min(*left);
                *left -= through;
                (through, (through < data.len()).then_some(ENOSPC))
            }
            _ => (data.len(), None),
        };
        state.dirty.push((offset, through));
        self.file.write(offset, &data[..through])?;
        error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error)))
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        match self.switch.0.0.lock().fault {
            Some(Fault::Write(error)) if len > self.file.len()? => Err(io::Error::from_raw_os_error(error)),
            _ => self.file.set_len(len),
        }
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.switch.0.0.lock();
        state.syncs += 1;
        while state.fault == Some(Fault::Stall) {
            state.stalling = true;
            self.switch.0.1.notify_all();
            self.switch.0.1.wait(&mut state);
        }
        state.stalling = false;
        match state.fault {
            Some(Fault::Sync) => {
                state.dirty.clear();
                Err(io::Error::from_raw_os_error(EIO))
            }
            Some(Fault::Panic) => {
                drop(state);
                panic!("the file is not what it was")
            }
            _ => {
                let length = usize::try_from(self.file.len()?).unwrap();
                state.disk.resize(length, 0);
                for (at, size) in std::mem::take(&mut state.dirty) {
                    let from = usize::try_from(at).unwrap().min(length);
                    let to = (from + size).min(length);
                    self.file.read(at, &mut state.disk[from..to])?;
                }
                self.file.sync_data()
            }
        }
    }

    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.file.read(offset, out)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
