//! What this host gives the process: addresses, files, memory and privileges.

pub(crate) mod addresses;
pub(crate) mod clock;
pub(crate) mod files;
pub(crate) mod memory;
pub(crate) mod name;
pub(crate) mod privileges;
pub(crate) mod replace;
pub(crate) mod reread;
pub(crate) mod stamp;
pub(crate) mod watch;
