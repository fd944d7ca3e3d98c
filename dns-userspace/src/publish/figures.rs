//! How full the table is, for whoever looks.

use std::sync::atomic::{AtomicU64, Ordering};

use dns_common::slot::SLOT_CLASSES;
use dns_common::table::Table;

use crate::table::TableWriter;

/// The table's figures after the last change.
#[derive(Debug, Default)]
pub struct TableFigures {
    /// Names with a line.
    pub names: AtomicU64,
    /// Lines.
    pub lines: AtomicU64,
    /// Halves of lines that names live in: a line has two.
    pub halves: AtomicU64,
    /// Slots of each class, and those of them in use or waiting to be free.
    pub slots: [[AtomicU64; 2]; SLOT_CLASSES],
    /// Names that found no line, or no slot for an answer: only userspace answers them.
    pub unplaced: AtomicU64,
    /// Sparse areas: what is below their tops, and has no data, only userspace answers.
    pub sparse_areas: AtomicU64,
    /// Octets of the table.
    pub bytes: AtomicU64,
    /// How often a larger table could not be had.
    pub refused: AtomicU64,
}

impl TableFigures {
    pub(super) fn show(&self, writer: &TableWriter) {
        let reader = writer.reader();
        for (figure, value) in [
            (&self.names, writer.names() as u64),
            (&self.lines, u64::from(reader.lines())),
            (&self.halves, writer.halves() as u64),
            (&self.unplaced, writer.unplaced() as u64),
            (&self.sparse_areas, writer.sparse_areas() as u64),
            (&self.bytes, reader.memory.sizes.bytes() as u64),
        ] {
            figure.store(value, Ordering::Relaxed);
        }
        let (all, used) = (reader.memory.sizes.slots, writer.used_slots());
        for (class, [of_all, of_used]) in self.slots.iter().enumerate() {
            of_all.store(all[class].into(), Ordering::Relaxed);
            of_used.store(used[class].into(), Ordering::Relaxed);
        }
    }
}
