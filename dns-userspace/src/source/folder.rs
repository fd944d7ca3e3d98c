//! The files below a folder, for sources that read folders.

use std::io;
use std::path::Path;

/// Files of a folder.
const MOST_FILES: usize = 10_000;
/// Folders within each other.
const MOST_DEPTH: usize = 16;

/// What `pick` makes of the files below a folder, in no order. `pick` gets a file's path below the folder, such as
/// `lan/example.org.zone`, and its whole path. Folders whose name begins with a dot are left out: those behind a
/// mounted ConfigMap begin so.
///
/// The error says which folder cannot be read, or that more than 10,000 files are picked.
pub(super) fn files_below<T>(folder: &Path, mut pick: impl FnMut(&str, &Path) -> Option<T>) -> Result<Vec<T>, String> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), String::new(), 0)];
    while let Some((at, prefix, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&at).map_err(|error| unreadable(&at, &error))? {
            let entry = entry.map_err(|error| unreadable(&at, &error))?;
            let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
            // A file that goes while we look is none.
            let Ok(metadata) = std::fs::metadata(entry.path()) else {
                continue;
            };
            if metadata.is_dir() {
                if depth < MOST_DEPTH && !is_hidden(&entry.path()) {
                    folders.push((entry.path(), format!("{key}/"), depth + 1));
                }
                continue;
            }
            found.extend(pick(&key, &entry.path()));
            if found.len() > MOST_FILES {
                return Err(format!("{} has more than {MOST_FILES} files", folder.display()));
            }
        }
    }
    Ok(found)
}

/// Whether the name of a file begins with a dot, as those of editors do.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether something is a folder; the error says why it cannot be known.
pub(super) fn is_folder(path: &Path) -> Result<bool, String> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    Ok(metadata.is_dir())
}

/// What is said of a file or folder that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}
