//! `edns`: the size of UDP answers, what the server calls itself, and the secrets of DNS cookies.

use std::path::PathBuf;

use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::secret_file::open_to_all;
use super::section::CheckedMapping;
use crate::cookies::Secrets;

/// `edns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdnsConfig {
    /// The largest UDP answer to a client that takes it, in octets: 512 to 4096.
    pub udp_payload: u16,
    /// What this server calls itself, where a client asks (RFC 5001).
    pub nsid: Option<Box<str>>,
    /// One or two secrets of DNS cookies, readable when the configuration was read.
    pub cookie_secret_file: Option<PathBuf>,
}

const UDP_PAYLOAD: u16 = 1232;
/// Every answer to a client that asks has room for so much beside the longest question.
const MAX_NSID_BYTES: usize = 128;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["udp_payload", "nsid", "cookie_secret_file"],
    // The content of the file of secrets is read anew at each reload.
    applies: Applies::Live(&[
        ("edns.udp_payload", |old, new| {
            old.edns.udp_payload != new.edns.udp_payload
        }),
        ("edns.nsid", |old, new| old.edns.nsid != new.edns.nsid),
        ("edns.cookie_secret_file", |old, new| {
            old.edns.cookie_secret_file != new.edns.cookie_secret_file
        }),
    ]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> EdnsConfig {
    let section = input.root.section("edns", KEY.keys, findings);
    let udp_payload = section.number("udp_payload", 512..=4096u16, "octets", "udp_payload: 1232", findings);
    EdnsConfig {
        udp_payload: udp_payload.unwrap_or(UDP_PAYLOAD),
        nsid: section.short_text("nsid", "nsid: ns1.example.com", MAX_NSID_BYTES, findings),
        cookie_secret_file: read_cookie_secrets(&section, input, findings),
    }
}

fn read_cookie_secrets(section: &CheckedMapping<'_>, input: &Input<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let file = section.text("cookie_secret_file", "cookie_secret_file: cookie.secret", findings)?;
    let path = input.base.join(file.text);
    if let Err(error) = Secrets::read(&path) {
        let path = path.display().to_string();
        findings.error(file.at, ConfigProblem::BadCookieSecrets { path, error });
    } else if let Some(oddity) = open_to_all(&path) {
        findings.warning(file.at, oddity);
    }
    Some(path)
}
