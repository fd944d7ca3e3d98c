//! Files of secrets, which the configuration names.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What to say of a file of secrets that everybody can read.
pub(super) fn open_to_all(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| format!("every user of this machine can read {}: chmod o-r it", path.display()))
}
