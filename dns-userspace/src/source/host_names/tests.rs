//! Hosts that are looked up, change, fail and go.

use std::sync::{Mutex, PoisonError};

use super::*;
use crate::model::rdata::parse_value;
use crate::model::record::{Handling, RrSet};
use crate::model::snapshot::Node;
use crate::model::source::Origin;

/// What hosts have, as tests say, and who was asked for.
#[derive(Clone, Default)]
struct Hosts {
    found: Arc<Mutex<BTreeMap<String, Found>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hosts {
    fn set(&self, host: &str, found: Result<&[&str], &str>) {
        let parse = |all: &[&str]| all.iter().map(|text| text.parse().expect("an address")).collect();
        let found = found.map(parse).map_err(str::to_owned);
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(host.to_owned(), found);
    }

    fn look_up(&self) -> LookUp {
        let hosts = self.clone();
        Arc::new(move |host| {
            let hosts = hosts.clone();
            async move {
                hosts
                    .asked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(host.clone());
                let found = hosts.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.get(&host).cloned().unwrap_or_else(|| Err("unknown".to_owned()))
            }
            .boxed()
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn at(addresses: &[&str]) -> Vec<Instance> {
    let instances = addresses.iter().map(|address| Instance {
        address: (*address).to_owned(),
        ..Instance::default()
    });
    instances.collect()
}

/// What is known of the hosts of a service.
fn known(names: &HostNames<&'static str>, service: &'static str, addresses: &[&str]) -> Vec<Resolved> {
    let mut instances = at(addresses);
    names.resolve(&service, &mut instances);
    instances.into_iter().map(|instance| instance.resolved).collect()
}

fn resolved(addresses: &[&str], problem: Option<&str>) -> Resolved {
    Resolved {
        addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
        problem: problem.map(str::to_owned),
    }
}

#[tokio::test]
async fn hosts_are_looked_up_again_and_keep_what_they_had() {
    let hosts = Hosts::default();
    hosts.set("a.test", Ok(&["192.0.2.2", "192.0.2.1"]));
    hosts.set("b.test", Ok(&["2001:db8::1"]));
    let mut names = HostNames::new(hosts.look_up()).every(Duration::from_millis(10));
    let all = ["a.test", "b.test"];
    names.set(&"web", at(&all).iter());
    names.settle().await;
    let first = [
        resolved(&["192.0.2.1", "192.0.2.2"], None),
        resolved(&["2001:db8::1"], None),
    ];
    assert_eq!(known(&names, "web", &all), first);

    hosts.set("a.test", Ok(&["192.0.2.3"]));
    assert_eq!(names.changed().await, ["web"]);
    assert_eq!(known(&names, "web", &all)[0], resolved(&["192.0.2.3"], None));
    hosts.set("a.test", Err("away"));
    assert_eq!(names.changed().await, ["web"]);
    assert_eq!(known(&names, "web", &all)[0], resolved(&["192.0.2.3"], Some("away")));
    hosts.set("a.test", Ok(&["192.0.2.3"]));
    assert_eq!(names.changed().await, ["web"]);
    assert_eq!(known(&names, "web", &all)[0], resolved(&["192.0.2.3"], None));

    // A service that is gone is looked up no more, but for hosts that another one has.
    names.set(&"other", at(&["b.test", "192.0.2.9"]).iter());
    names.retain(|service| *service == "other");
    assert_eq!(known(&names, "web", &all), [Resolved::default(), Resolved::default()]);
    assert_eq!(
        known(&names, "other", &["b.test"]),
        [resolved(&["2001:db8::1"], None)],
        "known already"
    );
    assert_eq!(names.hosts.len(), 1);
}

#[tokio::test]
async fn a_single_host_and_addresses_are_not_looked_up() {
    let hosts = Hosts::default();
    let mut names = HostNames::new(hosts.look_up());
    names.set(&"one", at(&["a.test", "a.test"]).iter());
    names.set(&"addresses", at(&["192.0.2.1", "2001:db8::1"]).iter());
    names.set(&"broken", at(&["192.0.2.1", "not a..name"]).iter());
    assert!(timeout(Duration::from_millis(50), names.changed()).await.is_err());
    assert_eq!(hosts.asked(), 0);
}

#[test]
fn our_own_zones_are_asked_first() {
    let rrset = |rtype: RecordType, value: &str| RrSet {
        rtype,
        ttl: 60,
        rdatas: [parse_value(rtype, value).expect("a value")].into(),
        origin: Origin::config(),
        handling: Handling::default(),
    };
    let name = |text: &str| text.parse::<Name>().expect("a name");
    let mut served = Snapshot::default();
    for (owner, rrsets) in [
        (
            "a.test.",
            vec![(RecordType::A, "192.0.2.1"), (RecordType::AAAA, "2001:db8::1")],
        ),
        ("alias.test.", vec![(RecordType::CNAME, "a.test.")]),
        ("out.test.", vec![(RecordType::CNAME, "out.example.")]),
        ("text.test.", vec![(RecordType::TXT, "\"x\"")]),
    ] {
        let owner = name(owner);
        let rrsets = rrsets.into_iter().map(|(rtype, value)| Arc::new(rrset(rtype, value)));
        let node = Node::new(&owner, rrsets.collect());
        served.overlays.insert(owner.key(), Arc::new(node));
    }
    let of = |text: &str| in_our_zones(&name(text), &served);
    let both = Ours::Found(Ok(vec![
        "192.0.2.1".parse().expect("v4"),
        "2001:db8::1".parse().expect("v6"),
    ]));
    assert_eq!((of("a.test."), of("alias.test.")), (both, of("a.test.")));
    assert_eq!(of("out.test."), Ours::LeadsTo(name("out.example.")));
    assert_eq!(
        of("text.test."),
        Ours::Found(Err("it has no address in our zones".to_owned()))
    );
    assert_eq!(of("other.example."), Ours::Unknown);
}
