//! Why the program cannot be attached to an interface: what the kernel says, what that mostly means, and what to do.

use nix::errno::Errno;

use super::link::Way;

/// Why the program could not be attached to an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// No such interface.
    #[error(
        "there is no interface `{0}`: it is answered from XDP once there is one; `ip link` lists those that exist, \
         `xdp.interfaces` \
         names those that are wanted"
    )]
    NoInterface(String),
    /// Another program is there.
    #[error(
        "another XDP program is attached to `{0}` (EBUSY); `bpftool net show dev {0}` names it, `ip link set dev {0} \
         xdp off` \
         removes one that was attached that way"
    )]
    Busy(String),
    /// The driver cannot.
    #[error(
        "the driver of `{interface}` refuses native XDP: {reason}; {advice}, or use `xdp.mode: generic` or `auto`",
        reason = said(*.errno, .words), advice = advice(*.errno, .interface, *.mtu)
    )]
    NotNative {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// What the kernel said.
        errno: Errno,
        /// What the driver said.
        words: Option<String>,
    },
    /// The kernel refused otherwise.
    #[error(
        "the XDP program cannot be attached to `{interface}`: {reason}; {advice}",
        reason = said(*.errno, .words), advice = advice(*.errno, .interface, *.mtu)
    )]
    Refused {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// What the kernel said.
        errno: Errno,
        /// What the driver said.
        words: Option<String>,
    },
}

/// A refusal by the kernel.
pub(super) struct Refused {
    errno: Errno,
    words: Option<String>,
    way: Way,
}

impl Refused {
    pub(super) fn new(errno: Errno, words: Option<String>, way: Way) -> Self {
        Self { errno, words, way }
    }

    /// Whether the driver may have words for it.
    pub(super) fn may_be_the_drivers(errno: Errno) -> bool {
        use Errno::{EACCES, EBUSY, EEXIST, ENODEV, EPERM};
        !matches!(errno, EPERM | EACCES | EBUSY | EEXIST | ENODEV)
    }

    /// The error for users.
    pub(super) fn on(&self, interface: &str, mtu: u32) -> AttachError {
        let (interface, errno, words) = (interface.to_owned(), self.errno, self.words.clone());
        match (errno, self.way) {
            (Errno::EBUSY | Errno::EEXIST, _) => AttachError::Busy(interface),
            (Errno::ENODEV, _) => AttachError::NoInterface(interface),
            (_, Way::Native) if Self::may_be_the_drivers(errno) => AttachError::NotNative {
                interface,
                mtu,
                errno,
                words,
            },
            _ => AttachError::Refused {
                interface,
                mtu,
                errno,
                words,
            },
        }
    }
}

/// The error as the kernel has it, in words and by name.
fn said(errno: Errno, words: &Option<String>) -> String {
    // The system's words, without its number.
    let text = std::io::Error::from(errno).to_string();
    let text = format!("{} ({errno:?})", text.split(" (os error").next().unwrap_or_default());
    match words {
        Some(words) => format!("{text}, \"{words}\""),
        None => text,
    }
}

/// The usual cause and what to do about it.
fn advice(errno: Errno, interface: &str, mtu: u32) -> String {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            "it needs root, or CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON, which a container must be given".to_owned()
        }
        Errno::EOPNOTSUPP => "the driver has no XDP".to_owned(),
        Errno::EINVAL | Errno::ERANGE | Errno::EMSGSIZE => format!(
            "mostly the MTU, {mtu}, is too large for it (`ip link set dev {interface} mtu 1500`; on a veth pair that \
             of the \
             other end counts), or receive offloads are on (`ethtool -K {interface} lro off gro-hw off`)"
        ),
        Errno::ENOMEM | Errno::ENOSPC => {
            format!("memory or the card's queues do not suffice (`ethtool -L {interface} combined 1` takes fewer)")
        }
        _ => "`dmesg` may say more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(errno: Errno, way: Way) -> String {
        Refused::new(errno, None, way).on("eth0", 9000).to_string()
    }

    #[test]
    fn errors_name_what_the_kernel_said_and_what_to_do() {
        for (errno, way, parts) in [
            (
                Errno::ERANGE,
                Way::Native,
                &["ERANGE", "MTU, 9000", "`ip link set dev eth0 mtu", "generic"][..],
            ),
            (
                Errno::EINVAL,
                Way::Native,
                &["EINVAL", "MTU, 9000", "lro off", "generic"],
            ),
            (
                Errno::EINVAL,
                Way::Generic,
                &["EINVAL", "cannot be attached", "lro off"],
            ),
            (
                Errno::EOPNOTSUPP,
                Way::Native,
                &["EOPNOTSUPP", "the driver of `eth0`", "auto"],
            ),
            (Errno::EPERM, Way::Native, &["EPERM", "CAP_NET_ADMIN"]),
            (Errno::EPERM, Way::Generic, &["EPERM", "CAP_NET_ADMIN"]),
            (
                Errno::EBUSY,
                Way::Native,
                &["EBUSY", "another XDP program", "bpftool net show dev eth0"],
            ),
            (Errno::EEXIST, Way::Generic, &["another XDP program"]),
            (Errno::ENODEV, Way::Generic, &["no interface `eth0`", "ip link"]),
            (Errno::ENOMEM, Way::Native, &["ENOMEM", "memory", "ethtool -L eth0"]),
            (Errno::ENOSPC, Way::Native, &["ENOSPC", "queues"]),
            (Errno::EIO, Way::Generic, &["EIO", "dmesg"]),
        ] {
            let text = text(errno, way);
            for part in parts {
                assert!(text.contains(part), "{errno:?} {way:?}: no {part:?} in: {text}");
            }
        }
        assert!(
            !text(Errno::EPERM, Way::Native).contains("driver"),
            "it is not the driver's fault"
        );
    }
}
