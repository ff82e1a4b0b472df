//! Reads a file that may be anything.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// The bytes of a file of at most so many.
///
/// What is no file is not opened: a named pipe would keep its reader waiting for ever, and a device may have no end.
///
/// # Errors
/// If it cannot be read, is larger, or is no file.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        File::create(path("large")).unwrap().set_len(1 << 40).unwrap();
        fs::write(path("good"), "good").unwrap();
        std::os::unix::fs::symlink(path("good"), path("link")).unwrap();
        let told = |path: &Path| read(path, 1 << 20).unwrap_err().to_string();
        assert_eq!(told(&path("pipe")), "it is not a file");
        assert_eq!(told(Path::new("/dev/zero")), "it is not a file");
        assert_eq!(told(&path("large")), "it has more than 1 MiB");
        assert!(told(folder.path()).contains("directory"));
        assert_eq!(read(&path("link"), 4).unwrap(), b"good");
    }
}
