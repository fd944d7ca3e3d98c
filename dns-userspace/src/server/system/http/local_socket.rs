//! `http.socket`: the API for users of this machine, who are known by what the kernel says of them.

use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tracing::{debug, info};

use crate::config::{DEFAULT_SOCKET, SocketConfig};

/// The file of a socket; it is removed with this, unless another one has its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    state: Option<(u64, i64, i64)>,
}

/// Why a socket that was asked for cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    #[error("`http.socket`: another process answers at {}: stop it, or give another path", .0.display())]
    InUse(PathBuf),
    #[error("`http.socket`: {} is there and is no socket: give another path, or remove it", .0.display())]
    NoSocket(PathBuf),
    #[error("`http.socket`: {} cannot be made ({error}): give a path in a folder that may be written", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Binds the socket; the default one only where that is possible.
pub(super) fn bind(config: &SocketConfig) -> Result<Option<(UnixListener, SocketFile)>, SocketError> {
    match config {
        SocketConfig::Off => Ok(None),
        SocketConfig::At(path) => bind_at(path).map(Some),
        SocketConfig::Default => match bind_at(Path::new(DEFAULT_SOCKET)) {
            Ok(bound) => {
                info!("the API is served on {DEFAULT_SOCKET} for root and this user");
                Ok(Some(bound))
            }
            Err(error) => {
                debug!("no socket for users of this machine: {error}");
                Ok(None)
            }
        },
    }
}

fn bind_at(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |error| SocketError::Io {
        path: path.to_owned(),
        error,
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        && !folder.exists()
    {
        std::fs::create_dir(folder).map_err(failed)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path).map_err(failed)?;
    // Before, nobody else could connect but root: a file mode mask leaves others no right to write.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    let file = SocketFile {
        path: path.to_owned(),
        state: state(path),
    };
    Ok((listener, file))
}

/// Removes a socket that a process has left behind that was killed.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
            if !is_socket {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(|error| SocketError::Io {
                path: path.to_owned(),
                error,
            })
        }
        Err(error) => Err(SocketError::Io {
            path: path.to_owned(),
            error,
        }),
    }
}

/// What tells one file at a path from the next.
fn state(path: &Path) -> Option<(u64, i64, i64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.ino(), file.ctime(), file.ctime_nsec()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.state.is_some() && state(&self.path) == self.state {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_made_once_and_one_that_was_left_behind_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run").join("api.sock");
        let config = SocketConfig::At(path.clone());
        let (listener, file) = bind(&config).expect("bound").expect("a socket");
        assert!(matches!(bind(&config), Err(SocketError::InUse(_))));
        drop(listener);
        // Times of files are as fine as the kernel's clock ticks.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (listener, second) = bind(&config).expect("bound").expect("a socket");
        // The first one is gone, and does not take the second's file with it.
        drop(file);
        assert!(path.exists());
        drop((listener, second));
        assert!(!path.exists());
        assert!(bind(&SocketConfig::Off).expect("nothing to do").is_none());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "x").expect("written");
        assert!(matches!(
            bind(&SocketConfig::At(path.clone())),
            Err(SocketError::NoSocket(_))
        ));
        assert_eq!(std::fs::read(&path).expect("there"), b"x");
    }
}
