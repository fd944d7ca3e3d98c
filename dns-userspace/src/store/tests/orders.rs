//! Any order of change sets, from any sources, gives what the layers come to when they are told at once.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use super::*;

type Layer = BTreeMap<(Option<ViewName>, NameKey, RecordType), (Name, Arc<RrSet>)>;

fn watched(name: &str, place: u32) -> SourceId {
    SourceId::watched("objects", name, place)
}

fn rules() -> EditRules {
    EditRules {
        ttl: TtlRules {
            min: 0,
            max: 86_400,
            default: 300,
        },
    }
}

/// All that a snapshot serves, and all that is left out.
fn shown(store: &Store) -> Vec<String> {
    let snapshot = store.snapshot();
    let mut all = Vec::new();
    let mut node = |place: String, key: &NameKey, node: &Node| {
        for rrset in node.rrsets.iter() {
            let values: Vec<&[u8]> = rrset.rdatas.iter().collect();
            all.push(format!(
                "{place} {} {} {} {values:?} {:?}",
                node.owner(key),
                rrset.rtype,
                rrset.ttl,
                rrset.origin
            ));
        }
    };
    for (apex, zone) in &snapshot.zones {
        for (key, at) in &zone.nodes {
            node(format!("zone {apex:?}"), key, at);
        }
    }
    for (key, at) in &snapshot.overlays {
        node("overlay".to_owned(), key, at);
    }
    for view in &snapshot.views.list {
        for (key, at) in &view.own {
            node(format!("view {}", view.name), key, at);
        }
    }
    all.extend(store.conflicts().iter().map(|conflict| format!("{conflict:?}")));
    all
}

#[test]
fn any_order_of_change_sets_gives_the_merge_of_the_layers() {
    let names = [
        "e.",
        "www.e.",
        "WWW.e.",
        "a.sub.e.",
        "sub.e.",
        "over.lay.",
        "a.over.lay.",
    ];
    let types = [
        RecordType::A,
        RecordType::AAAA,
        RecordType::CNAME,
        RecordType::ALIAS,
        RecordType::TXT,
        RecordType::NS,
        RecordType::SOA,
        RecordType::DS,
    ];
    let sources = [
        SourceId::api(),
        SourceId::config(),
        watched("one", 0),
        watched("two", 1),
    ];
    let configured = Change::Views(vec![ConfiguredView {
        view: ViewClients {
            name: "office".into(),
            clients: Vec::new(),
        },
        records: Vec::new(),
    }]);
    let declared = zone(
        "e.",
        vec![in_file("e.", RecordType::SOA, 0), in_file("www.e.", RecordType::A, 9)],
    );
    for seed in 0..150 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut store = store_with(vec![configured.clone(), declared.clone()]);
        let mut layers: BTreeMap<SourceId, Layer> = BTreeMap::new();
        for _ in 0..12 {
            // A group: several sets from several sources, one plan.
            let mut draft = store.draft();
            for _ in 0..random.random_range(1..5) {
                let source = sources.choose(&mut random).expect("some").clone();
                let layer = layers.entry(source.clone()).or_default();
                let mut edits = Vec::new();
                for _ in 0..random.random_range(1..4) {
                    let owner = name(names.choose(&mut random).expect("some"));
                    let rtype = *types.choose(&mut random).expect("some");
                    let view = random.random_bool(0.2).then(|| ViewName::from("office"));
                    let place = (view.clone(), owner.key(), rtype);
                    if random.random_bool(0.3) {
                        layer.remove(&place);
                        edits.push(Edit::Unset { view, owner, rtype });
                    } else {
                        let content = random.random_range(0..3);
                        let (owner, rrset) = rrset(&owner.to_string(), rtype, content, Origin::of(source.clone()));
                        let rrset = Arc::new(rrset);
                        layer.insert(place, (owner.clone(), Arc::clone(&rrset)));
                        edits.push(Edit::Set { view, owner, rrset });
                    }
                }
                let set = ChangeSet {
                    source,
                    actor: "test".into(),
                    edits,
                };
                draft.apply(set, &rules()).expect("what is set is never refused");
            }
            let plan = draft.finish();
            store.commit(&plan);
        }
        let mut changes = vec![configured.clone(), declared.clone()];
        for (source, layer) in &layers {
            changes.extend(layer.iter().map(|((view, ..), (owner, rrset))| Change::Put {
                source: source.clone(),
                view: view.clone(),
                owner: owner.clone(),
                rrset: Arc::clone(rrset),
            }));
        }
        changes[2..].shuffle(&mut random);
        let fresh = store_with(changes);
        // A name keeps the letters in which it was given first, and that is the one thing in which orders may differ.
        let folded = |store: &Store| shown(store).iter().map(|line| line.to_lowercase()).collect::<Vec<_>>();
        assert_eq!(folded(&store), folded(&fresh), "seed {seed}");
    }
}
