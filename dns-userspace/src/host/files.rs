//! Files that are named in the configuration, read whole; and how many files may be open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The most octets of a file with a secret in it.
pub const MOST_OF_A_SECRET: u64 = 1 << 16;

/// Opens a regular file: not a pipe, which would wait for a writer and be empty the next time, nor a device, which may
/// never end.
pub fn open(path: &Path) -> io::Result<File> {
    // Without waiting, in case it is a pipe.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Reads a regular file of `most` octets or fewer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut octets)?;
    if octets.len() as u64 > most {
        let problem = format!("larger than {most} octets");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(octets)
}

/// The same as text in UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// File descriptors of this process that are open now.
pub fn open_descriptors() -> usize {
    // The folder that is read is one of them.
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    fs::read_dir(folder).map_or(0, |open| open.count().saturating_sub(1))
}

/// Raises this process's limit of open files as far as it may without privileges and, where that is less than `wanted`,
/// to that where it has them (CAP_SYS_RESOURCE); returns it. For start-up.
#[allow(clippy::unnecessary_cast, reason = "FreeBSD counts in signed numbers")]
pub fn raise_file_limit(wanted: u64) -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let (soft, hard) = (soft as u64, hard as u64);
    let set = |limit: u64| setrlimit(Resource::RLIMIT_NOFILE, limit as _, limit as _).map(|()| limit);
    let privileged = if wanted > hard { set(wanted).ok() } else { None };
    privileged.unwrap_or_else(|| set(hard).unwrap_or(soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_devices_folders_and_what_is_too_large_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = read(path, 10).expect_err("no regular file");
            assert_eq!(error.to_string(), "not a regular file", "{}", path.display());
        }
        let file = folder.path().join("file");
        fs::write(&file, "0123456789").expect("written");
        assert_eq!(read_text(&file, 10).expect("it fits"), "0123456789");
        assert_eq!(
            read(&file, 9).expect_err("too large").to_string(),
            "larger than 9 octets"
        );
        fs::write(&file, [0xFF]).expect("written");
        let error = read_text(&file, 9).expect_err("no UTF-8");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
