//! What clients would be answered, and by which plane, if a change set were made that is only tried.
//!
//! Both sides are explained alike: with a table of the names in question alone, made from the snapshot that is served
//! and from the one that would be.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;
use super::connection::Peer;
use super::page::{Record, aside, record};
use super::problem::Problem;
use super::records::principal;
use crate::control::{Outcome, Trial};
use crate::model::name::{Name, NameKey};
use crate::model::record::RecordType;
use crate::model::shown::with_causes;
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;
use crate::principal::Principal;
use crate::serve::explain::{Explainer, Explanation};

/// Answers that are compared at most.
const MOST: usize = 100;

/// A query, as it is answered and as it would be.
#[derive(Serialize, ToSchema)]
#[schema(as = ComparedAnswer)]
pub(super) struct Compared {
    name: String,
    r#type: String,
    /// The view whose clients ask; null is the default.
    #[schema(required)]
    view: Option<String>,
    /// One of them, who asks; null where no client is in the view, and nobody is answered so.
    #[schema(required)]
    client: Option<String>,
    /// Whether anything of the answer differs: RCODE, records, or the plane.
    differs: bool,
    #[schema(required)]
    before: Option<GivenAnswer>,
    #[schema(required)]
    after: Option<GivenAnswer>,
}

/// An answer, and who gives it.
#[derive(Serialize, ToSchema)]
struct GivenAnswer {
    /// `xdp` or `userspace`.
    plane: &'static str,
    /// As of `/api/v1/explain`.
    answered_by: &'static str,
    /// Why XDP and the fast path pass the query, where they do: a `reason` of the metrics.
    #[schema(required)]
    pass_reason: Option<&'static str>,
    /// The RCODE; null where it is the upstream's.
    #[schema(required)]
    rcode: Option<&'static str>,
    /// The RRsets of the answer section, aliases in their order.
    records: Vec<Record>,
}

/// Answers that are compared, and how many more would be.
pub(super) struct Comparison {
    pub(super) answers: Vec<Compared>,
    pub(super) more: usize,
}

/// What clients ask for that a change set changes.
struct Question {
    view: Option<ViewName>,
    owner: Name,
    rtype: RecordType,
}

/// Compares the answers at each name, type and view that the set changes; `None` where it was made, or nothing answers.
pub(super) async fn compare(state: &ApiState, parts: &Parts, outcome: &Outcome) -> Result<Option<Comparison>, Problem> {
    let Some(trial) = outcome.trial.clone() else {
        return Ok(None);
    };
    if state.inside().is_err() {
        return Ok(None);
    }
    let reader = principal(parts)?;
    let client = match parts.extensions.get::<Peer>() {
        Some(Peer::Network { remote, .. }) => remote.ip().to_canonical(),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let (questions, more) = questions(outcome, &trial);
    let own = state.clone();
    let compared = aside(state, move || {
        let explainer = &own.inside()?.explainer;
        explain(explainer, &trial, &questions, client, &reader)
    });
    Ok(Some(Comparison {
        answers: compared.await??,
        more,
    }))
}

/// The first questions, and how many more there are.
fn questions(outcome: &Outcome, trial: &Trial) -> (Vec<Question>, usize) {
    let edited = outcome
        .diff
        .iter()
        .map(|edited| (&edited.view, &edited.owner, edited.rtype));
    let also = trial.also.iter().map(|one| (&one.view, &one.owner, one.rtype));
    let mut seen: BTreeSet<(Option<&ViewName>, NameKey, RecordType)> = BTreeSet::new();
    let mut questions = Vec::new();
    for (view, owner, rtype) in edited.chain(also) {
        if seen.insert((view.as_ref(), owner.key(), rtype)) && questions.len() < MOST {
            questions.push(Question {
                view: view.clone(),
                owner: owner.clone(),
                rtype,
            });
        }
    }
    let more = seen.len() - questions.len();
    (questions, more)
}

fn explain(
    explainer: &Explainer,
    trial: &Trial,
    questions: &[Question],
    client: IpAddr,
    reader: &Principal,
) -> Result<Vec<Compared>, Problem> {
    let explainer_of = |snapshot| {
        let keys = questions.iter().map(|question| question.owner.key());
        let tentative = explainer.tentative(snapshot, keys);
        tentative
            .map_err(|error| Problem::internal(&format!("the answers cannot be compared: {}", with_causes(&error))))
    };
    let sides = [
        (&*trial.before, explainer_of(&trial.before)?),
        (&*trial.after, explainer_of(&trial.after)?),
    ];
    let compared = questions.iter().map(|question| {
        let client = client_of(&trial.after, question.view.as_ref(), client);
        let found = client.map(|client| {
            sides
                .each_ref()
                .map(|(_, side)| side.explain(&question.owner, question.rtype, client))
        });
        let given = |side: usize| {
            let (snapshot, explainer) = &sides[side];
            let found = &found.as_ref()?[side];
            Some(GivenAnswer::of(snapshot, explainer, found, reader))
        };
        Compared {
            name: question.owner.to_string(),
            r#type: question.rtype.to_string(),
            view: question.view.as_ref().map(ToString::to_string),
            client: client.map(|client| client.to_string()),
            differs: found.as_ref().is_some_and(|[before, after]| differ(before, after)),
            before: given(0),
            after: given(1),
        }
    });
    Ok(compared.collect())
}

fn differ(before: &Explanation, after: &Explanation) -> bool {
    let parts = |found: &Explanation| (found.answered_by, found.pass_reason, found.rcode);
    parts(before) != parts(after) || before.answer != after.answer
}

/// A client of the view, or of none; the one that asks now, where it is one.
fn client_of(snapshot: &Snapshot, view: Option<&ViewName>, client: IpAddr) -> Option<IpAddr> {
    let number = match view {
        None => 0,
        Some(view) => 1 + snapshot.views.list.iter().position(|one| one.name == *view)?,
    };
    snapshot.views.clients.one_in(u16::try_from(number).ok()?, client)
}

impl GivenAnswer {
    fn of(snapshot: &Snapshot, explainer: &Explainer, found: &Explanation, reader: &Principal) -> Self {
        // What an alias leads to may be in a zone that the one who asks may not read.
        let readable = found.answer.iter().filter(|(owner, _)| reader.scope().may_read(owner));
        let records = readable.map(|(owner, rrset)| record(snapshot, found.view.as_ref(), owner, rrset));
        Self {
            plane: match explainer.is_of_xdp(found) {
                true => "xdp",
                false => "userspace",
            },
            answered_by: found.answered_by.label(),
            pass_reason: found.pass_reason,
            rcode: found.rcode,
            records: records.collect(),
        }
    }
}
