//! The bearer token's file, as far as the configuration can tell: the HTTP API reads and compares the token.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::problem::Problem;
use crate::host::files;

/// What can stand in an `Authorization` header and still be one line of it.
const MAX_BYTES: usize = 4096;
/// Fewer characters can be guessed over the network.
const GOOD_BYTES: usize = 16;

/// Checks a token file: one line of visible ASCII (RFC 6750 §2.1 names fewer characters). Returns what is odd about it.
pub(super) fn check_token_file(path: &Path) -> Result<Option<String>, Problem> {
    let shown = || path.display().to_string();
    let unreadable = |error: io::Error| Problem::TokenUnreadable { path: shown(), error };
    let bytes = files::read(path, files::MOST_OF_A_SECRET).map_err(unreadable)?;
    let line = bytes.trim_ascii();
    if line.is_empty() || line.len() > MAX_BYTES || !line.iter().all(u8::is_ascii_graphic) {
        return Err(Problem::BadToken { path: shown() });
    }
    if let Some(oddity) = open_to_all(path) {
        return Ok(Some(oddity));
    }
    if line.len() < GOOD_BYTES {
        let bytes = line.len();
        return Ok(Some(format!(
            "the token in {} has {bytes} characters: take {GOOD_BYTES} or more",
            shown()
        )));
    }
    Ok(None)
}

/// What to say of a file of secrets that everybody can read.
pub(super) fn open_to_all(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| format!("every user of this machine can read {}: chmod o-r it", path.display()))
}
