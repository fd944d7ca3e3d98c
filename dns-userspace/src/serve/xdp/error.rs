//! What goes wrong with the XDP program: its object lacks something, or the kernel refuses.

use std::io;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use nix::errno::Errno;

/// Why the XDP program cannot be loaded, told or asked something, or be another one's successor.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// The object is none of this version's.
    #[error("the object has no program `hotdns`")]
    NoProgram,
    /// The object is none of this version's.
    #[error("the object has no map `{0}`")]
    NoMap(&'static str),
    /// The object is none of this version's.
    #[error("the map `{name}` of the object is of another kind")]
    OtherKind {
        /// The map.
        name: &'static str,
        /// Of what kind it is.
        #[source]
        error: MapError,
    },
    /// For want of privileges or memory, mostly.
    #[error("the kernel refuses the maps of the XDP program")]
    MapsRefused(#[source] EbpfError),
    /// The verifier refuses it, or the kernel does for want of privileges.
    #[error("the kernel refuses the XDP program")]
    ProgramRefused(#[source] ProgramError),
    /// The memory of a map is not to be had.
    #[error("the map `{name}` cannot be mapped")]
    NotMapped {
        /// The map.
        name: &'static str,
        /// What the kernel said.
        #[source]
        errno: Errno,
    },
    /// A map is not read.
    #[error("the map `{name}` cannot be read")]
    NotRead {
        /// The map.
        name: &'static str,
        /// What the kernel said.
        #[source]
        error: MapError,
    },
    /// The kernel does not take a prefix of clients that may use the upstream.
    #[error("a prefix of `backend.upstream.allow` does not fit")]
    Recursion(#[source] MapError),
    /// The kernel does not take a prefix of a view's clients.
    #[error("a prefix of `views` does not fit")]
    Clients(#[source] MapError),
    /// The kernel does not take, or give back, a prefix of an access list.
    #[error("a prefix of an access list cannot be given to the XDP program")]
    Access(#[source] MapError),
    /// The kernel does not take the secrets of cookies.
    #[error("the XDP program's secrets of DNS cookies cannot be set")]
    Cookies(#[source] MapError),
    /// The process has no descriptor to spare.
    #[error("the descriptor of the XDP program cannot be copied")]
    Descriptor(#[source] io::Error),
    /// None of the links of the program before could be moved: this is the first.
    #[error("the program on {interface} cannot be replaced: {}", .errno.desc())]
    NotReplaced {
        /// Where it is attached.
        interface: String,
        /// What the kernel said.
        errno: Errno,
    },
}
