//! Resolvers in front of which a server is put, and what they need.

use std::path::Path;

use anyhow::Result;

use crate::certificates::{authority, signed};
use crate::net::{Namespace, PATIENCE, Running};

/// Unbound with names of its own, on this address. It denies all others.
pub fn unbound(namespace: &Namespace, folder: &Path, address: &str, data: &[&str]) -> Result<Running> {
    unbound_with(namespace, folder, address, "", data)
}

/// The same with more clauses in its configuration.
pub fn unbound_with(namespace: &Namespace, folder: &Path, address: &str, more: &str, data: &[&str]) -> Result<Running> {
    let data: String = data.iter().map(|line| format!("  local-data: \"{line}\"\n")).collect();
    let config = format!(
        "server:\n  interface: {address}\n  access-control: 127.0.0.0/8 allow\n  do-daemonize: no\n  username: \"\"\n  \
         chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  directory: \"{folder}\"\n  module-config: \"iterator\"\n  \
         local-zone: \".\" static\n  local-zone: \"localhost.\" nodefault\n  \
         local-data: \". 3600 IN SOA a. b. 1 2 3 4 60\"\n{data}{more}\
         remote-control:\n  control-enable: no\n",
        folder = folder.display(),
    );
    let path = folder.join(format!("unbound-{address}.conf"));
    std::fs::write(&path, config)?;
    let mut command = namespace.command("unbound");
    command.arg("-dp").arg("-c").arg(&path);
    let mut running = Running::start(command, &folder.join(format!("unbound-{address}.log")))?;
    running.wait_until("Unbound to answer", PATIENCE, || {
        dig(namespace, address, &["+short", "localhost.", "+time=1"]).is_ok()
    })?;
    Ok(running)
}

/// Asks a server on port 53.
pub fn dig(namespace: &Namespace, server: &str, arguments: &[&str]) -> Result<String> {
    let server = format!("@{server}");
    let fixed = [&server[..], "-p", "53", "+time=15", "+tries=1"];
    namespace.run("dig", &[&fixed, arguments].concat())
}

/// A root certificate, and a key and a certificate for `dns.example` and 127.0.0.2.
pub fn certificates(folder: &Path) -> Result<()> {
    authority(folder)?;
    signed(folder, "cert", "dns.example", "DNS:dns.example,IP:127.0.0.2")?;
    Ok(std::fs::rename(folder.join("cert.key"), folder.join("key.pem"))?)
}
