//! What this host calls itself.

use nix::sys::utsname::uname;

/// The host's name, as uname(2) tells it; empty where it has none.
pub fn host_name() -> String {
    uname().map_or_else(
        |_| String::new(),
        |host| host.nodename().to_string_lossy().trim().to_owned(),
    )
}
