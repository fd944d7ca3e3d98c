//! What this host gives the process: addresses, files, memory and privileges.

pub mod addresses;
pub mod files;
pub mod memory;
pub mod privileges;
