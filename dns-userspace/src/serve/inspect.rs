//! What the table and the limits hold, for people who look for a fault.

use std::net::IpAddr;
use std::sync::Arc;

use dns_common::hash::of_name_in_view;
use dns_common::limit::{BUCKET_LINE_WORDS, BUCKET_LINES, Limits};
use dns_common::line::{CELLS, NO_ZONE, Occupant, Reference, flag};
use dns_common::scratch::Scratch;
use dns_common::search::{look_up, probed};
use dns_common::table::Table;

use super::gate::now_ns;
use crate::model::name::Name;
use crate::model::prefixes::address_words;
use crate::model::record::RecordType;
use crate::publish::Served;
use crate::table::Region;

/// What the table has of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A line.
    Line(LineOfName),
    /// No line: what is asked for it is answered from the lines above.
    Nothing,
    /// It was being written.
    Torn,
    /// The lines where it would be cannot say.
    Overflow,
}

/// A line, as far as it is this name's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineOfName {
    /// Names of the flags that are set.
    pub(crate) flags: Vec<&'static str>,
    /// Index of the zone.
    pub(crate) zone: Option<u32>,
    /// TTL of the addresses in the line.
    pub(crate) ttl: u32,
    /// A and AAAA addresses in the line itself.
    pub(crate) inline_a: u32,
    pub(crate) inline_aaaa: bool,
    /// Ready answers in slots: the type, the size class, the slot.
    pub(crate) references: Vec<(RecordType, u8, u32)>,
}

const FLAGS: [(u32, &str); 16] = [
    (flag::APEX, "apex"),
    (flag::CUT, "cut"),
    (flag::DNAME, "dname"),
    (flag::CNAME, "cname"),
    (flag::WILDCARD_CHILD, "wildcard_child"),
    (flag::NOT_OURS, "not_ours"),
    (flag::PASS_SELF, "pass_self"),
    (flag::PASS_BELOW, "pass_below"),
    (flag::INCOMPLETE, "incomplete"),
    (flag::WIDE, "wide"),
    (flag::SPARSE, "sparse"),
    (flag::LISTS, "lists"),
    (flag::VIEWED, "viewed"),
    (flag::GHOST, "ghost"),
    (flag::GUARDED, "guarded"),
    (flag::ONE_LABEL_WILDCARD, "one_label_wildcard"),
];

/// Looks a name up in the table, for a view; 0 is the default.
pub(crate) fn find(served: &Arc<Served>, name: &Name, view: u16) -> Found {
    let table = served.table();
    let mut scratch = Box::new(Scratch::new());
    let hash = of_name_in_view(name.as_wire(), view.into(), table.keys());
    match look_up(&mut scratch, &**table, hash) {
        probed::FOUND => Found::Line(LineOfName::of(&scratch.found)),
        probed::ABSENT => Found::Nothing,
        probed::TORN => Found::Torn,
        _ => Found::Overflow,
    }
}

impl LineOfName {
    fn of(found: &Occupant) -> Self {
        let flags = FLAGS.iter().filter(|(bit, _)| found.flags & bit != 0);
        let cells = (found.references() as usize).min(CELLS);
        let references = found.cells[..cells].iter().map(|word| Reference::from_word(*word));
        Self {
            flags: flags.map(|(_, name)| *name).collect(),
            zone: (found.zone != NO_ZONE).then_some(found.zone),
            ttl: found.ttl,
            inline_a: found.inline_a(),
            inline_aaaa: found.flags & flag::INLINE_AAAA != 0,
            references: references
                .map(|reference| (RecordType(reference.rtype), reference.class, reference.slot))
                .collect(),
        }
    }
}

/// A bucket of a rate limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bucket {
    /// Its place: the line, and the place in it.
    pub(crate) place: (u32, usize),
    /// How much of the burst is used: 0 to 1.
    pub(crate) used: f64,
}

/// The buckets of which most is used, and that of all clients, where there is one.
pub(crate) struct Buckets {
    pub(crate) fullest: Vec<Bucket>,
    /// Buckets that are not full of tokens.
    pub(crate) in_use: u64,
    pub(crate) global: Option<f64>,
}

/// Looks at all buckets: 4 MiB.
pub(crate) fn buckets(limits: &Limits, memory: &Region, most: usize) -> Buckets {
    let now = now_ns();
    let used = |full_at: u64, tolerance_ns: u64| {
        let ahead = full_at.saturating_sub(now) as f64;
        if tolerance_ns == 0 {
            ahead.min(1.0)
        } else {
            (ahead / tolerance_ns as f64).min(1.0)
        }
    };
    let words = |line: u32| memory.words(line as usize * BUCKET_LINE_WORDS, BUCKET_LINE_WORDS);
    let load =
        |line: u32, at: usize| words(line).map_or(0, |words| words[at].load(std::sync::atomic::Ordering::Relaxed));
    let mut all: Vec<Bucket> = Vec::new();
    for line in 0..BUCKET_LINES - 1 {
        for place in 0..BUCKET_LINE_WORDS / 2 {
            let full_at = load(line, 2 * place + 1);
            if full_at > now {
                let used = used(full_at, limits.prefix.tolerance_ns);
                all.push(Bucket {
                    place: (line, place),
                    used,
                });
            }
        }
    }
    let in_use = all.len() as u64;
    all.sort_by(|left, right| right.used.total_cmp(&left.used).then(left.place.cmp(&right.place)));
    all.truncate(most);
    let global = (limits.global.interval_ns != 0).then(|| used(load(BUCKET_LINES - 1, 1), limits.global.tolerance_ns));
    Buckets {
        fullest: all,
        in_use,
        global,
    }
}

/// The place of a client's bucket, where it has one: names are not kept with buckets.
pub(crate) fn bucket_of(limits: &Limits, memory: &Region, client: IpAddr) -> Option<(u32, usize)> {
    let (line, tag) = limits.place(address_words(client));
    let words = memory.words(line as usize * BUCKET_LINE_WORDS, BUCKET_LINE_WORDS)?;
    let is_its = |place: &usize| limits.is_of(words[2 * place].load(std::sync::atomic::Ordering::Relaxed), tag);
    (0..BUCKET_LINE_WORDS / 2).find(is_its).map(|place| (line, place))
}

#[cfg(test)]
mod tests {
    use dns_common::limit::{Pace, charge};

    use super::*;

    #[test]
    fn the_fullest_bucket_is_that_of_the_client_who_asked_most() {
        let limits = Limits {
            // Hours, so that nothing drains meanwhile.
            prefix: Pace::new(1, 100_000),
            secret: [3, 5],
            ..Limits::NONE
        }
        .with_prefixes(24, 56);
        let memory = Region::buckets().expect("memory");
        let clients: [IpAddr; 2] = ["192.0.2.1", "198.51.100.1"].map(|text| text.parse().expect("an address"));
        for (client, queries) in clients.into_iter().zip([10, 50_000]) {
            for _ in 0..queries {
                charge(&&memory, &limits, address_words(client), now_ns());
            }
        }
        let found = buckets(&limits, &memory, 1);
        assert_eq!((found.in_use, found.global), (2, None));
        assert_eq!(Some(found.fullest[0].place), bucket_of(&limits, &memory, clients[1]));
        assert!((0.4..0.6).contains(&found.fullest[0].used), "{:?}", found.fullest);
        let other: IpAddr = "203.0.113.1".parse().expect("an address");
        assert_eq!(bucket_of(&limits, &memory, other), None);
    }
}
