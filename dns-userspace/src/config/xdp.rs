//! `xdp`: the interfaces that the XDP program is attached to, and how.

use std::collections::HashSet;

use super::choice::choices;
use super::document::FilePosition;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::Text;

/// `xdp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdpConfig {
    /// Interfaces by name; none by default.
    pub interfaces: Vec<String>,
    /// How the program is attached to them.
    pub mode: XdpMode,
}

choices! {
    /// How the XDP program is attached.
    XdpMode {
        /// Native where the driver has it, generic on veth and lo.
        Auto = "auto",
        /// In the driver, or not at all.
        Native = "native",
        /// After the kernel has built its packet: works everywhere, slower.
        Generic = "generic",
        /// Not at all: everything is answered from userspace.
        Off = "off",
    }
}

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["interfaces", "mode"],
    applies: Applies::AtRestart(&[
        ("xdp.interfaces", |old, new| old.xdp.interfaces != new.xdp.interfaces),
        ("xdp.mode", |old, new| old.xdp.mode != new.xdp.mode),
    ]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> XdpConfig {
    let section = input.root.section("xdp", KEY.keys, findings);
    let in_file = section
        .texts("interfaces", "interfaces: [eth0]", findings)
        .unwrap_or_default();
    let in_file: Vec<_> = in_file.iter().map(|Text { at, text }| (*text, Some(*at))).collect();
    check_interfaces(&section.path("interfaces"), &in_file, findings);
    let overrides = input.overrides;
    let given: Vec<_> = overrides.interfaces.iter().map(|text| (text.as_str(), None)).collect();
    check_interfaces("--interface", &given, findings);
    let used = if given.is_empty() { in_file } else { given };
    let mode = section.choice("mode", findings).unwrap_or(XdpMode::Auto);
    XdpConfig {
        interfaces: used.into_iter().map(|(text, _)| text.to_owned()).collect(),
        mode: overrides.xdp_mode.unwrap_or(mode),
    }
}

/// Linux's rule, `dev_valid_name`: up to 15 octets, no `/`, no `:`, no white space, not `.` or `..`.
fn check_interfaces(key: &str, names: &[(&str, Option<FilePosition>)], findings: &mut Findings) {
    let mut seen = HashSet::new();
    for &(text, at) in names {
        let (key, owned) = (key.to_owned(), text.to_owned());
        let forbidden = |octet: u8| octet == b'/' || octet == b':' || octet.is_ascii_whitespace();
        if !(1..=15).contains(&text.len()) || matches!(text, "." | "..") || text.bytes().any(forbidden) {
            findings.error_at(at, ConfigProblem::BadInterface { key, text: owned });
        } else if !seen.insert(text) {
            findings.error_at(at, ConfigProblem::DuplicateInterface { key, text: owned });
        }
    }
}
