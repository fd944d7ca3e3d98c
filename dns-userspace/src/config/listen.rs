//! `listen`: where DNS is served, over UDP and TCP. Empty, the default, is all addresses at `dns_port`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address_list::{AddressAt, read_addresses, replace_addresses};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::Findings;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &[],
    // Where only the default port moved, `dns_port` says it all.
    applies: Applies::AtRestart(&[("listen", |old, new| {
        old.listen != new.listen && old.dns_port == new.dns_port
    })]),
};

/// The addresses that are written and can be read; `None` where none are written.
pub(super) struct ListenAddresses {
    written: Option<Vec<AddressAt>>,
    dns_port: u16,
}

pub(super) fn read(input: &Input<'_>, &dns_port: &u16, findings: &mut Findings) -> ListenAddresses {
    let listen = read_addresses(&input.root, "listen", "listen: [\"192.0.2.1\"]", dns_port, findings);
    let written = replace_addresses(listen, "--listen", &input.overrides.listen, dns_port, findings);
    ListenAddresses { written, dns_port }
}

impl ListenAddresses {
    /// Where DNS is served: the addresses that are written, or what their absence stands for.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        match &self.written {
            Some(written) => written.iter().map(|(address, _)| *address).collect(),
            None => all.map(|address| SocketAddr::new(address, self.dns_port)).to_vec(),
        }
    }
}

impl From<ListenAddresses> for Vec<SocketAddr> {
    fn from(listen: ListenAddresses) -> Self {
        let written = listen.written.unwrap_or_default();
        written.into_iter().map(|(address, _)| address).collect()
    }
}
