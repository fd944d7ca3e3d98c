//! Calls to the kernel that fail because a test says so, to see what is left behind.

use std::io;

use aya::maps::MapError;
use nix::errno::Errno;

/// Where the program's state is changed by a call that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seam {
    /// An address is given to the program.
    OwnInsert,
    /// An address is taken from it.
    OwnRemove,
    /// A line of the table of addresses is written.
    OwnTable,
    /// The program is attached to the interface of this index.
    LinkCreate(u32),
    /// The program of a link is replaced by another one.
    LinkReplace(u32),
}

/// Which calls fail, and how; none by default.
#[derive(Default)]
pub struct Faults(Option<Box<dyn FnMut(Seam) -> Option<Errno> + Send>>);

impl Faults {
    /// Those for which `fails` has an error.
    pub fn new(fails: impl FnMut(Seam) -> Option<Errno> + Send + 'static) -> Self {
        Self(Some(Box::new(fails)))
    }

    pub(super) fn ask(&mut self, seam: Seam) -> Result<(), Errno> {
        match self.0.as_mut().and_then(|fails| fails(seam)) {
            Some(errno) => Err(errno),
            None => Ok(()),
        }
    }

    /// The call, unless it is to fail.
    pub(super) fn before<T>(&mut self, seam: Seam, call: impl FnOnce() -> Result<T, MapError>) -> Result<T, MapError> {
        self.ask(seam)
            .map_err(|errno| MapError::IoError(io::Error::from(errno)))?;
        call()
    }
}
