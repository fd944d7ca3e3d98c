//! RRsets as the API shows them, and lists of them, sent in parts.
//!
//! ```text
//! first part ─ all of it? ─► an answer of a known length
//!            └ no ─► the next part is made when the client has taken the one before
//! ```
//!
//! A part is up to [`PART_BYTES`] of text, or one RRset where that is more, and comes from what is published when it
//! is made: the place where the one before ended is all that is kept in between, as with cursors. So a client that
//! does not read costs one part, and no old snapshot. Parts are made away from the threads that serve requests,
//! as many at a time as there are processors: a filter that few RRsets pass can make that long.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::connection::Place;
use super::listing::{self, Filter, Position};
use super::pieces::{Pieces, json_response, next_piece};
use super::problem::{self, Problem};
use super::{ApiState, View};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Order, RecordType, RrSet, Wildcard};
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;

/// Text of one part of a list.
const PART_BYTES: usize = 64 << 10;

/// An RRset as the API shows it; what is as by default at the end is left out.
#[derive(Serialize, ToSchema)]
pub(super) struct Record {
    name: String,
    r#type: String,
    ttl: u32,
    value: Vec<String>,
    source: String,
    /// What of the source asked for it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// The version at which it got what it says.
    pub(super) version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wildcard: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    locked: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Left out where it is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<String>,
}

/// A page of RRsets, as it is sent.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a list is written in parts, and this says what they make")]
pub(super) struct RecordPage {
    /// In canonical order.
    records: Vec<Record>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
    /// The version of what is listed.
    version: u64,
}

/// An RRset, as it is served.
pub(super) fn record(snapshot: &Snapshot, view: Option<&ViewName>, owner: &Name, rrset: &RrSet) -> Record {
    let serial = (rrset.rtype == RecordType::SOA)
        .then(|| snapshot.serial(&owner.key()))
        .flatten();
    let value = rrset.rdatas.iter().map(|rdata| match serial {
        Some(serial) => {
            let mut soa = rdata.to_vec();
            rdata::set_serial(&mut soa, serial);
            rdata::format_value(rrset.rtype, &soa)
        }
        None => rdata::format_value(rrset.rtype, rdata),
    });
    let (order, wildcard) = (rrset.handling.order(), rrset.handling.wildcard());
    let keeping = rrset.handling.keeping();
    Record {
        name: owner.to_string(),
        r#type: rrset.rtype.to_string(),
        ttl: rrset.ttl,
        value: value.collect(),
        source: rrset.origin.label().to_owned(),
        object: rrset.origin.object().map(str::to_owned),
        version: snapshot.version_of(&owner.key(), rrset),
        order: (*order != Order::Fixed).then(|| order.word()),
        weights: matches!(order, Order::Weighted(_)).then(|| order.weights().to_vec()),
        wildcard: (wildcard != Wildcard::Rfc4592).then(|| wildcard.word()),
        locked: keeping.locked,
        disabled: keeping.disabled,
        note: keeping.note.as_deref().map(str::to_owned),
        view: view.map(|view| view.to_string()),
    }
}

/// A list on its way to a client.
pub(super) struct List {
    state: ApiState,
    filter: Arc<Filter>,
    /// Where the last part ended.
    after: Option<Position>,
    /// RRsets that may follow.
    left: usize,
    is_empty: bool,
    /// Of the first RRset in it.
    first_version: u64,
    /// Of the snapshot that the first part is from.
    version: u64,
    /// What is made and not taken.
    text: Bytes,
    /// Nothing more is to be made.
    is_whole: bool,
}

