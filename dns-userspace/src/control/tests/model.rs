//! Random change sets, dry runs, reloads and restarts against two plain maps: what the API has, and what files have.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::{ControlError, Outcome, PastKind, decode};
use super::fixture::{Fixture, desired, name, value};
use crate::journal::HistoryQuery;
use crate::model::rdata::format_value;
use crate::model::record::{Handling, Rdata, RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::source::{Origin, SourceId};
use crate::store::{ChangeSet, Condition, Edit, Expected, Subject, Terms, Wanted, ZoneRecord};

const APEX: &str = "m.";
const OWNERS: [&str; 6] = ["a.m.", "b.m.", "x.a.m.", "*.m.", "*.b.m.", "o.n."];
const TYPES: [RecordType; 3] = [RecordType::A, RecordType::CNAME, RecordType::TXT];
const SOA: &str = "ns.m. host.m. 1 3600 600 86400 300";

/// An RRset: its TTL and its values.
type Kept = (u32, Vec<String>);
type Place = (&'static str, RecordType);
type Records = BTreeMap<Place, Kept>;

#[derive(Clone, Default)]
struct Model {
    /// With the version at which each got what it says.
    api: BTreeMap<Place, (Kept, u64)>,
    files: Records,
}

impl Model {
    fn clashes(one: RecordType, other: RecordType) -> bool {
        one != other && (one == RecordType::CNAME || other == RecordType::CNAME)
    }

    /// Whether what the files have there is seen: the API has nothing that cannot be beside it.
    fn is_seen(&self, (owner, rtype): Place) -> bool {
        let mut here = self.api.keys().filter(|(at, _)| *at == owner);
        self.files.contains_key(&(owner, rtype))
            && here.all(|(_, other)| *other != rtype && !Self::clashes(*other, rtype))
    }

    fn served(&self) -> Records {
        let seen = self.files.iter().filter(|(place, _)| self.is_seen(**place));
        let mut served: Records = seen.map(|(place, kept)| (*place, kept.clone())).collect();
        served.extend(self.api.iter().map(|(place, (kept, _))| (*place, kept.clone())));
        served
    }

    /// Whether the API may put something there.
    fn admits(&self, place: Place, takeover: bool) -> bool {
        let served = self.served();
        let mut others = served.keys().filter(|(owner, _)| *owner == place.0);
        (takeover || !self.is_seen(place)) && others.all(|(_, other)| !Self::clashes(*other, place.1))
    }

    /// Makes an edit at this version; whether it made a difference, or `None` where it is refused.
    fn edit(&mut self, edit: &Asked, takeover: bool, version: u64) -> Option<bool> {
        match edit {
            Asked::Put(place, ttl, values) => {
                if !self.admits(*place, takeover) {
                    return None;
                }
                let kept = (*ttl, values.clone());
                if self.api.get(place).is_some_and(|(held, _)| *held == kept) {
                    return Some(false);
                }
                self.api.insert(*place, (kept, version));
            }
            Asked::Add(place, values) => {
                if !self.admits(*place, takeover) {
                    return None;
                }
                let held = self.api.get(place).map(|(kept, _)| kept.clone());
                let (ttl, mut all) = held.clone().unwrap_or((300, Vec::new()));
                let more: Vec<String> = values.iter().filter(|value| !all.contains(value)).cloned().collect();
                all.extend(more);
                if place.1 == RecordType::CNAME && all.len() > 1 {
                    return None;
                }
                if held.is_some_and(|(_, held)| held == all) {
                    return Some(false);
                }
                self.api.insert(*place, ((ttl, all), version));
            }
            Asked::Remove(place, gone) => {
                let ((ttl, values), _) = self.api.get(place)?.clone();
                if !values.contains(gone) {
                    return None;
                }
                let left: Vec<String> = values.into_iter().filter(|value| value != gone).collect();
                match left.is_empty() {
                    true => drop(self.api.remove(place)),
                    false => drop(self.api.insert(*place, ((ttl, left), version))),
                }
            }
            Asked::Delete(place) => drop(self.api.remove(place)?),
            Asked::DeleteAll(owner) => {
                let before = self.api.len();
                self.api.retain(|(at, _), _| at != owner);
                if self.api.len() == before {
                    return None;
                }
            }
            Asked::CreateZone => {
                let place = (APEX, RecordType::SOA);
                if self.api.contains_key(&place) {
                    return None;
                }
                self.api.insert(place, ((300, vec![SOA.to_owned()]), version));
                let ns = (300, vec!["ns.m.".to_owned()]);
                self.api.insert((APEX, RecordType::NS), (ns, version));
            }
            Asked::DeleteZone => {
                self.api.get(&(APEX, RecordType::SOA))?;
                self.api.retain(|(owner, _), _| !owner.ends_with(APEX));
            }
        }
        Some(true)
    }
}

/// An edit, in words.
#[derive(Debug, Clone)]
enum Asked {
    Put(Place, u32, Vec<String>),
    Add(Place, Vec<String>),
    Remove(Place, String),
    Delete(Place),
    DeleteAll(&'static str),
    CreateZone,
    DeleteZone,
}

fn random_place(rng: &mut StdRng) -> Place {
    let (owner, rtype) = (rng.random_range(0..OWNERS.len()), rng.random_range(0..TYPES.len()));
    (OWNERS[owner], TYPES[rtype])
}

fn random_value(rng: &mut StdRng, rtype: RecordType) -> String {
    let number = rng.random_range(1..4);
    match rtype {
        RecordType::A => format!("192.0.2.{number}"),
        RecordType::CNAME => format!("t{number}.n."),
        _ => format!("\"{number}\""),
    }
}

fn random_values(rng: &mut StdRng, rtype: RecordType) -> Vec<String> {
    let count = if rtype == RecordType::CNAME {
        1
    } else {
        rng.random_range(1..4)
    };
    let mut values: Vec<String> = (0..count).map(|_| random_value(rng, rtype)).collect();
    values.sort();
    values.dedup();
    values
}

impl Asked {
    fn random(rng: &mut StdRng) -> Self {
        let place = random_place(rng);
        match rng.random_range(0..20) {
            0..7 => Self::Put(place, rng.random_range(1..3) * 60, random_values(rng, place.1)),
            7..11 => Self::Add(place, random_values(rng, place.1)),
            11..14 => Self::Remove(place, random_value(rng, place.1)),
            14..17 => Self::Delete(place),
            17 => Self::DeleteAll(place.0),
            18 => Self::CreateZone,
            _ => Self::DeleteZone,
        }
    }

    fn edit(&self) -> Edit {
        let rdatas =
            |rtype, values: &[String]| -> Vec<Rdata> { values.iter().map(|text| value(rtype, text)).collect() };
        let record = |rtype, text: &str| ZoneRecord {
            owner: name(APEX),
            rtype,
            wanted: Wanted::from(Some(300)),
            rdatas: vec![value(rtype, text)],
        };
        match self {
            Self::Put((owner, rtype), ttl, values) => Edit::Put {
                view: None,
                owner: name(owner),
                rtype: *rtype,
                wanted: Wanted::from(Some(*ttl)),
                rdatas: rdatas(*rtype, values),
            },
            Self::Add((owner, rtype), values) => Edit::AddValues {
                view: None,
                owner: name(owner),
                rtype: *rtype,
                wanted: Wanted::default(),
                rdatas: rdatas(*rtype, values),
            },
            Self::Remove((owner, rtype), gone) => Edit::RemoveValues {
                view: None,
                owner: name(owner),
                rtype: *rtype,
                rdatas: rdatas(*rtype, std::slice::from_ref(gone)),
            },
            Self::Delete((owner, rtype)) => Edit::Delete {
                view: None,
                owner: name(owner),
                rtype: Some(*rtype),
            },
            Self::DeleteAll(owner) => Edit::Delete {
                view: None,
                owner: name(owner),
                rtype: None,
            },
            Self::CreateZone => Edit::CreateZone {
                apex: name(APEX),
                records: vec![record(RecordType::SOA, SOA), record(RecordType::NS, "ns.m.")],
            },
            Self::DeleteZone => Edit::DeleteZone { apex: name(APEX) },
        }
    }
}

/// What the files say: at each name a CNAME, or others.
fn random_files(rng: &mut StdRng) -> Records {
    let mut files = Records::new();
    for owner in OWNERS {
        let types: &[RecordType] = match rng.random_range(0..4) {
            0 => &[RecordType::CNAME],
            1 => &[RecordType::A, RecordType::TXT],
            2 => &[RecordType::A],
            _ => &[],
        };
        for rtype in types {
            files.insert((owner, *rtype), (3600, random_values(rng, *rtype)));
        }
    }
    files
}

fn as_desired(files: &Records) -> super::super::Desired {
    let records = files.iter().map(|((owner, rtype), (ttl, values))| {
        let rdatas: Vec<Rdata> = values.iter().map(|text| value(*rtype, text)).collect();
        let rrset = RrSet {
            rtype: *rtype,
            ttl: *ttl,
            rdatas: rdatas.into_iter().collect(),
            origin: Origin::config(),
            handling: Handling::default(),
        };
        (name(owner), rrset)
    });
    desired(Vec::new(), records.collect())
}

fn texts(rrset: &RrSet) -> Kept {
    let values = rrset.rdatas.iter();
    let values = values.map(|rdata| format_value(rrset.rtype, rdata));
    (rrset.ttl, values.collect())
}

/// What a snapshot serves is what the model says, and the API's RRsets have their versions.
fn compare(snapshot: &Snapshot, model: &Model, context: &str) {
    let mut found = Records::new();
    let apex = std::iter::once(&APEX).chain(&OWNERS);
    for owner in apex {
        let node = snapshot.node(&name(owner).key());
        for rrset in node.into_iter().flat_map(|node| node.rrsets.iter()) {
            found.insert((*owner, rrset.rtype), texts(rrset));
            if let Some((_, version)) = model.api.get(&(*owner, rrset.rtype)) {
                assert_eq!(rrset.origin.version(), *version, "{owner} {}: {context}", rrset.rtype);
                assert_eq!(*rrset.origin.source(), SourceId::api(), "{context}");
            }
        }
    }
    assert_eq!(found, model.served(), "{context}");
    assert_eq!(
        found.len(),
        snapshot.all_nodes().map(|(_, node)| node.rrsets.len()).sum::<usize>()
    );
}

/// A condition on the RRset of the first edit, which is met or not.
fn random_condition(rng: &mut StdRng, model: &Model) -> (Expected, bool) {
    let place = random_place(rng);
    let held = model.api.get(&place).map(|(_, version)| *version);
    let is_met = rng.random_bool(0.7);
    let condition = match held {
        Some(version) => Condition::OneOf(vec![if is_met { version } else { version + 1 }]),
        // What files have has a version, which is not this one.
        None => Condition::OneOf(vec![u64::MAX]),
    };
    let subject = Subject::Rrset {
        view: None,
        owner: name(place.0),
        rtype: place.1,
    };
    let expected = Expected {
        edit: 0,
        subject,
        condition,
    };
    (expected, is_met && held.is_some())
}

struct Run {
    rng: StdRng,
    fixture: Fixture,
    model: Model,
    made: usize,
    refused: usize,
}

impl Run {
    async fn change(&mut self, context: &str) {
        // Of many edits one is mostly refused, and then all are.
        let count = if self.rng.random_bool(0.6) {
            1
        } else {
            self.rng.random_range(2..6)
        };
        let asked: Vec<Asked> = (0..count).map(|_| Asked::random(&mut self.rng)).collect();
        let mut terms = Terms {
            takeover: self.rng.random_bool(0.3),
            ..Terms::default()
        };
        let mut is_expected = true;
        if self.rng.random_bool(0.2) {
            let (expected, is_met) = random_condition(&mut self.rng, &self.model);
            terms.expects.push(expected);
            is_expected = is_met;
        }
        let before = self.fixture.snapshot().version;
        let mut next = self.model.clone();
        // Versions go up by one with each set; a start and a reload may take one, too.
        let version = self.version() + 1;
        let made: Option<Vec<bool>> = asked
            .iter()
            .map(|edit| next.edit(edit, terms.takeover, version))
            .collect();
        let made = made.filter(|_| is_expected);
        // What is put back as it was has the version that it had.
        for (place, (kept, version)) in &mut next.api {
            if let Some((_, at)) = self.model.api.get(place).filter(|(before, _)| before == kept) {
                *version = *at;
            }
        }
        let is_dry = self.rng.random_bool(0.2);
        let set = ChangeSet {
            source: SourceId::api(),
            actor: "model".into(),
            edits: asked.iter().map(Asked::edit).collect(),
        };
        let context = format!("{context}: {asked:?}, {terms:?}");
        let handle = self.fixture.handle().on(terms);
        let outcome = match is_dry {
            true => handle.try_out(set).await,
            false => handle.change(set).await,
        };
        match (&made, outcome) {
            (Some(_), Ok(Outcome { trial: Some(trial), .. })) if is_dry => {
                compare(&trial.before, &self.model, &context);
                compare(&trial.after, &next, &context);
            }
            (Some(made), Ok(outcome)) if !is_dry => {
                let differs = next.api != self.model.api;
                assert_eq!(!outcome.diff.is_empty(), differs, "{context}");
                assert_eq!(
                    outcome.version,
                    if differs { version } else { version - 1 },
                    "{context}"
                );
                let changed: Vec<bool> = outcome.written.iter().map(|written| written.changed).collect();
                assert_eq!(changed, *made, "{context}");
                self.model = next;
                self.made += 1;
            }
            (None, Err(ControlError::Refused(_))) => self.refused += 1,
            (made, outcome) => panic!("{context}: {made:?}, {:?}", outcome.map(|outcome| outcome.diff)),
        }
        if made.is_none() || is_dry {
            assert_eq!(self.fixture.snapshot().version, before, "{context}");
        }
        compare(&self.fixture.snapshot(), &self.model, &context);
    }

    /// The version that the next set is above.
    fn version(&self) -> u64 {
        self.fixture.history().version()
    }

    async fn reload(&mut self, context: &str) {
        self.model.files = random_files(&mut self.rng);
        *self.fixture.files.lock().expect("not poisoned") = Ok(as_desired(&self.model.files));
        self.fixture.handle().reload().await.expect("reloaded");
        compare(&self.fixture.snapshot(), &self.model, context);
    }

    /// The history, put together from nothing, is what the API has.
    async fn check_history(&self) {
        let mut api: BTreeMap<(String, RecordType), Kept> = BTreeMap::new();
        let mut after = 0;
        loop {
            let query = HistoryQuery {
                after,
                before: u64::MAX,
                newest_first: false,
                limit: 100,
            };
            let rows = self.fixture.handle().past(query).await.expect("read");
            let Some(last) = rows.last() else { break };
            after = last.last;
            let past = rows.iter().flat_map(decode);
            for one in past.filter(|past| past.kind == PastKind::Edits) {
                for difference in one.diff {
                    let place = (difference.owner.to_string(), difference.rtype);
                    let before = match difference.new {
                        Some(new) => api.insert(place, texts(&new)),
                        None => api.remove(&place),
                    };
                    assert_eq!(before, difference.old.map(|old| texts(&old)), "version {}", one.version);
                }
            }
        }
        let wanted = self.model.api.iter();
        let wanted: BTreeMap<(String, RecordType), Kept> = wanted
            .map(|((owner, rtype), (kept, _))| (((*owner).to_owned(), *rtype), kept.clone()))
            .collect();
        assert_eq!(api, wanted);
    }
}

#[tokio::test]
async fn changes_reloads_and_restarts_agree_with_a_plain_map() {
    let (mut made, mut refused) = (0, 0);
    for seed in 0..8 {
        let mut run = Run {
            rng: StdRng::seed_from_u64(seed),
            fixture: Fixture::new(desired(Vec::new(), Vec::new())),
            model: Model::default(),
            made: 0,
            refused: 0,
        };
        for step in 0..150 {
            let context = format!("seed {seed}, step {step}");
            match run.rng.random_range(0..30) {
                0..3 => run.reload(&context).await,
                3 => {
                    let files = as_desired(&run.model.files);
                    run.fixture = run.fixture.restart(files).await;
                    compare(&run.fixture.snapshot(), &run.model, &context);
                }
                _ => run.change(&context).await,
            }
        }
        run.check_history().await;
        made += run.made;
        refused += run.refused;
    }
    assert!(made > 60 && refused > 60, "{made}, {refused}");
}
