//! Why a database cannot be opened or written, in words that say what to do.
//!
//! SQLite says "disk I/O error" or "unable to open database file" of most things that a person can put right. So after
//! it has refused, the file system is asked. No database is opened for that: to close a file gives up every lock that
//! the process has on it (fcntl(2)), those of SQLite too.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, Uid, User, faccessat};
use rusqlite::ErrorCode;

/// Below so many octets a disk counts as full.
const LITTLE_BYTES: u64 = 1 << 20;

/// What is wrong with this folder, which was to be made and could not be.
pub(super) fn of_folder(folder: &Path, error: &io::Error) -> String {
    let shown = folder.display();
    match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            let file = existing(folder);
            format!(
                "cannot create the folder {shown}: {} is a file; move it away, or give a folder as `storage.path`",
                file.display()
            )
        }
        ErrorKind::PermissionDenied => format!(
            "cannot create the folder {shown}: {}; make it (`install -d -o {} {shown}`), or set another `storage.path`",
            forbidden(&existing(folder)),
            ourselves(),
        ),
        _ => format!("cannot create the folder {shown}: {}", common(folder, error)),
    }
}

/// Why SQLite refuses this database: what the file system says of it, else what SQLite says.
pub(super) fn of_database(path: &Path, error: &rusqlite::Error) -> String {
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        return full(path);
    }
    if let Some(found) = of_files(path).or_else(|| of_place(path)) {
        return found;
    }
    format!("{}: {error}; the kernel's log (`dmesg`) may say more", path.display())
}

/// Why a write to an open database failed.
pub(super) fn of_write(path: &Path, error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => full(path),
        Some(
            ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied,
        ) => of_database(path, error),
        _ => format!("{}: {error}", path.display()),
    }
}

/// The database and what SQLite keeps beside it.
fn of_files(path: &Path) -> Option<String> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-journal")] {
        let Ok(metadata) = std::fs::metadata(&file) else {
            continue;
        };
        let shown = file.display();
        if !metadata.is_file() {
            let what = if metadata.is_dir() {
                "a folder"
            } else {
                "no regular file"
            };
            return Some(format!(
                "{shown} is {what}, and the database is to be there; move it away, or set another `storage.path`"
            ));
        }
        if let Err(error) = may(&file, AccessFlags::R_OK | AccessFlags::W_OK) {
            return Some(match error {
                Errno::EROFS => read_only(&file),
                _ => format!("{}; {}", forbidden(&file), remedy(path)),
            });
        }
    }
    None
}

/// Whether this process may do that with the file, by its effective user.
fn may(file: &Path, mode: AccessFlags) -> nix::Result<()> {
    faccessat(AT_FDCWD, file, mode, AtFlags::AT_EACCESS)
}

/// The folder: can files be made in it?
fn of_place(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    match may(folder, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => {}
        Err(Errno::EROFS) => return Some(read_only(folder)),
        Err(Errno::ENOTDIR) => return Some(of_folder(folder, &ErrorKind::NotADirectory.into())),
        Err(Errno::ENOENT) => return Some(format!("the folder {} is not there", folder.display())),
        Err(_) => return Some(format!("{}; {}", forbidden(folder), remedy(path))),
    }
    // A file of a block's size tells what no question does: a full disk, no inodes left, a quota.
    let probe = folder.join(format!(".hotdns-probe-{}", std::process::id()));
    let tried = std::fs::write(&probe, [0; 4096]);
    let _ = std::fs::remove_file(&probe);
    tried.err().map(|error| common(folder, &error))
}

/// Errors that mean the same of whatever they are said.
fn common(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => read_only(path),
        ErrorKind::StorageFull => full(path),
        ErrorKind::QuotaExceeded => format!(
            "the quota of the user {} is used up on the file system of {}: free some room, or raise it",
            ourselves(),
            path.display()
        ),
        ErrorKind::PermissionDenied => format!("{}; {}", forbidden(path), remedy(path)),
        _ => format!("{}: {error}", path.display()),
    }
}

#[allow(clippy::useless_conversion, reason = "macOS counts blocks in 32 bits")]
fn full(path: &Path) -> String {
    let place = existing(path);
    let free = statvfs(&place).map(|disk| {
        let bytes = u64::from(disk.blocks_available()).saturating_mul(disk.fragment_size());
        (bytes, u64::from(disk.files_available()))
    });
    let shown = place.display();
    match free {
        Ok((bytes, 0)) if bytes > LITTLE_BYTES => {
            format!("the file system of {shown} is full: it has no inodes left; delete files there")
        }
        Ok((bytes, _)) => format!("the disk is full: {bytes} octets are free at {shown}; free some room there"),
        Err(_) => format!("the disk is full: free some room at {shown}"),
    }
}

fn read_only(path: &Path) -> String {
    format!(
        "the file system of {} is read-only: mount it so that it can be written, or set another `storage.path`",
        path.display()
    )
}

/// Whose a path is, and who we are.
fn forbidden(path: &Path) -> String {
    let shown = path.display();
    let us = ourselves();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.uid() != Uid::effective().as_raw() => format!(
            "{shown} belongs to the user {} (mode {:04o}), and hotdns runs as {us}",
            user(Uid::from_raw(metadata.uid())),
            metadata.mode() & 0o7777
        ),
        Ok(metadata) => format!(
            "{shown} (mode {:04o}) may not be read and written by hotdns, which runs as its owner {us}: look at the \
             mode, at `lsattr`, and at what AppArmor, SELinux or systemd forbid",
            metadata.mode() & 0o7777
        ),
        Err(_) => format!("no permission for {shown}, and hotdns runs as {us}"),
    }
}

fn remedy(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path);
    format!(
        "give it to that user (`chown -R {} {}`), or set another `storage.path`",
        ourselves(),
        folder.display()
    )
}

fn ourselves() -> String {
    user(Uid::effective())
}

fn user(uid: Uid) -> String {
    let named = User::from_uid(uid).ok().flatten();
    named.map_or_else(|| uid.to_string(), |user| user.name)
}

/// This path, or the nearest above it that exists.
fn existing(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    found.unwrap_or(Path::new("/")).to_owned()
}

/// A file that SQLite keeps beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> rusqlite::Error {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        rusqlite::Error::SqliteFailure(code, None)
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("a file");
        for below in [file.clone(), file.join("state"), file.join("state/more")] {
            let error = std::fs::create_dir_all(&below).expect_err("a file is there");
            let text = of_folder(&below, &error);
            assert!(text.contains(&format!("{} is a file", file.display())), "{text}");
        }
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_named() {
        for name in ["hotdns.db", "hotdns.db-wal"] {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
            let text = of_database(&folder.path().join("hotdns.db"), &refused());
            assert!(text.contains(&format!("{name} is a folder")), "{text}");
        }
    }

    #[test]
    fn what_the_file_system_cannot_explain_is_said_as_sqlite_says_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = of_database(&folder.path().join("hotdns.db"), &refused());
        assert!(
            ["hotdns.db: ", "disk I/O error", "dmesg"]
                .iter()
                .all(|part| text.contains(part)),
            "{text}"
        );
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("read").collect();
        assert!(left.is_empty(), "the probe is gone");
    }

    #[test]
    fn a_full_disk_says_how_much_is_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let error = rusqlite::Error::SqliteFailure(code, None);
        let text = of_write(&folder.path().join("missing/hotdns.db"), &error);
        let here = format!("octets are free at {}", folder.path().display());
        assert!(text.contains("the disk is full") && text.contains(&here), "{text}");
    }
}
