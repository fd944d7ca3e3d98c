//! What a zone will take of `limits.memory`: estimated while it is read, so that one that takes too much is refused
//! before it has it.
//!
//! The figures are for what a reload takes at its highest, with the table of ready answers there twice. They were
//! measured (`cargo xtask bench load`), and are rather too high than too low.

use super::problem::ZoneFileProblem;
use crate::host::memory::Size;

/// For each name, beside its octets, which are there in several trees.
const NAME: u64 = 160;
const NAME_OCTET: u64 = 8;
/// For each RRset.
const RRSET: u64 = 160;
/// For each RR, beside its RDATA.
const RR: u64 = 32;
const RDATA_OCTET: u64 = 4;

/// What an RRset with one RR takes at a name that has no other.
pub(super) fn of_name(owner: usize, rdata: usize) -> u64 {
    NAME + NAME_OCTET * owner as u64 + of_rrset(rdata)
}

/// What a further RRset with one RR takes.
pub(super) fn of_rrset(rdata: usize) -> u64 {
    RRSET + of_rr(rdata)
}

/// What a further RR takes.
pub(super) fn of_rr(rdata: usize) -> u64 {
    RR + RDATA_OCTET * rdata as u64
}

/// The memory that zones share.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: u64,
}

impl Budget {
    /// As much as this for all zones that are read with it.
    pub fn new(limit: Size) -> Self {
        Self {
            limit: limit.0,
            used: 0,
        }
    }

    /// No bound at all.
    pub fn unlimited() -> Self {
        Self::new(Size(u64::MAX))
    }

    /// Takes the share of a zone that was read before, and has not changed.
    pub(crate) fn keep(&mut self, octets: u64) {
        self.used = self.used.saturating_add(octets);
    }

    fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// What one zone takes of a budget: given back where the zone is not loaded, and for its files once it is read.
pub(super) struct Meter<'b> {
    budget: &'b mut Budget,
    records: u64,
    files: u64,
}

impl<'b> Meter<'b> {
    pub(super) fn new(budget: &'b mut Budget) -> Self {
        Self {
            budget,
            records: 0,
            files: 0,
        }
    }

    /// Takes a file of so many octets, which is read whole.
    pub(super) fn take_file(&mut self, octets: u64) -> Result<(), ZoneFileProblem> {
        self.check(octets, || "this file, which is read whole,".to_owned())?;
        self.files += octets;
        self.budget.used += octets;
        Ok(())
    }

    /// Takes records. `whole` is what the zone comes to if it goes on like this.
    pub(super) fn take_records(&mut self, octets: u64, whole: impl FnOnce(u64) -> u64) -> Result<(), ZoneFileProblem> {
        if octets > self.budget.left() {
            let needs = whole(self.records.saturating_add(octets));
            return Err(self.refusal(needs, "this zone".to_owned()));
        }
        self.records += octets;
        self.budget.used += octets;
        Ok(())
    }

    /// Whether there is room for so much, without taking it.
    pub(super) fn check(&self, octets: u64, what: impl FnOnce() -> String) -> Result<(), ZoneFileProblem> {
        if octets <= self.budget.left() {
            return Ok(());
        }
        Err(self.refusal(octets, what()))
    }

    fn refusal(&self, needs: u64, what: String) -> ZoneFileProblem {
        ZoneFileProblem::Memory {
            what,
            needs: Size(needs),
            left: Size(self.budget.left() + self.records + self.files),
            limit: Size(self.budget.limit),
        }
    }

    /// Ends the reading; what the records take, in octets.
    pub(super) fn finish(self, is_loaded: bool) -> u64 {
        self.budget.used -= self.files;
        if !is_loaded {
            self.budget.used -= self.records;
        }
        self.records
    }
}
