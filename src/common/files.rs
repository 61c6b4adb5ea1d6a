//! Files that somebody else has written or named: they may be of any size, and may be no files at
//! all. A named pipe, for one, would be waited for until somebody writes into it.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// The most that a configuration, a secret, a key, a certificate or a bundle of them may have,
/// bytes.
const MOST: u64 = 16 << 20;

/// Reads a file that belongs to a configuration.
///
/// # Errors
/// It can't be read, it is no file, or it is larger than any that is meant.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    bounded(open(path)?)
}

/// Opens a file to read it, and nothing but a file.
///
/// # Errors
/// It can't be read, or it is no file.
pub fn open(path: &Path) -> Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(Error::new(ErrorKind::InvalidInput, "it is not a file"))
}

/// As [`read`], for a file of text.
///
/// # Errors
/// Those of [`read`], or it is no UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    text(read(path)?)
}

/// Reads what a person names at a command line, which may be a pipe: `--config <(…)`.
///
/// # Errors
/// It can't be read, or there is no end of it.
pub fn read_named(path: &Path) -> Result<Vec<u8>> {
    bounded(File::open(path)?)
}

/// As [`read_named`], for text.
///
/// # Errors
/// Those of [`read_named`], or it is no UTF-8.
pub fn read_named_text(path: &Path) -> Result<String> {
    text(read_named(path)?)
}

fn bounded(file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let _ = file.take(MOST.saturating_add(1)).read_to_end(&mut bytes)?;
    if MOST < bytes.len() as u64 {
        let text = format!("it has more than {} MiB", MOST >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        let text = format!("it is no UTF-8, from byte {} on", e.utf8_error().valid_up_to());
        Error::new(ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_a_sensible_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("small"), "text\n").unwrap();
        assert_eq!(read_text(&at("small")).unwrap(), "text\n");
        assert_eq!(read_named_text(&at("small")).unwrap(), "text\n");
        // It takes no room on the disk.
        File::create(at("large")).unwrap().set_len(MOST + 1).unwrap();
        for read in [read, read_named] {
            let refused = read(&at("large")).unwrap_err().to_string();
            assert!(refused.contains("more than 16 MiB"), "{refused}");
        }
        File::create(at("most")).unwrap().set_len(MOST).unwrap();
        assert_eq!(read(&at("most")).unwrap().len() as u64, MOST);
        std::fs::write(at("bytes"), b"ab\xff").unwrap();
        let refused = read_text(&at("bytes")).unwrap_err().to_string();
        assert!(refused.contains("no UTF-8, from byte 2 on"), "{refused}");
        assert_eq!(read(&at("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// A pipe without a writer, a device without an end, and a directory.
    #[test]
    fn nothing_is_waited_for_that_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), dir.path()] {
            let refused = read(path).unwrap_err().to_string();
            assert!(refused.contains("not a file"), "{}: {refused}", path.display());
        }
        let endless = read_named(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(endless.contains("more than 16 MiB"), "{endless}");
    }
}
