//! `kill -9` at random moments under a load of change sets: each one that was acknowledged is there after the next
//! start, none is there by half, and what was there before is not back.
//!
//! `HOTDNS_KILL_ROUNDS=200` kills that often; without it, ten times.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::server::{Server, eventually};

const ROUNDS: usize = 10;
const WRITERS: usize = 4;
const GROUPS: usize = 4;
/// Names of a group; each set puts as many, and deletes as many others.
const MEMBERS: usize = 6;

/// Names that change together. Sets with an odd number put those of one half and delete the others.
struct Group {
    name: String,
    /// The number of the last set that was acknowledged, and of the last one that was sent.
    made: u64,
    sent: u64,
}

fn side(set: u64) -> char {
    if set % 2 == 1 { 'a' } else { 'b' }
}

impl Group {
    /// The edits of a set.
    fn edits(&self, set: u64) -> Value {
        let name = |side: char, member: usize| format!("{side}{member}.{}.example.com", self.name);
        let put = |member| {
            let name = name(side(set), member);
            json!({"op": "put", "name": name, "type": "TXT", "ttl": 60, "value": set.to_string()})
        };
        let mut edits: Vec<Value> = (0..MEMBERS).map(put).collect();
        if set > 1 {
            let delete = |member| json!({"op": "delete", "name": name(side(set - 1), member), "type": "TXT"});
            edits.extend((0..MEMBERS).map(delete));
        }
        json!({ "edits": edits })
    }

    /// Which set is there; 0 for none.
    fn found(&self, records: &BTreeMap<String, String>) -> Result<u64> {
        let suffix = format!(".{}.example.com.", self.name);
        let here: Vec<(&String, &String)> = records.iter().filter(|(name, _)| name.ends_with(&suffix)).collect();
        let Some((_, first)) = here.first() else { return Ok(0) };
        let set: u64 = first.parse()?;
        let is_of_it = |(name, value): &(&String, &String)| *value == *first && name.starts_with(side(set));
        ensure!(
            here.len() == MEMBERS && here.iter().all(is_of_it),
            "half of a change set: {here:?}"
        );
        Ok(set)
    }
}

/// The TXT records of the API, by name.
fn records(server: &Server) -> Result<BTreeMap<String, String>> {
    let reply = server.request("GET", "/api/v1/records?zone=example.com&type=TXT&limit=1000", None)?;
    ensure!(reply.status == 200 && reply.json["next"].is_null(), "{reply:?}");
    let found = reply.json["records"].as_array().context("records")?.iter();
    let text = |record: &Value| {
        let name = record["name"].as_str()?.to_owned();
        Some((name, record["value"][0].as_str()?.trim_matches('"').to_owned()))
    };
    Ok(found
        .filter(|record| record["source"] == "api")
        .filter_map(text)
        .collect())
}

/// Sends sets of a group until the server is gone.
fn write(server: &Server, groups: &mut [Group], is_over: &AtomicBool, answers: &AtomicUsize) -> Result<()> {
    for turn in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let group = &mut groups[turn % GROUPS];
        group.sent = group.made + 1;
        let Ok(reply) = server.request("POST", "/api/v1/changes", Some(&group.edits(group.sent))) else {
            break;
        };
        ensure!(reply.status == 200, "{reply:?}");
        group.made = group.sent;
        answers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn every_acknowledged_change_outlives_kill_9_and_none_is_there_by_half() -> Result<()> {
    let rounds: usize = match std::env::var("HOTDNS_KILL_ROUNDS") {
        Ok(text) => text.parse().context("HOTDNS_KILL_ROUNDS")?,
        Err(_) => ROUNDS,
    };
    let mut server = Server::start("xdp: {mode: \"off\"}\n")?;
    let mut writers: Vec<Vec<Group>> = (0..WRITERS)
        .map(|writer| {
            let group = |number| Group {
                name: format!("g{number}.w{writer}"),
                made: 0,
                sent: 0,
            };
            (0..GROUPS).map(group).collect()
        })
        .collect();
    let (mut total, mut torn, mut serial) = (0, 0, 0);
    for round in 0..rounds {
        let (is_over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
        let after = Duration::from_millis(rand::random_range(5..300));
        let mut results = Vec::new();
        std::thread::scope(|scope| -> Result<()> {
            let (server, is_over, answers) = (&server, &is_over, &answers);
            let running: Vec<_> = writers
                .iter_mut()
                .map(|groups| scope.spawn(move || write(server, groups, is_over, answers)))
                .collect();
            let load = eventually("the first change", || Ok(answers.load(Ordering::Relaxed) > 0));
            std::thread::sleep(after);
            let killed = server.signal(Signal::SIGKILL);
            is_over.store(true, Ordering::Relaxed);
            results.extend(running.into_iter().map(|writer| writer.join().expect("no panic")));
            load.and(killed)
        })?;
        results.into_iter().collect::<Result<()>>()?;
        server.kill()?;
        server.run()?;
        total += answers.into_inner();
        let records = records(&server).with_context(|| format!("round {round}"))?;
        for group in writers.iter_mut().flatten() {
            let found = group.found(&records).with_context(|| format!("round {round}"))?;
            // One whose answer did not come may have been made.
            ensure!(
                found == group.made || found == group.sent,
                "round {round}: {} is at {found}; {} was acknowledged, {} sent",
                group.name,
                group.made,
                group.sent
            );
            torn += usize::from(found > group.made);
            group.made = found;
        }
        // The wire says the same, and the zone's serial does not go back.
        if let Some((name, value)) = records.iter().nth(round % records.len().max(1)) {
            let shown = server.dig(&[name, "TXT", "+short"])?;
            ensure!(
                shown.trim().trim_matches('"') == value,
                "round {round}: {name}: {shown}, {value}"
            );
        }
        let soa = server.dig(&["example.com", "SOA", "+short"])?;
        let now: u32 = soa.split_whitespace().nth(2).context("a serial")?.parse()?;
        ensure!(now >= serial, "round {round}: the serial went from {serial} to {now}");
        serial = now;
    }
    eprintln!("{rounds} kills, {total} change sets acknowledged, {torn} made without an answer");
    ensure!(total > rounds, "only {total} changes");
    Ok(())
}
