use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{Given, Key, Look};
use super::*;
use crate::message::{Message, Record};
use crate::resolve::clock::Clock;
use crate::resolve::exchange::Asking;
use crate::resolve::tests::caching::CONFIG;

/// A cache whose clock says so many seconds.
fn cache(seconds: &Arc<AtomicU64>) -> Cache {
    let seconds = Arc::clone(seconds);
    let clock = Clock::of(move || Duration::from_secs(seconds.load(Ordering::SeqCst)));
    Cache::new(CONFIG, clock, Arc::default())
}

fn asking(view: u16, set: u16) -> Asking {
    Asking {
        name: b"\x01a\0"[..].into(),
        qtype: 1,
        qclass: 1,
        checking_disabled: false,
        authentic_data: false,
        dnssec_ok: false,
        whole: false,
        view,
        set,
    }
}

fn answer(ttl: u32) -> Message {
    Message::of_answer(vec![Record {
        owner: b"\x01a\0".to_vec(),
        rtype: 1,
        class: 1,
        ttl,
        rdata: vec![192, 0, 2, 1],
    }])
}

fn numbering(views: &[&str], sets: &[&str]) -> Numbering {
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Numbering {
        views: all(views),
        sets: all(sets),
    }
}

/// The TTL of the answer that there is, and whether it is over.
fn found(cache: &Cache, view: u16, set: u16) -> Option<(u32, bool)> {
    let now = cache.now();
    let (entry, given) = match cache.look(Key::of(&asking(view, set)).octets(), now) {
        Look::Fresh(entry, _) => {
            let age = entry.age(now);
            (entry, Given::Aged(age))
        }
        Look::Stale(entry, _) => (entry, Given::Stale),
        _ => return None,
    };
    let message = entry.message(b"\x01a\0", 1, given)?;
    Some((message.answer[0].ttl, given == Given::Stale))
}

fn written(cache: &Cache, numbering: Numbering) -> (Vec<u8>, SystemTime) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    assert_eq!(cache.save(&path, numbering).unwrap(), 1);
    (std::fs::read(&path).unwrap(), SystemTime::now())
}

#[test]
fn answers_come_back_as_old_as_they_are() {
    let seconds = Arc::new(AtomicU64::new(10_000));
    let before = cache(&seconds);
    before.keep(&asking(1, 0), &answer(300));
    seconds.store(10_050, Ordering::SeqCst);
    let (octets, at) = written(&before, numbering(&["", "office"], &["corp"]));
    // The process was away for 100 s; other numbers.
    let after = cache(&Arc::new(AtomicU64::new(10_150)));
    let numbers = numbering(&["", "lab", "office"], &["default", "corp"]);
    let later = |seconds| at + Duration::from_secs(seconds);
    let restored = after.put_back(&octets, &numbers, later(100)).unwrap();
    assert_eq!(restored.entries, 1);
    assert!((100..=101).contains(&restored.age));
    let (ttl, is_over) = found(&after, 2, 1).unwrap();
    assert!((149..=150).contains(&ttl) && !is_over, "{ttl}");
    assert_eq!(found(&after, 1, 0), None);
    // It is over, and may be given as such for as long as ever.
    let after = cache(&Arc::new(AtomicU64::new(10_450)));
    after.put_back(&octets, &numbers, later(400)).unwrap();
    assert_eq!(found(&after, 2, 1), Some((30, true)));
    // The machine was started anew: its clock began later than the answer came.
    let after = cache(&Arc::new(AtomicU64::new(7)));
    after.put_back(&octets, &numbers, later(100)).unwrap();
    let (ttl, is_over) = found(&after, 2, 1).unwrap();
    assert!((149..=150).contains(&ttl) && !is_over, "{ttl}");
    let after = cache(&Arc::new(AtomicU64::new(7)));
    assert_eq!(after.put_back(&octets, &numbers, later(400)).unwrap().entries, 0);
}

#[test]
fn answers_of_other_servers_and_views_stay_away() {
    let before = cache(&Arc::new(AtomicU64::new(1000)));
    before.keep(&asking(1, 0), &answer(300));
    let (octets, at) = written(&before, numbering(&["", "office"], &["corp 192.0.2.1:53"]));
    for numbers in [
        numbering(&["", "office"], &["corp 192.0.2.2:53"]),
        numbering(&["", "lab"], &["corp 192.0.2.1:53"]),
        numbering(&[""], &["corp 192.0.2.1:53"]),
    ] {
        let after = cache(&Arc::new(AtomicU64::new(1000)));
        assert_eq!(after.put_back(&octets, &numbers, at).unwrap().entries, 0, "{numbers:?}");
    }
}

#[test]
fn a_file_that_is_damaged_or_from_the_future_is_not_read() {
    let before = cache(&Arc::new(AtomicU64::new(1000)));
    before.keep(&asking(0, 0), &answer(300));
    let numbers = numbering(&[""], &["corp"]);
    let (octets, at) = written(&before, numbers.clone());
    let after = cache(&Arc::new(AtomicU64::new(1000)));
    for end in 0..octets.len() {
        assert!(after.put_back(&octets[..end], &numbers, at).is_err());
    }
    for place in 0..octets.len() {
        let mut other = octets.clone();
        other[place] ^= 1;
        assert!(after.put_back(&other, &numbers, at).is_err());
    }
    let earlier = at - Duration::from_secs(60);
    assert!(
        after
            .put_back(&octets, &numbers, earlier)
            .unwrap_err()
            .to_string()
            .contains("future")
    );
    assert_eq!(after.put_back(&octets, &numbers, at).unwrap().entries, 1);
}
