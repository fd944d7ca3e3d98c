//! Two sides that change, and what they come to.

use std::collections::BTreeSet;
use std::path::Path;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::ANY_TTL;
use super::merge::{clash, merge};
use crate::config::{RecordSets, are_same, records_of, with_records};
use crate::model::name::Name;
use crate::model::record::RecordType;

/// RRsets from `name type ttl value …`, one a line.
fn sets(lines: &[&str]) -> RecordSets {
    let items = lines.iter().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let values = words[3..].join(", ");
        format!(
            "  - {{name: {}, type: {}, ttl: {}, value: [{values}]}}\n",
            words[0], words[1], words[2]
        )
    });
    let text = format!("{ANY_TTL}records:\n{}", items.collect::<String>());
    records_of(&text, Path::new("test")).expect("good records")
}

#[test]
fn changes_of_both_sides_come_together() {
    for (what, base, api, map, comes) in [
        (
            "nothing",
            vec!["a.x A 1 192.0.2.1"],
            vec!["a.x A 1 192.0.2.1"],
            vec!["a.x A 1 192.0.2.1"],
            vec!["a.x A 1 192.0.2.1"],
        ),
        (
            "the API adds, a person adds",
            vec![],
            vec!["a.x A 1 192.0.2.1"],
            vec!["b.x A 1 192.0.2.2"],
            vec!["a.x A 1 192.0.2.1", "b.x A 1 192.0.2.2"],
        ),
        (
            "the API removes",
            vec!["a.x A 1 192.0.2.1"],
            vec![],
            vec!["a.x A 1 192.0.2.1"],
            vec![],
        ),
        (
            "a person removes",
            vec!["a.x A 1 192.0.2.1"],
            vec!["a.x A 1 192.0.2.1"],
            vec![],
            vec![],
        ),
        ("both remove", vec!["a.x A 1 192.0.2.1"], vec![], vec![], vec![]),
        (
            "values of both",
            vec!["a.x A 1 192.0.2.1"],
            vec!["a.x A 1 192.0.2.1 192.0.2.2"],
            vec!["a.x A 9 192.0.2.1 192.0.2.3"],
            vec!["a.x A 9 192.0.2.1 192.0.2.2 192.0.2.3"],
        ),
        (
            "one removes a value, one adds one",
            vec!["a.x A 1 192.0.2.1 192.0.2.2"],
            vec!["a.x A 1 192.0.2.2"],
            vec!["a.x A 1 192.0.2.1 192.0.2.2 192.0.2.3"],
            vec!["a.x A 1 192.0.2.2 192.0.2.3"],
        ),
        (
            "one changes what the other one removes",
            vec!["a.x A 1 192.0.2.1"],
            vec![],
            vec!["a.x A 1 192.0.2.2"],
            vec!["a.x A 1 192.0.2.2"],
        ),
        (
            "a type with one value",
            vec!["a.x CNAME 1 b.x"],
            vec!["a.x CNAME 1 c.x"],
            vec!["a.x CNAME 1 d.x"],
            vec!["a.x CNAME 1 c.x"],
        ),
    ] {
        let merged = merge(&sets(&base), &sets(&api), &sets(&map));
        assert!(are_same(&merged.records, &sets(&comes)), "{what}: {:?}", merged.records);
    }
}

#[test]
fn what_comes_out_is_a_fixed_point() {
    let (base, api, map) = (
        sets(&["a.x A 1 192.0.2.1"]),
        sets(&["a.x A 1 192.0.2.2"]),
        sets(&["a.x A 1 192.0.2.3"]),
    );
    let once = merge(&base, &api, &map);
    assert_eq!(once.both, ["a.x. A"]);
    // The API has it, and the ConfigMap not yet: as after a crash between the two.
    let again = merge(&base, &once.records, &map);
    assert!(are_same(&again.records, &once.records), "{:?}", again.records);
    let text = with_records(ANY_TTL, &once.records, Path::new("test")).expect("it can be written");
    let done = merge(
        &once.records,
        &once.records,
        &records_of(&text, Path::new("test")).expect("good"),
    );
    assert!(are_same(&done.records, &once.records) && done.both.is_empty());
}

#[test]
fn types_that_exclude_each_other_are_found() {
    let merged = merge(&sets(&[]), &sets(&["a.x CNAME 1 b.x"]), &sets(&["a.x A 1 192.0.2.3"]));
    assert!(clash(&merged.records).is_some());
    assert!(clash(&sets(&["a.x A 1 192.0.2.3", "b.x CNAME 1 a.x"])).is_none());
}

/// Both sides add and remove values at random, and what brings them together ends at any point: no value that was
/// added, and that nobody removed, is lost; once both are brought together they are the same.
#[test]
fn nothing_is_lost_whoever_changes_what_and_whenever_it_ends() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut base, mut api, mut map) = (sets(&[]), sets(&[]), sets(&[]));
        let mut added: BTreeSet<(&str, u32)> = BTreeSet::new();
        for number in 0..40 {
            let owner = *["a.x", "b.x", "c.x"].choose(&mut random).expect("not empty");
            let side = if random.random_bool(0.5) { &mut api } else { &mut map };
            let mut values = values_of(side, owner);
            if random.random_bool(0.6) || values.is_empty() {
                values.push(number);
                added.insert((owner, number));
            } else {
                let gone = values.swap_remove(random.random_range(0..values.len()));
                added.remove(&(owner, gone));
            }
            set(side, owner, &values);
            if random.random_bool(0.6) {
                continue;
            }
            let merged = merge(&base, &api, &map).records;
            // As in a step: the API, the ConfigMap, then what both had.
            let ends = random.random_range(0..4);
            if ends > 0 {
                api = merged.clone();
            }
            if ends > 1 {
                map = merged.clone();
            }
            if ends > 2 {
                base = merged.clone();
                assert!(are_same(&api, &map), "seed {seed}");
            }
            for (owner, number) in &added {
                assert!(
                    values_of(&merged, owner).contains(number),
                    "seed {seed}: {owner} {number} is lost"
                );
            }
        }
    }
}

fn values_of(sets: &RecordSets, owner: &str) -> Vec<u32> {
    let name: Name = format!("{owner}.").parse().expect("a name");
    let rrset = sets.get(&(name.key(), RecordType::A)).map(|(_, rrset)| rrset);
    let octets = rrset.into_iter().flat_map(|rrset| &rrset.rdatas);
    octets.map(|rdata| u32::from(rdata[3])).collect()
}

fn set(side: &mut RecordSets, owner: &str, values: &[u32]) {
    let name: Name = format!("{owner}.").parse().expect("a name");
    side.remove(&(name.key(), RecordType::A));
    if !values.is_empty() {
        let values: Vec<String> = values.iter().map(|value| format!("192.0.2.{value}")).collect();
        side.extend(sets(&[&format!("{owner} A 60 {}", values.join(" "))]));
    }
}
