//! Failures at each step of a write, for tests.

use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Transaction, ffi};

/// Faults that a test keeps a hold of.
pub(crate) type Shared = Arc<Mutex<Faults>>;

/// The step at which the next write fails, and SQLite's code for it.
#[derive(Default)]
pub(crate) struct Faults {
    next: Option<(Step, i32)>,
    /// For all writes, not only the next.
    stays: bool,
    /// Writes that succeed before.
    spared: u32,
}

/// The steps of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The transaction cannot be begun.
    Begin,
    /// A statement fails.
    Statement,
    /// The commit fails, and the transaction is rolled back.
    Commit,
    /// The commit fails, and so does the rollback.
    Rollback,
}

impl Faults {
    /// Fails the next write at this step.
    pub(crate) fn fail_once(&mut self, step: Step, code: i32) {
        *self = Self {
            next: Some((step, code)),
            ..Self::default()
        };
    }

    /// Fails every write at this step.
    pub(crate) fn fail_always(&mut self, step: Step, code: i32) {
        self.fail_all_after(0, step, code);
    }

    /// Fails every write at this step, but for the next so many.
    pub(crate) fn fail_all_after(&mut self, spared: u32, step: Step, code: i32) {
        *self = Self {
            next: Some((step, code)),
            stays: true,
            spared,
        };
    }

    /// What befalls a write that begins now.
    fn take(&mut self) -> Option<(Step, i32)> {
        if let Some(left) = self.spared.checked_sub(1) {
            self.spared = left;
            return None;
        }
        if self.stays { self.next } else { self.next.take() }
    }

    /// Fails no more.
    pub(crate) fn stop(&mut self) {
        self.next = None;
    }
}

/// A transaction that fails where it is to.
pub(super) fn transact(
    faults: &Shared,
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let fault = faults.lock().expect("not poisoned").take();
    let Some((step, code)) = fault else {
        return super::transact(connection, work);
    };
    let failure = || Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
    if step == Step::Begin {
        return failure();
    }
    if step == Step::Rollback {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        return failure();
    }
    let transaction = connection.transaction()?;
    if step == Step::Statement {
        return failure();
    }
    work(&transaction)?;
    failure()
}
