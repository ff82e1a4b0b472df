//! A file that gets another content again and again.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use tempfile::NamedTempFile;

thread_local! {
    // In memory where there is such a place: a disk takes a thousand times as long to cut a file to nothing.
    static FILE: RefCell<NamedTempFile> = RefCell::new(
        NamedTempFile::new_in("/dev/shm").or_else(|_| NamedTempFile::new()).expect("there is a temporary directory"),
    );
}

/// What `read` makes of a file with this content.
pub(super) fn with_file<T>(content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    FILE.with_borrow(|file| {
        fs::write(file, content).expect("the temporary file can be written");
        read(file.path())
    })
}
