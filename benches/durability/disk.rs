//! What lies below the brokers' folders, and what reaches it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// One append of the device's own measure: a page, as little as a database can write.
const PAGE: usize = 4096;
const SYNCS: usize = 200;
/// Slow disks are measured no longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long each of some appends of a page takes together with its fdatasync, sorted.
pub(crate) fn sync_times(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let path = folder.join("fdatasync");
    let mut file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let page = [0x5a; PAGE];
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < SYNCS && start.elapsed() < PATIENCE {
        let begin = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort();
    Ok(times)
}

/// Bytes that the files of a folder take on the disk; a file's holes do not count.
pub(crate) fn allocated(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512, // st_blocks counts in these, whatever the file system's are
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// Bytes that a process has caused to be written to the disk, now or when the kernel gets to it.
pub(crate) fn written(pid: u32) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}

/// The file system that a folder is on, such as `ext4 on /dev/vda`.
pub(crate) fn file_system(folder: &Path) -> anyhow::Result<String> {
    let folder = folder.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let of_mount = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.to_owned();
        let mut source = source.split(' ');
        folder.starts_with(&point).then_some((point.len(), format!("{} on {}", source.next()?, source.next()?)))
    };
    // Of two at one place, the later one hides the other.
    let nearest = mounts.lines().filter_map(of_mount).max_by_key(|(length, _)| *length);
    nearest.map(|(_, name)| name).context("no mount point above the folder")
}

/// Whether that is memory, on which an fsync costs nothing.
pub(crate) fn is_memory(file_system: &str) -> bool {
    file_system.starts_with("tmpfs") || file_system.starts_with("ramfs")
}
