//! What an object is told in its status and in Events. Pure.

use std::collections::BTreeSet;

use super::super::explain::unserved;
use super::super::objects::{Condition, ObjectKey};
use super::index::{Index, Reported, Said};
use crate::model::rdata;
use crate::model::snapshot::Snapshot;
use crate::model::source::SourceId;
use crate::source::Claim;

/// Other objects that one Event names.
const MOST_NAMED: usize = 5;

/// What an Event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// In a word.
    pub(super) reason: &'static str,
    /// Whether something is wrong.
    pub(super) is_warning: bool,
    /// In a sentence.
    pub(super) note: String,
}

/// What the status of an object is to say.
pub(super) fn condition(reported: &Reported, snapshot: &Snapshot, source: &SourceId) -> Condition {
    let (status, reason, message) = match &reported.outcome {
        Err(error) => ("False", "Invalid", error.clone()),
        Ok(claims) if claims.is_empty() => ("False", "NotPublished", reported.notes.join("; ")),
        Ok(claims) => match claims.iter().find_map(|claim| unserved(claim, snapshot, source)) {
            Some(why) => ("False", "NotServed", why.to_string()),
            None => ("True", "Served", "it is served".to_owned()),
        },
    };
    Condition {
        condition: "Synced".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: reported.generation,
        last_transition_time: None,
    }
}

/// What is so of an object now, as Events say it.
pub(super) fn notices(
    key: &ObjectKey,
    reported: &Reported,
    index: &Index,
    snapshot: &Snapshot,
    source: &SourceId,
) -> Vec<Notice> {
    let claims = match &reported.outcome {
        Ok(claims) => claims,
        Err(error) => return vec![Notice::warning("NotUnderstood", error.clone())],
    };
    let mut notices = Vec::new();
    let (mut lost, mut is_waiting) = (None, false);
    for claim in claims {
        match unserved(claim, snapshot, source) {
            Some(why) if why.is_pending() => is_waiting = true,
            Some(why) => {
                lost.get_or_insert_with(|| why.to_string());
            }
            None => {}
        }
    }
    let is_served = lost.is_none() && !is_waiting && !claims.is_empty();
    // Objects of our own kinds have it in their status.
    if !key.kind.is_ours() {
        match (lost, claims.as_slice()) {
            (Some(why), _) => notices.push(Notice::warning("NotServed", why)),
            (None, [first, rest @ ..]) if is_served => notices.push(served(first, rest.len())),
            _ => {}
        }
    }
    notices.extend(shared(key, claims, index, snapshot, source));
    notices
}

/// Which of the notices are to be said: those that were not said before. Good news are said of what is new, and of
/// what was bad before.
pub(super) fn to_say(notices: Vec<Notice>, said: &mut Said, is_news: bool) -> Vec<Notice> {
    let was_bad = said.notes.contains_key("NotServed") || said.notes.contains_key("NotUnderstood");
    let reasons: BTreeSet<&str> = notices.iter().map(|notice| notice.reason).collect();
    said.notes.retain(|reason, _| reasons.contains(reason));
    let mut new = Vec::new();
    for notice in notices {
        let before = said.notes.insert(notice.reason, notice.note.clone());
        let is_said = before.as_ref() == Some(&notice.note);
        if !is_said && (notice.reason != "Served" || is_news || was_bad) {
            new.push(notice);
        }
    }
    new
}

/// `grafana.talos00. A 192.168.1.54, TTL 300, is served`.
fn served(first: &Claim, others: usize) -> Notice {
    let values = first.rdatas.iter().map(|rdata| rdata::format_value(first.rtype, rdata));
    let values: Vec<String> = values.collect();
    let Claim { owner, rtype, ttl, .. } = first;
    let more = match others {
        0 => String::new(),
        others => format!("; so are {others} more RRsets of it"),
    };
    Notice {
        reason: "Served",
        is_warning: false,
        note: format!("{owner} {rtype} {}, TTL {ttl}, is served{more}", values.join(", ")),
    }
}

/// Which other objects ask for a name of this one, where that makes a difference: values are joined, or the other one
/// is left out.
fn shared(key: &ObjectKey, claims: &[Claim], index: &Index, snapshot: &Snapshot, source: &SourceId) -> Option<Notice> {
    let mut said = BTreeSet::new();
    for claim in claims
        .iter()
        .filter(|claim| unserved(claim, snapshot, source).is_none())
    {
        let Claim { owner, rtype, .. } = claim;
        for (other, theirs) in index.beside(key, claim) {
            let is_lost = unserved(theirs, snapshot, source).is_some_and(|why| !why.is_pending());
            if is_lost {
                said.insert(format!(
                    "{owner} {} of {other} is left out: {owner} {rtype} of {key} is served",
                    theirs.rtype
                ));
            } else if theirs.rtype == *rtype && !have_the_same(claim, theirs) {
                said.insert(format!("{owner} {rtype} has the values of {other} too"));
            }
        }
    }
    if said.is_empty() {
        return None;
    }
    let others = said.len().saturating_sub(MOST_NAMED);
    let mut note = said.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join("; ");
    if others > 0 {
        note.push_str(&format!("; and {others} more"));
    }
    Some(Notice {
        reason: "NameShared",
        is_warning: false,
        note,
    })
}

fn have_the_same(one: &Claim, other: &Claim) -> bool {
    let values = |claim: &Claim| -> BTreeSet<_> {
        let values = claim.rdatas.iter();
        values.map(|rdata| rdata::canonical(claim.rtype, rdata)).collect()
    };
    values(one) == values(other)
}

impl Notice {
    fn warning(reason: &'static str, note: String) -> Self {
        Self {
            reason,
            is_warning: true,
            note,
        }
    }
}
