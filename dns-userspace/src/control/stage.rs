//! What is done to a publication between its plan and the journal.
//!
//! ```text
//! plan ─► Publication ─► serials ─► others, such as a signer ─► journal ─► planes ─► commit
//! ```

use super::publication::Publication;

/// One stage. It takes a publication as the stage before it leaves it.
pub trait Stage: Send {
    /// Makes of a publication what is to be served. What it changes in `new`, the trees of views included, it adds to
    /// `delta`, whose names are ascending: the next plan is made on top of `new`, and planes look at `delta` alone.
    ///
    /// It refuses nothing: what files and other nodes say is served, whatever a stage makes of it. A zone that it can
    /// do nothing with is one that failed ([`crate::model::snapshot::Zone::failed`]).
    fn apply(&mut self, publication: &mut Publication);

    /// The publication that was applied last is served; where `is_saved`, the journal has it. One that the journal
    /// refuses is never committed: the next call is `apply`, on top of the same `old`.
    fn commit(&mut self, is_saved: bool);
}
