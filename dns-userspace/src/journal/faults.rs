//! Failures at each step of a write, for tests.

use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Transaction, ffi};

/// Faults that a test keeps a hold of.
pub(crate) type SharedFaults = Arc<Mutex<Faults>>;

/// The step at which the next write fails, and SQLite's code for it.
#[derive(Default)]
pub(crate) struct Faults {
    next: Option<(Step, i32)>,
    /// For all writes, not only the next.
    stays: bool,
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
        (self.next, self.stays) = (Some((step, code)), false);
    }

    /// Fails every write at this step.
    pub(crate) fn fail_always(&mut self, step: Step, code: i32) {
        (self.next, self.stays) = (Some((step, code)), true);
    }

    /// Fails no more.
    pub(crate) fn stop(&mut self) {
        self.next = None;
    }
}

/// A transaction that fails where it is to.
pub(super) fn transact(
    faults: &SharedFaults,
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let fault = {
        let mut faults = faults.lock().expect("not poisoned");
        if faults.stays { faults.next } else { faults.next.take() }
    };
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
