//! Search paths of pods, gone through here in the place of the pod: what CoreDNS's `autopath` does.
//!
//! ```text
//! pod of `demo`: example.com.demo.svc.cluster.local.    not ours
//!   ─► example.com.svc.cluster.local.  not ours ─► example.com.cluster.local.  not ours ─► example.com.
//!   ─► example.com.demo.svc.cluster.local. CNAME example.com., and its answer
//! ```
//!
//! Names of pods that are not checked (`pods: insecure`) are made here too: `10-0-0-1.demo.pod.cluster.local.` is
//! 10.0.0.1, whether there is such a pod or not.
//!
//! A pod asks for a name with each suffix of its search path, one after the other. Its first question has the namespace
//! in it; where the client is a pod of that namespace, the other ones need not be asked.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

use super::template::message;
use super::{Asked, Verdict, suffixes};
use crate::message::{Message, Record};
use crate::model::name::Name;
use crate::model::record::RecordType;

const CLASS_IN: u16 = 1;
const NXDOMAIN: u16 = 3;
/// The TTL of what is made here, in seconds: that of CoreDNS's.
const TTL: u32 = 5;

/// The search paths of one cluster.
#[derive(Debug)]
pub struct Autopath {
    /// The domain of the cluster, in lower case.
    domain: Name,
    /// Whether search paths are gone through.
    searches: bool,
    /// Whether names of pods are made from their addresses.
    makes_pods: bool,
    /// The namespace of each pod, by its address; with the pod, since an address may be given to another one.
    pods: RwLock<HashMap<IpAddr, PodName>>,
}

/// The namespace of a pod, and its name.
type PodName = (Arc<str>, Arc<str>);

/// Names that are tried one after the other; the last one where none is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search(pub(crate) Vec<Name>);

impl Autopath {
    /// Of a cluster of which no pod is known. `searches`: whether search paths are gone through; `makes_pods`: whether
    /// names of pods are made from their addresses.
    pub fn new(domain: &Name, searches: bool, makes_pods: bool) -> Self {
        Self {
            domain: domain.to_lowercase(),
            searches,
            makes_pods,
            pods: RwLock::default(),
        }
    }

    /// The domain of the cluster.
    pub fn domain(&self) -> &Name {
        &self.domain
    }

    /// A pod has this address.
    pub fn set(&self, address: IpAddr, namespace: &Arc<str>, pod: &Arc<str>) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        pods.insert(address, (Arc::clone(namespace), Arc::clone(pod)));
    }

    /// It no longer has it. Another one may have it by now.
    pub fn unset(&self, address: IpAddr, namespace: &Arc<str>, pod: &Arc<str>) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let is_its = pods
            .get(&address)
            .is_some_and(|(of, known)| of == namespace && known == pod);
        if is_its {
            pods.remove(&address);
        }
    }

    /// Whether it has something to say to a name, in wire form.
    pub(super) fn concerns(&self, name: &[u8]) -> bool {
        let domain = self.domain.as_wire();
        suffixes(name).any(|suffix| suffix.eq_ignore_ascii_case(domain))
    }

    /// What is said to a name that is not ours. In the domain nobody else is asked.
    pub(super) fn evaluate(&self, asked: &Asked<'_>, client: IpAddr) -> Verdict {
        if !asked.is_in(self.domain.as_wire()) {
            return Verdict::Pass;
        }
        if let Some(address) = self.pod(asked).filter(|_| self.makes_pods) {
            return Verdict::Answer(address_of(asked, address));
        }
        let names = self.search(asked, client).filter(|_| self.searches);
        names.map_or_else(|| Verdict::Answer(message(NXDOMAIN, Vec::new())), Verdict::Search)
    }

    /// The address that the name of a pod says.
    fn pod(&self, asked: &Asked<'_>) -> Option<IpAddr> {
        let pods = self.domain.child(b"pod")?;
        let rest = asked.lower.strip_suffix(pods.as_wire())?;
        let (&length, rest) = rest.split_first()?;
        let (label, rest) = rest.split_at_checked(length.into())?;
        let (&namespace, behind) = rest.split_first()?;
        if behind.len() != usize::from(namespace) {
            return None;
        }
        let label = std::str::from_utf8(label).ok()?;
        let ipv4 = label.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::from);
        ipv4.or_else(|_| label.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::from))
            .ok()
    }

    fn search(&self, asked: &Asked<'_>, client: IpAddr) -> Option<Search> {
        let namespace = {
            let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&pods.get(&client.to_canonical())?.0)
        };
        let services = self.domain.child(b"svc")?;
        let first = services.child(namespace.as_bytes())?;
        let wire = first.as_wire().to_ascii_lowercase();
        if !asked.is_in(&wire) || asked.lower.len() == wire.len() {
            return None;
        }
        let base = &asked.wire[..asked.wire.len() - wire.len()];
        let below = |suffix: &[u8]| Name::from_wire(&[base, suffix].concat()).ok();
        let names = [services.as_wire(), self.domain.as_wire(), &[0]].map(below);
        Some(Search(names.into_iter().flatten().collect()))
    }
}

