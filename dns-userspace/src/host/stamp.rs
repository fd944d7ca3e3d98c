//! Whether a file is still what it was when it was read.
//!
//! Device, inode, size and times tell most files apart without reading them. A file that was written in the same tick
//! of the file system's clock in which it was read may be written once more in that tick, with as many octets: such a
//! file is read again, and the hash of its content compared. So is one whose times alone are others.

use std::fs::Metadata;
use std::hash::Hasher;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use siphasher::sip::SipHasher24;

/// The clock of a file system's times: most take the kernel's, which advances every 1 to 10 ms.
const TICK: Duration = Duration::from_millis(20);
/// That of file systems whose times have no fractions of a second (NFS version 2, FAT).
const COARSE_TICK: Duration = Duration::from_secs(2);

/// What a file was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    identity: Identity,
    /// Whether a later write is sure to give the file another identity.
    is_settled: bool,
    /// Of its content; `None` where that was not kept.
    hash: Option<u64>,
}

/// What the file system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    octets: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// Of an open file with this content; `file` was asked for before the content was read.
    pub fn of(file: &Metadata, content: &[u8]) -> Self {
        Self {
            hash: Some(hash(content)),
            ..Self::without_content(file)
        }
    }

    /// Of a file whose content is not known.
    pub fn without_content(file: &Metadata) -> Self {
        let identity = Identity {
            device: file.dev(),
            inode: file.ino(),
            octets: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        };
        Self {
            identity,
            is_settled: identity.is_settled(),
            hash: None,
        }
    }

    /// The same of the file at this path; `None` where there is none.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self::without_content(&file))
    }

    /// Whether the file has octets, and was last written long enough ago to be whole.
    pub fn is_whole(&self) -> bool {
        self.is_settled && self.identity.octets != 0
    }

    /// Whether the file at `path` has the content that was read.
    pub fn is_still(&self, path: &Path) -> bool {
        let Some(now) = Self::at(path) else { return false };
        if self.is_settled && now.identity == self.identity {
            return true;
        }
        // The size is compared first, since it costs nothing.
        now.identity.octets == self.identity.octets
            && self.hash.is_some()
            && std::fs::read(path).ok().map(|content| hash(&content)) == self.hash
    }
}

impl Identity {
    fn is_settled(&self) -> bool {
        let has_fractions = self.modified.1 != 0 || self.changed.1 != 0;
        let tick = if has_fractions { TICK } else { COARSE_TICK };
        is_past(self.modified, tick) && is_past(self.changed, tick)
    }
}

fn hash(content: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(content);
    hasher.finish()
}

/// Whether a time, in seconds and nanoseconds of Unix time, is longer ago than `tick`.
fn is_past((seconds, nanoseconds): (i64, i64), tick: Duration) -> bool {
    let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds)) else {
        return true;
    };
    let time = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    SystemTime::now().duration_since(time).is_ok_and(|age| age > tick)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn stamp(path: &Path) -> FileStamp {
        let file = fs::metadata(path).expect("a file");
        FileStamp::of(&file, &fs::read(path).expect("read"))
    }

    fn file(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("zone");
        fs::write(&path, "1").expect("written");
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        fs::File::options()
            .write(true)
            .open(&path)
            .expect("open")
            .set_modified(long_ago)
            .expect("set");
        std::thread::sleep(TICK * 2);
        path
    }

    #[test]
    fn a_write_with_as_many_octets_a_rename_and_a_removal_are_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder);
        let before = stamp(&path);
        assert!(before.is_still(&path));
        fs::write(&path, "2").expect("written");
        assert!(!before.is_still(&path));

        // Another file with the same content is the same.
        let path = file(&folder);
        let before = stamp(&path);
        let other = folder.path().join("other");
        fs::write(&other, "1").expect("written");
        fs::rename(&other, &path).expect("renamed");
        assert!(before.is_still(&path));
        assert!(!FileStamp { hash: None, ..before }.is_still(&path));
        fs::remove_file(&path).expect("removed");
        assert!(!before.is_still(&path));
    }

    #[test]
    fn a_file_that_was_just_written_is_compared_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("zone");
        fs::write(&path, "1").expect("written");
        let before = stamp(&path);
        assert!(before.is_still(&path) && !before.is_whole());
        // As if in the same tick of the clock.
        fs::write(&path, "2").expect("written");
        let now = stamp(&path);
        let before = FileStamp {
            identity: now.identity,
            ..before
        };
        assert!(!before.is_still(&path));
    }
}
