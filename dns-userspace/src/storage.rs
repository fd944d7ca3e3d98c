//! What must survive a restart: API records and served serials, in SQLite.