impl List {
    /// Up to `limit` of the RRsets that pass the filter, behind `after`; with its first part made.
    pub(super) async fn begin(
        state: &ApiState,
        place: Option<&Place>,
        filter: Filter,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Self, Problem> {
        let mut list = Self {
            state: state.clone(),
            filter: Arc::new(filter),
            after,
            left: limit,
            is_empty: true,
            first_version: 0,
            version: 0,
            text: Bytes::new(),
            is_whole: false,
        };
        let turn = Arc::clone(&state.0.lists).acquire_owned();
        // While others have their turn the connection has no work in hand.
        let turn = match place {
            None => turn.await,
            Some(place) => {
                let waited = place.activity.pause(turn).await;
                waited.ok_or_else(|| problem::not_ready("the connection is about to be closed"))?
            }
        };
        let part = list.make(turn.ok()).await;
        part.map_err(|error| Problem::internal(&error.to_string()))?;
        Ok(list)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// The version of the first RRset in it.
    pub(super) fn version(&self) -> u64 {
        self.first_version
    }

    pub(super) fn into_response(self) -> Response {
        let body = if self.is_whole {
            Body::new(Pieces(self.text))
        } else {
            Body::from_stream(stream::try_unfold(self, |mut list| async move {
                Ok::<_, io::Error>(list.next().await?.map(|piece| (piece, list)))
            }))
        };
        json_response(StatusCode::OK, body)
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.text.is_empty() {
            if self.is_whole {
                return Ok(None);
            }
            let turn = Arc::clone(&self.state.0.lists).acquire_owned().await;
            self.make(turn.ok()).await?;
        }
        Ok(Some(next_piece(&mut self.text)))
    }

    /// Makes the next part.
    async fn make(&mut self, turn: Option<OwnedSemaphorePermit>) -> io::Result<()> {
        let (state, filter, after) = (self.state.clone(), Arc::clone(&self.filter), self.after.clone());
        let (left, is_first, version) = (self.left, self.is_empty, self.version);
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let serving = state.0.serving.get();
            let serving = serving.ok_or_else(|| io::Error::other("nothing is served"))?;
            let begun = (!is_first).then_some(version);
            part(&serving.view, &filter, after.as_ref(), left, begun)
        });
        let part = made.await.map_err(io::Error::other)??;
        if is_first {
            (self.first_version, self.version) = (part.first_version, part.version);
        }
        self.is_empty &= part.count == 0;
        self.is_whole = part.is_last;
        self.left -= part.count;
        self.after = part.last.or(self.after.take());
        self.text = part.text.into();
        Ok(())
    }
}

struct Part {
    text: Vec<u8>,
    count: usize,
    /// The version of the first RRset in it.
    first_version: u64,
    /// The version of the whole list.
    version: u64,
    /// The last RRset in it.
    last: Option<Position>,
    /// Nothing follows.
    is_last: bool,
}

/// One part, from what is published now. `begun` is the version that the list has from its first part.
fn part(served: &View, filter: &Filter, after: Option<&Position>, left: usize, begun: Option<u64>) -> io::Result<Part> {
    let snapshot = (served.snapshot)();
    // Who follows changes from this version on misses none of those that the later parts do not show.
    let version = begun.unwrap_or(snapshot.version);
    let mut text = Vec::new();
    if begun.is_none() {
        text.extend_from_slice(b"{\"records\":[");
    }
    let (mut count, mut first_version) = (0, 0);
    let mut written = Ok(());
    let (last, has_more) = listing::walk(&snapshot, filter, after, |owner, rrset| {
        if count == left || text.len() >= PART_BYTES {
            return false;
        }
        if begun.is_some() || count > 0 {
            text.push(b',');
        }
        let record = record(&snapshot, filter.view.as_ref(), owner, rrset);
        if count == 0 {
            first_version = record.version;
        }
        count += 1;
        written = serde_json::to_writer(&mut text, &record).map_err(io::Error::from);
        written.is_ok()
    });
    written?;
    let is_last = !has_more || count == left;
    if is_last {
        let next = last.as_ref().filter(|_| has_more).map(Position::encode);
        text.extend_from_slice(b"],\"next\":");
        serde_json::to_writer(&mut text, &next)?;
        text.extend_from_slice(format!(",\"version\":{version}}}").as_bytes());
    }
    Ok(Part {
        text,
        count,
        first_version,
        version,
        last,
        is_last,
    })
}
