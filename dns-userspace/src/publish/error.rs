//! Why a new table cannot be had.

use std::error::Error;

use crate::table::TableFull;

/// What a home of tables, or the one that makes tables, says is wrong.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a new table cannot be had. What is served stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Lines of a table are counted in 32 bits.
    #[error("{0} lines are too many for one table")]
    TooManyLines(usize),
    /// Prefixes are counted in 32 bits.
    #[error("{0} prefixes of views are too many for one table")]
    TooManyPrefixes(usize),
    /// The kernel gives no random octets.
    #[error("no randomness for the table's secrets: {0}")]
    NoRandomness(getrandom::Error),
    /// The loader makes none: for want of memory, mostly.
    #[error(transparent)]
    NotMade(Cause),
    /// The new table's home does not take the clients of views.
    #[error(transparent)]
    Clients(Cause),
    /// Its home does not answer in the place of the one before.
    #[error("the new table cannot take over from the old one")]
    NotTakenOver(#[source] Cause),
    /// It was made too small.
    #[error(transparent)]
    Full(#[from] TableFull),
    /// What was compiled first could not be kept, or not be read again.
    #[error("what names say cannot be kept while the table is made")]
    NotKept(#[from] postcard::Error),
}
