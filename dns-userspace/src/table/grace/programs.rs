//! Programs of the kernel that may still look at a table, waited for.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Waits for them, in the way that was found first. False where they cannot be waited for.
pub(super) fn wait() -> bool {
    find();
    WAIT_METHOD.get().is_some_and(WaitMethod::wait)
}

/// Finds a way, and says so where it is not the usual one.
pub(super) fn find() {
    WAIT_METHOD.get_or_init(WaitMethod::find);
}

static WAIT_METHOD: OnceLock<WaitMethod> = OnceLock::new();

enum WaitMethod {
    Membarrier,
    Maps(MapOfMaps),
    None,
}

impl WaitMethod {
    fn find() -> Self {
        let refused = match membarrier() {
            Ok(()) => return Self::Membarrier,
            Err(error) => error,
        };
        let maps = MapOfMaps::new().and_then(|maps| maps.wait().map(|()| maps));
        match maps {
            Ok(maps) => {
                tracing::info!(
                    "`membarrier(2)` cannot be had ({refused}), by a seccomp filter or because of `nohz_full`: a map \
                     of maps is \
                     used to wait for readers of the table"
                );
                Self::Maps(maps)
            }
            Err(error) => {
                tracing::warn!(
                    "`membarrier(2)` cannot be had ({refused}), nor a map of maps ({error}): room of answers that \
                     were replaced \
                     is used again only once a larger table is made; allow `membarrier` in the seccomp profile"
                );
                Self::None
            }
        }
    }

    fn wait(&self) -> bool {
        match self {
            Self::Membarrier => membarrier().is_ok(),
            Self::Maps(maps) => maps.wait().is_ok(),
            Self::None => false,
        }
    }
}

fn membarrier() -> io::Result<()> {
    // SAFETY: a system call with plain numbers; it touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An array of one map.
struct MapOfMaps {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl MapOfMaps {
    fn new() -> io::Result<Self> {
        let inner = create_map(BPF_MAP_TYPE_ARRAY, 0)?;
        let outer = create_map(BPF_MAP_TYPE_ARRAY_OF_MAPS, inner.as_raw_fd() as u32)?;
        Ok(Self { outer, inner })
    }

    /// Waits until every program that ran when this was called has ended.
    fn wait(&self) -> io::Result<()> {
        let (key, value) = (0u32, self.inner.as_raw_fd() as u32);
        let mut attributes = [
            self.outer.as_raw_fd() as u64,
            (&raw const key) as u64,
            (&raw const value) as u64,
            0,
        ];
        // SAFETY: the call reads a key and a value of four octets, which live until it returns.
        unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut attributes).map(|_| ()) }
    }
}

fn create_map(map_type: u32, inner: u32) -> io::Result<OwnedFd> {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    // Type, key size, value size, entries, flags, inner map.
    let mut attributes = [pair(map_type, 4), pair(4, 1), pair(0, inner), 0];
    // SAFETY: the call reads no more than the attributes, and the descriptor that it gives is ours alone.
    unsafe {
        let descriptor = bpf(BPF_MAP_CREATE, &mut attributes)?;
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// # Safety
/// What the command does with memory that the attributes point to is the caller's to answer for.
unsafe fn bpf(command: libc::c_long, attributes: &mut [u64; 4]) -> io::Result<i32> {
    // SAFETY: the kernel reads and writes as many octets of the attributes as it is told that there are.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_says_whether_it_waited() {
        assert!(!WaitMethod::None.wait());
        // Without the privilege there is no map, and that is said.
        match MapOfMaps::new() {
            Ok(maps) => {
                for _ in 0..3 {
                    assert!(maps.wait().is_ok());
                }
                assert!(WaitMethod::Maps(maps).wait());
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        }
    }
}
