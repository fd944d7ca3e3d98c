//! The history, kept within limits, and copies of the whole database.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{HISTORY_OCTETS, HistoryLimits, HistoryQuery, HistoryRow, State, Storage, WriteError, diagnosis};

/// Rows that are forgotten at a time.
const PRUNED_AT_A_TIME: i64 = 256;

/// Keeps one row.
pub(super) fn save(connection: &Connection, row: &HistoryRow) -> rusqlite::Result<usize> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO history (last, first, time, octets, changes) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        row.last.cast_signed(),
        row.first.cast_signed(),
        row.time.cast_signed(),
        i64::try_from(row.changes.len()).unwrap_or(i64::MAX),
        row.changes,
    ])
}

fn read(connection: &Connection, query: HistoryQuery) -> rusqlite::Result<Vec<HistoryRow>> {
    let order = if query.newest_first { "DESC" } else { "ASC" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT last, first, time, changes FROM history
             WHERE last > ?1 AND first < ?2 AND last <= coalesce((SELECT min(last) FROM history WHERE last >= ?2), ?2)
             ORDER BY last {order} LIMIT ?3"
    ))?;
    let bound = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![
        bound(query.after),
        bound(query.before),
        bound(query.limit as u64)
    ])?;
    let (mut found, mut octets) = (Vec::new(), 0);
    while octets < HISTORY_OCTETS
        && let Some(row) = rows.next()?
    {
        let row = HistoryRow {
            last: row.get::<_, i64>(0)?.cast_unsigned(),
            first: row.get::<_, i64>(1)?.cast_unsigned(),
            time: row.get::<_, i64>(2)?.cast_unsigned(),
            changes: row.get(3)?,
        };
        octets += row.changes.len();
        found.push(row);
    }
    Ok(found)
}

/// Forgets the oldest rows that are over the limits; how many.
fn prune(connection: &Connection, limits: HistoryLimits, now: u64) -> rusqlite::Result<usize> {
    let oldest = now.saturating_sub(u64::try_from(limits.max_age.as_millis()).unwrap_or(u64::MAX));
    let total: i64 = connection.query_row("SELECT coalesce(sum(octets), 0) FROM history", [], |row| row.get(0))?;
    let over = total.saturating_sub(i64::try_from(limits.max_bytes).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(
        "SELECT last, time, octets FROM history WHERE last < (SELECT max(last) FROM history) ORDER BY last LIMIT ?1",
    )?;
    let mut rows = statement.query([PRUNED_AT_A_TIME])?;
    let (mut gone, mut up_to) = (0i64, None);
    while let Some(row) = rows.next()? {
        let (last, time, octets): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if gone >= over && time.cast_unsigned() >= oldest {
            break;
        }
        gone += octets;
        up_to = Some(last);
    }
    match up_to {
        Some(last) => connection.execute("DELETE FROM history WHERE last <= ?1", [last]),
        None => Ok(0),
    }
}

impl Storage {
    pub(super) fn read_history(&self, query: HistoryQuery) -> Result<Vec<HistoryRow>, WriteError> {
        match &self.state {
            State::Closed(trouble) => Err(WriteError::Unavailable(trouble.reason.clone())),
            State::Open(open) => read(&open.connection, query)
                .map_err(|error| WriteError::Unavailable(diagnosis::of_database(&self.path, &error))),
        }
    }

    pub(super) fn prune_history(&mut self, limits: HistoryLimits, now: u64) -> bool {
        if self.trouble().is_some() {
            return false;
        }
        let mut pruned = 0;
        let done = self.transact(|transaction| {
            pruned = prune(transaction, limits, now)?;
            Ok(())
        });
        done.is_ok() && pruned >= PRUNED_AT_A_TIME as usize
    }

    /// A copy as of now. The file must not be there yet: nothing is overwritten.
    pub(super) fn copy_to(&mut self, to: &Path) -> Result<(), WriteError> {
        let open = match &self.state {
            State::Open(open) => open,
            State::Closed(trouble) => return Err(WriteError::Unavailable(trouble.reason.clone())),
        };
        let failed = |reason: String| WriteError::Unavailable(format!("no backup was made: {reason}"));
        if to.exists() {
            return Err(failed(format!("{} is there already; name a new file", to.display())));
        }
        let Some(name) = to.to_str() else {
            return Err(failed(format!("{} is no UTF-8", to.display())));
        };
        let copied = open.connection.execute("VACUUM INTO ?1", [name]);
        copied
            .map(drop)
            .map_err(|error| failed(diagnosis::of_database(to, &error)))
    }
}
