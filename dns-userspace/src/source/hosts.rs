//! `sources.hosts`: a hosts file. Its addresses are the objects.
//!
//! ```text
//! 192.0.2.7  printer.lan  printer   # a comment
//! ```
//!
//! Each name gets an A or AAAA record, and the address a PTR record of its first name. Addresses that mean nothing to
//! other hosts (loopback, link-local, multicast, the unspecified one) ask for nothing. `docs/sources.md` is for users.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::polled::{Objects, Readable};
use super::{Claim, Object, WorldError};
use crate::config::HostsSource;
use crate::host::files::read_text;
use crate::host::watch::FileWatch;
use crate::model::name::Name;
use crate::model::record::{Handling, Rdata, RecordType};

/// The largest file that is read, in octets: some 300,000 hosts.
const MOST_OCTETS: u64 = 16 << 20;

/// A hosts file.
pub(super) struct Hosts {
    settings: HostsSource,
    watch: FileWatch,
}

impl Hosts {
    pub(super) fn new(settings: HostsSource) -> Self {
        Self {
            watch: FileWatch::new(vec![settings.path.to_path_buf()]),
            settings,
        }
    }
}

impl Readable for Hosts {
    async fn read(&mut self) -> Result<Objects, WorldError> {
        let settings = self.settings.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let text = read_text(&settings.path, MOST_OCTETS);
            text.map(|text| parse(&text, &settings))
                .map_err(|error| WorldError(format!("{} cannot be read: {error}", settings.path.display())))
        });
        reading.await.map_err(|error| WorldError(error.to_string()))?
    }

    async fn pause(&mut self) {
        self.watch.next().await;
    }
}

/// The objects of a file: one for each address, and one for each line whose address cannot be read.
fn parse(text: &str, settings: &HostsSource) -> Objects {
    let mut hosts: BTreeMap<IpAddr, Result<Vec<Name>, String>> = BTreeMap::new();
    let mut objects = Objects::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next() else { continue };
        let address = match address.parse::<IpAddr>() {
            Ok(address) => address.to_canonical(),
            // The interface of a link-local address follows a `%`.
            Err(_) if address.contains('%') => continue,
            Err(_) => {
                let reason = format!("line {number}: `{address}` is no IP address: write one, then its names");
                let key: Arc<str> = format!("line {number}").into();
                objects.insert(Arc::clone(&key), object(key, Err(reason)));
                continue;
            }
        };
        let names: Result<Vec<Name>, String> = words.map(|word| read_name(word, number, settings)).collect();
        let known = hosts.entry(address).or_insert_with(|| Ok(Vec::new()));
        match (known, names) {
            (Ok(known), Ok(names)) => known.extend(names),
            // One line that cannot be read: what the address had stays.
            (known @ Ok(_), Err(reason)) => *known = Err(reason),
            (Err(_), _) => {}
        }
    }
    for (address, names) in hosts {
        let key: Arc<str> = address.to_string().into();
        let claims = names.map(|names| claims(address, &names, settings));
        objects.insert(Arc::clone(&key), object(key, claims));
    }
    objects
}

fn object(key: Arc<str>, claims: Result<Vec<Claim>, String>) -> Object {
    Object { key, since: 0, claims }
}

fn read_name(word: &str, line: usize, settings: &HostsSource) -> Result<Name, String> {
    let text = match &settings.domain {
        Some(domain) if !word.contains('.') => &format!("{word}.{domain}"),
        _ => word,
    };
    Name::parse_given(text).map_err(|error| format!("line {line}: {error}: correct the name, or remove it"))
}

fn claims(address: IpAddr, names: &[Name], settings: &HostsSource) -> Vec<Claim> {
    if is_local(address) {
        return Vec::new();
    }
    let (rtype, rdata): (RecordType, Rdata) = match address {
        IpAddr::V4(address) => (RecordType::A, address.octets().as_slice().into()),
        IpAddr::V6(address) => (RecordType::AAAA, address.octets().as_slice().into()),
    };
    let claim = |owner: &Name, rtype, rdata| Claim {
        view: None,
        owner: owner.clone(),
        rtype,
        ttl: settings.ttl,
        rdatas: vec![rdata],
        handling: Handling::default(),
    };
    let mut claims: Vec<Claim> = Vec::with_capacity(names.len() + 1);
    for (place, name) in names.iter().enumerate() {
        if !names[..place].contains(name) {
            claims.push(claim(name, rtype, rdata.clone()));
        }
    }
    if let Some(first) = names.first().filter(|_| settings.ptr) {
        claims.push(claim(
            &Name::of_address(address),
            RecordType::PTR,
            first.as_wire().into(),
        ));
    }
    claims
}

/// Whether an address means something on its own host or link alone.
fn is_local(address: IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified()
}

#[cfg(test)]
mod tests;
