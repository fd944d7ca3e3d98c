//! What the configuration tells the XDP program, fixed while a program is loaded.

use bytemuck::{Pod, Zeroable};

use crate::order::Prefixes;

/// How many ports are compared before an address is looked up.
pub const QUICK_PORTS: usize = 4;

/// Constants of one loaded program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Settings {
    /// Number of lines of the table.
    pub lines: u32,
    /// The largest message that leaves, in octets (512 to 4096).
    pub udp_payload: u16,
    /// 1 where there is an upstream: then clients in `RECURSION` are told RA=1.
    pub has_upstream: u16,
    /// 1 where clients that ask for our NSID get one.
    pub has_nsid: u16,
    /// 1 where the server has a list of clients that may ask.
    pub has_access: u16,
    /// What every order of RRs is drawn from, for tests; 0: drawn anew for each answer.
    pub fixed_random: u32,
    /// 1 where there are views: then `CLIENTS` says who is in which.
    pub has_views: u16,
    /// 1 where answers are counted for each zone.
    pub per_zone: u16,
    /// The ports we listen on, in host order, 0 for none. More than [`QUICK_PORTS`] of them: all 0.
    pub ports: [u16; QUICK_PORTS],
    /// The class of the slots that memory is asked for ahead ([`crate::table::Table::ask_ahead`]).
    pub ahead_class: u32,
    /// Among how many of that class they are, from the first on; 0: memory is asked for none.
    pub ahead_slots: u32,
    /// The type for which it is asked; 0: for every type.
    pub ahead_type: u32,
    /// 1 where the processor may do loads in another order than they are written in, as ARM64's do and x86-64's do not:
    /// the program then keeps them in order where that matters.
    pub orders_loads: u32,
    /// Buckets of kept answers of upstream servers ([`crate::hot`]); 0: none are answered from here.
    pub hot_buckets: u32,
    /// The prefixes of clients that get one order by hash.
    pub hash_prefixes: Prefixes,
}

impl Settings {
    /// What the object file holds before it is loaded.
    pub const DEFAULT: Settings = Settings {
        lines: 1,
        udp_payload: 1232,
        has_upstream: 0,
        has_nsid: 0,
        has_access: 0,
        fixed_random: 0,
        has_views: 0,
        per_zone: 0,
        ports: [53, 0, 0, 0],
        ahead_class: 0,
        ahead_slots: 0,
        ahead_type: 0,
        orders_loads: 0,
        hot_buckets: 0,
        hash_prefixes: Prefixes::DEFAULT,
    };

    /// The quick ports for a set of ports.
    pub fn quick_ports(ports: impl IntoIterator<Item = u16>) -> [u16; QUICK_PORTS] {
        let mut quick = [0; QUICK_PORTS];
        let mut used = 0;
        for port in ports {
            if quick[..used].contains(&port) {
                continue;
            }
            if used == QUICK_PORTS {
                return [0; QUICK_PORTS];
            }
            quick[used] = port;
            used += 1;
        }
        quick
    }

    /// False where `port` is certainly none of ours: keeps other traffic away from the address map.
    #[inline(always)]
    pub const fn may_be_port(&self, port: u16) -> bool {
        let ports = &self.ports;
        ports[0] == 0 || port == ports[0] || port == ports[1] || port == ports[2] || port == ports[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_ports_hold_up_to_four_and_then_any() {
        let settings = |ports: &[u16]| Settings {
            ports: Settings::quick_ports(ports.iter().copied()),
            ..Settings::DEFAULT
        };
        let few = settings(&[53, 5300, 53]);
        assert!(few.may_be_port(53) && few.may_be_port(5300) && !few.may_be_port(54));
        let many = settings(&[1, 2, 3, 4, 5]);
        assert!(many.may_be_port(5) && many.may_be_port(6));
    }

    #[test]
    fn layout_is_pinned() {
        assert_eq!(size_of::<Settings>(), 64);
    }
}
