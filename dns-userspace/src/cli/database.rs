//! `hotdns backup` and `hotdns restore`: the database as a file.
//!
//! A running server copies its database itself, so a backup is whole whatever is written meanwhile. A restore is made
//! while the server is stopped: what was there is kept beside it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use clap::Args;
use dns_userspace::config::{ConfigSource, Overrides};
use dns_userspace::journal::{FILE_NAME, Journal, Storage, StorageError, Stored};
use serde_json::json;

use super::connection::ServerArgs;
use super::failure::Failure;
use super::files::failed;
use super::output::{OutputFormat, write_out};
use super::progress::Progress;

/// Arguments of `hotdns backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The file that is written; it must not be there yet.
    file: PathBuf,
}

/// Arguments of `hotdns restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A backup.
    file: PathBuf,
    /// The configuration, whose `storage.path` is restored.
    #[arg(long, value_name = "FILE", default_value = "/etc/hotdns/hotdns.yaml")]
    config: PathBuf,
}

/// Fetches a copy of the running server's database into a new file, which its owner alone may read.
pub(crate) fn backup(args: &BackupArgs) -> Result<(), Failure> {
    let client = args.server.connect()?;
    let mut body = client.stream("/api/v1/backup", &[])?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&args.file);
    let mut file = file.map_err(|error| failed(&args.file, error))?;
    let progress = Progress::of_octets(client.output(), "backup", body.content_length());
    let mut reader = progress.reader(body.as_reader());
    let copied = io::copy(&mut reader, &mut file).and_then(|octets| file.sync_all().map(|()| octets));
    let octets = copied.map_err(|error| {
        // Half a backup is none.
        let _ = fs::remove_file(&args.file);
        failed(&args.file, error)
    })?;
    drop((reader, progress));
    let answer = json!({ "file": args.file, "bytes": octets });
    args.server
        .output
        .print(&answer, || format!("wrote {}: {octets} bytes\n", args.file.display()))
}

/// Puts a backup in the place of the database.
pub(crate) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let source = ConfigSource {
        path: args.config.clone(),
        overrides: Overrides::default(),
    };
    let loaded = source.load().map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::Text(lines.join("\n"))
    })?;
    let folder = loaded.config.storage.path;
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let checked = folder.join(format!(".restore-{}", std::process::id()));
    fs::create_dir(&checked).map_err(|error| failed(&checked, error))?;
    let outcome = restore_from(&args.file, &checked, &folder);
    let _ = fs::remove_dir_all(&checked);
    write_out(&outcome?)
}

fn restore_from(backup: &Path, checked: &Path, folder: &Path) -> Result<String, Failure> {
    let copy = checked.join(FILE_NAME);
    let metadata = backup.metadata().map_err(|error| failed(backup, error))?;
    let octets = metadata.len();
    if octets == 0 {
        return Err(Failure::Text(format!("{} is empty: it is no backup", backup.display())));
    }
    let progress = Progress::of_octets(OutputFormat::Table, "copy", Some(octets));
    let from = fs::File::open(backup).map_err(|error| failed(backup, error))?;
    let mut to = fs::File::create(&copy).map_err(|error| failed(&copy, error))?;
    let copied = io::copy(&mut progress.reader(from), &mut to).and_then(|_| to.sync_all());
    let copied = copied.and_then(|()| to.set_permissions(metadata.permissions()));
    copied.map_err(|error| failed(backup, error))?;
    drop((progress, to));
    let reading = Progress::of_waiting(OutputFormat::Table, "the copy is read:");
    let stored = read(checked).map_err(|reason| Failure::Text(format!("{}: {reason}", backup.display())))?;
    drop(reading);
    // A damaged one is what a restore is for; one that is held is a running server's.
    match Storage::open(folder) {
        Ok((storage, _)) if storage.unavailable().is_some() => {
            let reason = storage.unavailable().unwrap_or_default();
            return Err(Failure::Text(format!("stop the server before: {reason}")));
        }
        Ok(_) | Err(StorageError::Damaged { .. }) => {}
        Err(error) => return Err(Failure::Text(error.to_string())),
    }
    let owner = folder.metadata().map_err(|error| failed(folder, error))?;
    for suffix in ["", "-wal", "-shm"] {
        let there = folder.join(format!("{FILE_NAME}{suffix}"));
        if there.exists() {
            let kept = folder.join(format!("{FILE_NAME}.before-restore{suffix}"));
            fs::rename(&there, &kept).map_err(|error| failed(&there, error))?;
        }
    }
    let restored = folder.join(FILE_NAME);
    fs::rename(&copy, &restored).map_err(|error| failed(&restored, error))?;
    chown(&restored, Some(owner.uid()), Some(owner.gid())).map_err(|error| failed(&restored, error))?;
    Ok(format!(
        "restored {} RRsets of the API into {}; what was there is {FILE_NAME}.before-restore\nstart the server: \
         systemctl start hotdns\n",
        stored.rrsets.len(),
        restored.display()
    ))
}

/// Reads all of a database, as the server does at its start, and closes it again.
fn read(folder: &Path) -> Result<Stored, String> {
    let (storage, stored) = Storage::open(folder).map_err(|error| error.to_string())?;
    match (stored, storage.unavailable()) {
        (Some(stored), None) => Ok(stored),
        (_, reason) => Err(reason.unwrap_or("it cannot be read").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).expect("a folder");
        drop(Storage::open(folder).expect("a new database"));
        folder.join(FILE_NAME)
    }

    fn restored(folder: &Path, backup: &Path) -> Result<(), Failure> {
        let config = folder.join("hotdns.yaml");
        fs::write(&config, "storage: {path: state}\n").expect("written");
        restore(&RestoreArgs {
            file: backup.to_owned(),
            config,
        })
    }

    #[test]
    fn a_backup_takes_the_place_of_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let backup = database(&folder.path().join("backup"));
        let state = folder.path().join("state");
        fs::create_dir(&state).expect("a folder");
        fs::write(
            state.join(FILE_NAME),
            "damaged beyond repair, and not a database at all",
        )
        .expect("written");
        restored(folder.path(), &backup).expect("restored");
        assert!(state.join("hotdns.db.before-restore").is_file());
        read(&state).expect("a database");
        let left: Vec<_> = fs::read_dir(&state)
            .expect("listed")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(
            left.iter().all(|name| !name.to_string_lossy().starts_with(".restore")),
            "{left:?}"
        );
    }

    #[test]
    fn a_running_server_and_files_that_are_no_backups_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let backup = database(&folder.path().join("backup"));
        let held = Storage::open(&folder.path().join("state")).expect("made");
        let error = restored(folder.path(), &backup).expect_err("held");
        assert!(error.to_string().starts_with("stop the server before"), "{error}");
        drop(held);
        for text in ["", "no database"] {
            let wrong = folder.path().join("wrong");
            fs::write(&wrong, text).expect("written");
            assert!(restored(folder.path(), &wrong).is_err(), "{text:?}");
        }
    }
}
