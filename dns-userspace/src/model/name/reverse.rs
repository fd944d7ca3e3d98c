//! Names for addresses: `4.3.2.1.in-addr.arpa.` for 1.2.3.4 (RFC 1035 §3.5), `….ip6.arpa.` (RFC 3596 §2.5).

use std::net::IpAddr;

use super::Name;

impl Name {
    /// The name that has the PTR record of an address.
    pub fn of_address(address: IpAddr) -> Self {
        let mut wire = Vec::with_capacity(74);
        match address.to_canonical() {
            IpAddr::V4(address) => {
                for octet in address.octets().into_iter().rev() {
                    let label = octet.to_string();
                    wire.push(u8::try_from(label.len()).unwrap_or(3));
                    wire.extend(label.as_bytes());
                }
                wire.extend(b"\x07in-addr");
            }
            IpAddr::V6(address) => {
                for octet in address.octets().into_iter().rev() {
                    for nibble in [octet & 15, octet >> 4] {
                        wire.extend([1, b"0123456789abcdef"[usize::from(nibble)]]);
                    }
                }
                wire.extend(b"\x03ip6");
            }
        }
        wire.extend(b"\x04arpa\0");
        Self::from_wire(&wire).expect("at most 74 octets in labels of at most 7")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_names_of_the_rfcs() {
        let name = |address: &str| Name::of_address(address.parse().expect("an address")).to_string();
        assert_eq!(name("192.0.2.10"), "10.2.0.192.in-addr.arpa.");
        // The example of RFC 3596 §2.5.
        assert_eq!(
            name("4321:0:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa."
        );
        assert_eq!(name("::ffff:192.0.2.1"), "1.2.0.192.in-addr.arpa.");
    }
}