/// The answer that the name has this address, where its type is asked for.
fn address_of(asked: &Asked<'_>, address: IpAddr) -> Message {
    let (rtype, rdata) = match address {
        IpAddr::V4(address) => (RecordType::A, address.octets().to_vec()),
        IpAddr::V6(address) => (RecordType::AAAA, address.octets().to_vec()),
    };
    let record = Record {
        owner: asked.wire.to_vec(),
        rtype: rtype.0,
        class: CLASS_IN,
        ttl: TTL,
        rdata,
    };
    let is_asked = asked.qtype == rtype || asked.qtype == RecordType::ANY;
    message(0, Some(record).filter(|_| is_asked).into_iter().collect())
}

/// The answer to `asked` (in wire form) that it is an alias of `target`.
pub(crate) fn alias(asked: &[u8], target: &Name) -> Message {
    message(
        0,
        vec![Record {
            owner: asked.to_vec(),
            rtype: RecordType::CNAME.0,
            class: CLASS_IN,
            ttl: TTL,
            rdata: target.as_wire().to_vec(),
        }],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_get_the_search_path_of_their_namespace() {
        let autopath = Autopath::new(&"Cluster.local.".parse().expect("a domain"), true, false);
        let (demo, pod, other): (Arc<str>, Arc<str>, Arc<str>) = ("demo".into(), "web-0".into(), "web-1".into());
        let client: IpAddr = [10, 0, 0, 1].into();
        autopath.set(client, &demo, &pod);
        let evaluate = |name: &str, client: IpAddr| {
            let name: Name = name.parse().expect("a name");
            let asked = Asked::new(name.as_wire(), RecordType::A).expect("a question");
            autopath.evaluate(&asked, client)
        };
        let denied = Verdict::Answer(message(NXDOMAIN, Vec::new()));
        let names = |names: &[&str]| {
            let names = names.iter().map(|name| name.parse().expect("a name"));
            Verdict::Search(Search(names.collect()))
        };
        let tried = [
            "example.com.svc.cluster.local.",
            "example.com.cluster.local.",
            "example.com.",
        ];
        assert_eq!(evaluate("example.com.demo.svc.cluster.LOCAL.", client), names(&tried));
        assert_eq!(evaluate("example.com.", client), Verdict::Pass);
        for (name, client) in [
            ("example.com.other.svc.cluster.local.", client),
            ("demo.svc.cluster.local.", client),
            ("example.com.svc.cluster.local.", client),
            ("10-0-0-1.demo.pod.cluster.local.", client),
            ("example.com.demo.svc.cluster.local.", [10, 0, 0, 2].into()),
        ] {
            assert_eq!(evaluate(name, client), denied, "{name} {client}");
        }
        // The address is another pod's by now.
        autopath.set(client, &demo, &other);
        autopath.unset(client, &demo, &pod);
        assert_eq!(
            evaluate("a.demo.svc.cluster.local.", client),
            names(&["a.svc.cluster.local.", "a.cluster.local.", "a."])
        );
        autopath.unset(client, &demo, &other);
        assert_eq!(evaluate("a.demo.svc.cluster.local.", client), denied);
    }

    #[test]
    fn names_of_pods_are_made_from_their_addresses() {
        let cluster = Autopath::new(&"cluster.local.".parse().expect("a domain"), false, true);
        let evaluate = |name: &str, qtype: RecordType| {
            let name: Name = name.parse().expect("a name");
            let asked = Asked::new(name.as_wire(), qtype).expect("a question");
            match cluster.evaluate(&asked, [10, 0, 0, 1].into()) {
                Verdict::Answer(message) => {
                    let values = message.answer.iter().map(|record| record.rdata.clone());
                    (message.rcode(), values.collect::<Vec<_>>())
                }
                other => panic!("{other:?}"),
            }
        };
        let name = "10-0-0-7.Demo.pod.cluster.local.";
        assert_eq!(evaluate(name, RecordType::A), (0, vec![vec![10, 0, 0, 7]]));
        assert_eq!(evaluate(name, RecordType::AAAA), (0, vec![]));
        let (_, ipv6) = evaluate("2001-db8--7.demo.pod.cluster.local.", RecordType::AAAA);
        assert_eq!(ipv6[0][..4], [0x20, 0x01, 0x0d, 0xb8]);
        for name in [
            "10-0-0.demo.pod.cluster.local.",
            "10-0-0-7.pod.cluster.local.",
            "a.10-0-0-7.demo.pod.cluster.local.",
            "www.example.com.demo.svc.cluster.local.",
        ] {
            assert_eq!(evaluate(name, RecordType::A), (3, vec![]), "{name}");
        }
    }
}
