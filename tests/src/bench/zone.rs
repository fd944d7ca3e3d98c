//! The zones that are served while something is measured: many names of one pattern.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What stands at each of the many names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One A record at `HHHHHHHH.origin`.
    Addresses,
    /// One AAAA record.
    Ipv6Addresses,
    /// A TXT record of one string of 200 bytes.
    Texts,
    /// A chain of so many CNAMEs within the zone, to a name with an A record.
    Aliases(usize),
    /// A delegation with two name servers and their glue.
    Delegations,
    /// A wildcard alone: every name below exists by it.
    Wildcard,
    /// A TXT record of five strings of 200 bytes.
    LargeTexts,
    /// A DNAME alone: userspace answers what is below it.
    Dname,
}

/// A zone file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The apex, with its final dot.
    pub origin: String,
    /// What comes between the number of a name and the apex: labels, each with its dot.
    pub middle: String,
    /// What it holds.
    pub content: Content,
    /// How many names; their numbers begin at 0.
    pub names: u64,
}

impl Zone {
    /// The name of a number.
    pub fn name(&self, number: u64) -> String {
        format!("{number:08x}.{}{}", self.middle, self.origin)
    }

    /// The zone in the format of RFC 1035 §5.
    pub fn text(&self) -> String {
        let Self { origin, .. } = self;
        let mut text =
            format!("$ORIGIN {origin}\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n");
        match self.content {
            Content::Wildcard => text.push_str("*.any A 198.51.100.1\n"),
            Content::Dname => text.push_str("moved DNAME elsewhere.invalid.\n"),
            _ => self.write_names(&mut text),
        }
        text
    }

    fn write_names(&self, text: &mut String) {
        let Self { origin, middle, .. } = self;
        for number in 0..self.names {
            let [_, a, b, c] = (number as u32).to_be_bytes();
            // Writing to a string cannot fail.
            let _ = match self.content {
                Content::Addresses => writeln!(text, "{number:08x}.{middle}{origin} A 10.{a}.{b}.{c}"),
                Content::Ipv6Addresses => writeln!(text, "{number:08x} AAAA 2001:db8::{a:x}:{b:x}:{c:x}"),
                Content::Texts => writeln!(text, "{number:08x} TXT \"{number:0200}\""),
                Content::Aliases(links) => {
                    let chain: String = (0..links)
                        .map(|link| {
                            let (from, to) = ("t".repeat(link), "t".repeat(link + 1));
                            format!("{from}{number:08x} CNAME {to}{number:08x}\n")
                        })
                        .collect();
                    writeln!(text, "{chain}{}{number:08x} A 10.{a}.{b}.{c}", "t".repeat(links))
                }
                Content::LargeTexts => {
                    let part = format!(" \"{number:0200}\"");
                    writeln!(text, "{number:08x} TXT{}", part.repeat(5))
                }
                Content::Delegations => writeln!(
                    text,
                    "{number:08x} NS ns1.{number:08x}\n{number:08x} NS ns2.{number:08x}\n\
                     ns1.{number:08x} A 10.{a}.{b}.{c}\nns2.{number:08x} A 11.{a}.{b}.{c}"
                ),
                Content::Wildcard | Content::Dname => Ok(()),
            };
        }
    }

    /// Writes the zone's file into a folder.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}zone", self.origin));
        fs::write(&path, self.text()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}
