//! Links between the program and interfaces: `bpf(2)` calls whose errors are told as they are, and that leave a link as
//! it was where its program cannot be replaced. aya consumes a link that it replaces the program of, whatever comes of
//! that.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
/// `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;

/// How a program is attached (`XDP_FLAGS_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In the kernel's own receive path.
    Generic = 1 << 1,
    /// In the driver.
    Native = 1 << 2,
}

impl Way {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Native => "native",
        }
    }
}

/// One link. The program is detached when it is dropped, or when the process ends.
pub(super) struct Link(OwnedFd);

impl Link {
    /// Attaches a program to the interface of this index.
    pub(super) fn create(program: BorrowedFd<'_>, index: u32, way: Way) -> Result<Self, Errno> {
        let mut attributes = [program.as_raw_fd() as u32, index, BPF_XDP, way as u32];
        // SAFETY: the call reads no more than the attributes, and the descriptor that it gives is ours alone.
        unsafe {
            let descriptor = bpf(BPF_LINK_CREATE, &mut attributes)?;
            Ok(Self(OwnedFd::from_raw_fd(descriptor)))
        }
    }

    /// Puts another program into the place of the one that is attached, atomically. On an error nothing has changed.
    pub(super) fn replace(&self, program: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut attributes = [self.0.as_raw_fd() as u32, program.as_raw_fd() as u32, 0, 0];
        // SAFETY: the call reads no more than the attributes.
        unsafe { bpf(BPF_LINK_UPDATE, &mut attributes).map(|_| ()) }
    }

    /// Whether it is attached still: to the interface of this index. It is not where the interface is gone, even if
    /// another one has its name and its index by now.
    pub(super) fn is_at(&self, index: u32) -> bool {
        // `struct bpf_link_info`: type, ID, ID of the program, and, aligned to eight octets, the index.
        let mut info = [0u32; 32];
        let pointer = info.as_mut_ptr() as u64;
        let mut attributes = [
            self.0.as_raw_fd() as u32,
            size_of_val(&info) as u32,
            pointer as u32,
            (pointer >> 32) as u32,
        ];
        // SAFETY: the call writes at most as many octets to `info` as it is told that there are.
        let asked = unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes) };
        asked.is_ok() && info[4] == index
    }
}

/// # Safety
/// What the command does with memory that the attributes point to is the caller's to answer for.
unsafe fn bpf(command: libc::c_long, attributes: &mut [u32; 4]) -> Result<i32, Errno> {
    // Aligned as `union bpf_attr` is.
    let mut aligned: [u64; 2] = bytemuck::cast(*attributes);
    // SAFETY: the kernel reads and writes as many octets of the attributes as it is told that there are.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, aligned.as_mut_ptr(), size_of_val(&aligned)) };
    if result < 0 {
        return Err(Errno::from_raw(io::Error::last_os_error().raw_os_error().unwrap_or(0)));
    }
    *attributes = bytemuck::cast(aligned);
    Ok(result as i32)
}
