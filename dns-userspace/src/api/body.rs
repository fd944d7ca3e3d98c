//! JSON bodies of requests.
//!
//! What is held of all clients' bodies is bounded ([`MOST_UNITS`]): each takes its part as it comes in, and gives it
//! back once the request has its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Number;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use super::ApiState;
use super::connection::Place;
use super::media::{self, Format};
use super::parameters::{find_view, parse_name, parse_type};
use super::problem::{self, Problem};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Order, Rdata, RecordType, Wildcard};
use crate::model::snapshot::Snapshot;
use crate::model::views::ViewName;
use crate::store::{KeepingWanted, Subject, Wanted};

/// The largest body of one RRset that is read.
pub(super) const LIMIT_BYTES: usize = 1 << 20;
/// The largest body with many RRsets that is read.
pub(super) const LARGE_LIMIT_BYTES: usize = 8 << 20;
/// What is read and thrown away of a larger body, so that its sender gets to see the answer.
const DRAIN_BYTES: usize = 16 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What bodies are counted in, in octets.
const UNIT_BYTES: usize = 1024;
/// Units of all bodies that are held at a time.
pub(super) const MOST_UNITS: usize = (32 << 20) / UNIT_BYTES;

/// An RRset as clients write it: with all members that answers have, so that an answer can be sent back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRecord)]
pub(super) struct RrsetBody {
    /// The view; the default without it.
    pub(super) view: Option<String>,
    /// The owner; with PUT the one of the URL, without it.
    pub(super) name: Option<String>,
    /// A mnemonic, or TYPE and a number; with PUT it may be in the query instead.
    pub(super) r#type: Option<String>,
    /// Seconds, within `ttl_bounds`.
    #[schema(value_type = Option<u32>, maximum = 2147483647)]
    pub(super) ttl: Option<Number>,
    /// RDATA in presentation format: one value or several.
    pub(super) value: Option<Values>,
    /// fixed, rotate, random, weighted or hash.
    pub(super) order: Option<String>,
    /// With `order: weighted`, one for each value.
    #[schema(value_type = Option<Vec<u16>>)]
    pub(super) weights: Option<Vec<Number>>,
    /// rfc4592 or one_label.
    pub(super) wildcard: Option<String>,
    /// Whether changes are refused until it is unlocked.
    pub(super) locked: Option<bool>,
    /// Whether it is kept and not served.
    pub(super) disabled: Option<bool>,
    /// A note for people.
    pub(super) note: Option<String>,
    /// In answers only: who may change what is not for a request to say.
    #[serde(rename = "source")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) _source: Option<IgnoredAny>,
    #[serde(rename = "object")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) _object: Option<IgnoredAny>,
    /// In answers only: `If-Match` says what a change expects.
    #[serde(rename = "version")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) _version: Option<IgnoredAny>,
}

/// One value, or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "`value` must be a string or a list of strings")]
#[schema(as = RecordValues)]
pub(super) enum Values {
    One(String),
    Many(Vec<String>),
}

/// An RRset in a request, every part of it valid by itself.
#[derive(Debug)]
pub(super) struct RequestedRrset {
    /// `None` is the default.
    pub(super) view: Option<ViewName>,
    pub(super) owner: Name,
    pub(super) rtype: RecordType,
    pub(super) wanted: Wanted,
    pub(super) rdatas: Vec<Rdata>,
    /// The body's part of what all bodies may take, for as long as the request goes on.
    _held: Held,
}

impl RequestedRrset {
    /// What conditions of the request are about.
    pub(super) fn subject(&self) -> Subject {
        Subject::Rrset {
            view: self.view.clone(),
            owner: self.owner.clone(),
            rtype: self.rtype,
        }
    }
}

/// Reads an RRset; `view`, `name` and `rtype` are those of the URL, which the body may leave out and must not
/// contradict.
pub(super) async fn read_rrset(
    state: &ApiState,
    parts: &Parts,
    body: Body,
    view: Option<ViewName>,
    name: Option<Name>,
    rtype: Option<RecordType>,
) -> Result<RequestedRrset, Problem> {
    let format = Format::of_body(&parts.headers)?;
    let (bytes, held) = read(state, parts, body, LIMIT_BYTES).await?;
    let body = parse(&bytes, format)?;
    let snapshot = state.served()?;
    let mut asked = AskedRrset::of(&snapshot, body, view, name, rtype)?;
    let (rdatas, wanted) = (asked.values()?, asked.wanted);
    Ok(RequestedRrset {
        view: asked.view,
        owner: asked.owner,
        rtype: asked.rtype,
        wanted,
        rdatas,
        _held: held,
    })
}

/// An RRset of a request, or a part of one, without the values that it has to have.
pub(super) struct AskedRrset {
    pub(super) view: Option<ViewName>,
    pub(super) owner: Name,
    pub(super) rtype: RecordType,
    pub(super) wanted: Wanted,
    /// `None` where none are given.
    pub(super) rdatas: Option<Vec<Rdata>>,
}

impl AskedRrset {
    /// What a body says; `view`, `name` and `rtype` are those of the URL.
    pub(super) fn of(
        snapshot: &Snapshot,
        body: RrsetBody,
        view: Option<ViewName>,
        name: Option<Name>,
        rtype: Option<RecordType>,
    ) -> Result<Self, Problem> {
        let missing = |member: &str| missing(member);
        let given_name = body.name.as_deref().map(parse_name).transpose()?;
        let given_type = body.r#type.as_deref().map(parse_type).transpose()?;
        let given_view = body.view.as_deref().map(|name| find_view(snapshot, name));
        let given_view = given_view.transpose();
        let given_view = given_view.map_err(|detail| Problem::bad_request("invalid_value", detail))?;
        let view = agree("view", view, given_view)?;
        let owner = agree("name", name, given_name)?.ok_or_else(|| missing("name"))?;
        let rtype = agree("type", rtype, given_type)?.ok_or_else(|| missing("type"))?;
        let ttl = body.ttl.as_ref().map(parse_ttl).transpose()?;
        let values = body.value.map(|values| match values {
            Values::One(value) => vec![value],
            Values::Many(values) => values,
        });
        let count = values.as_ref().map_or(0, Vec::len);
        let order = parse_order(body.order.as_deref(), body.weights.as_deref(), count)?;
        let wildcard = body.wildcard.map(|word| parse_wildcard(&word, &owner)).transpose()?;
        let keeping = KeepingWanted {
            locked: body.locked,
            disabled: body.disabled,
            note: body.note.map(parse_note).transpose()?,
        };
        let rdatas = values.map(|values| values.iter().map(|value| parse_value(rtype, value)).collect());
        Ok(Self {
            view,
            owner,
            rtype,
            wanted: Wanted {
                ttl,
                order,
                wildcard,
                keeping,
            },
            rdatas: rdatas.transpose()?,
        })
    }

    /// Takes the values, of which there has to be one.
    pub(super) fn values(&mut self) -> Result<Vec<Rdata>, Problem> {
        match self.rdatas.take() {
            None => Err(missing("value")),
            Some(rdatas) if rdatas.is_empty() => Err(Problem::bad_request(
                "invalid_value",
                "`value` needs one value at least; use DELETE to remove an RRset",
            )),
            Some(rdatas) => Ok(rdatas),
        }
    }
}

pub(super) fn missing(member: &str) -> Problem {
    Problem::bad_request("invalid_body", format!("the member `{member}` is missing"))
}

/// The most octets of a note and of a comment.
pub(super) const MOST_OF_NOTE: usize = 1024;

/// A note or a comment.
pub(super) fn parse_note(note: String) -> Result<Box<str>, Problem> {
    match note.len() {
        ..=MOST_OF_NOTE => Ok(note.into()),
        octets => Err(Problem::bad_request(
            "invalid_body",
            format!("a note or comment has at most {MOST_OF_NOTE} octets, and this one has {octets}"),
        )),
    }
}

/// Reads a body of at most `limit` octets, in the format that it says, as one object. The second value keeps the room
/// that the body takes until what came of it is made.
pub(super) async fn read_as<T: DeserializeOwned>(
    state: &ApiState,
    parts: &Parts,
    body: Body,
    limit: usize,
) -> Result<(T, Held), Problem> {
    let format = Format::of_body(&parts.headers)?;
    let (bytes, held) = read(state, parts, body, limit).await?;
    Ok((parse(&bytes, format)?, held))
}

/// The one object that the body is.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], format: Format) -> Result<T, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid_body", detail);
    let rest = bytes.trim_ascii_start();
    match rest.first() {
        None => Err(invalid("the body is empty; write an object".to_owned())),
        // As a list of members in order it would be taken too.
        Some(b'[') => Err(invalid(
            "the body is a list; write one object, and a request for each".to_owned(),
        )),
        Some(_) => match format {
            Format::Json => serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string())),
            Format::Yaml => {
                let read = serde_saphyr::from_slice(bytes);
                read.map_err(|error| invalid(error.to_string()))
            }
        },
    }
}

/// One value in presentation format.
pub(super) fn parse_value(rtype: RecordType, text: &str) -> Result<Rdata, Problem> {
    rdata::parse_value(rtype, text).map_err(|error| Problem::bad_request("invalid_value", error.to_string()))
}

/// 415 unless the request says that its body is JSON: a web page cannot say so without being asked first (CORS).
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = match (types.next(), types.next()) {
        (Some(only), None) => media::essence(only).is_some_and(|essence| essence == "application/json"),
        _ => false,
    };
    if is_json {
        return Ok(());
    }
    Err(media::unsupported("application/json"))
}

fn agree<T: PartialEq + std::fmt::Display>(
    member: &str,
    in_url: Option<T>,
    in_body: Option<T>,
) -> Result<Option<T>, Problem> {
    match (in_url, in_body) {
        (Some(url), Some(body)) if url != body => Err(Problem::bad_request(
            "invalid_body",
            format!("the member `{member}` is {body}, and the URL says {url}"),
        )),
        (url, body) => Ok(url.or(body)),
    }
}

fn parse_order(word: Option<&str>, weights: Option<&[Number]>, values: usize) -> Result<Option<Order>, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid_body", detail);
    let given = weights.unwrap_or_default().iter().map(|number| {
        let weight = number.as_u64().and_then(|weight| u16::try_from(weight).ok());
        weight.ok_or_else(|| invalid(format!("the weight {number} is not a number from 0 to 65535")))
    });
    let given: Box<[u16]> = given.collect::<Result<_, _>>()?;
    let counts = (given.len(), values);
    let order = word.map(|word| {
        let one_of = || {
            invalid(format!(
                "`order` is `{word}`, and not one of {}",
                Order::WORDS.join(", ")
            ))
        };
        Order::from_word(word, given).ok_or_else(one_of)
    });
    let order = order.transpose()?;
    match (&order, weights, counts) {
        (Some(Order::Weighted(_)), _, (weights, values)) if weights != values => Err(invalid(format!(
            "`weights` has {weights} numbers for {values} values: give each value its weight"
        ))),
        (Some(Order::Weighted(_)), ..) | (_, None, _) | (_, Some([]), _) => Ok(order),
        (_, Some(_), _) => Err(invalid("`weights` needs `order`: `weighted`".to_owned())),
    }
}

fn parse_wildcard(word: &str, owner: &Name) -> Result<Wildcard, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid_body", detail);
    if !owner.is_wildcard() {
        return Err(invalid(format!(
            "`wildcard` needs a name that begins with `*.`, and {owner} does not"
        )));
    }
    Wildcard::from_word(word).ok_or_else(|| {
        invalid(format!(
            "`wildcard` is `{word}`, and not one of {}",
            Wildcard::WORDS.join(", ")
        ))
    })
}

fn parse_ttl(number: &Number) -> Result<u32, Problem> {
    let ttl = number.as_u64().and_then(|ttl| u32::try_from(ttl).ok());
    ttl.ok_or_else(|| {
        Problem::bad_request(
            "invalid_ttl",
            format!("the TTL {number} is not a number of seconds from 0 to 2147483647 (RFC 2181 §8)"),
        )
    })
}

/// The whole body, of `limit` octets at most.
pub(super) async fn read(
    state: &ApiState,
    parts: &Parts,
    body: Body,
    limit: usize,
) -> Result<(Vec<u8>, Held), Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("a body has at most {limit} octets"),
        )
    };
    let overloaded = || {
        problem::overloaded(
            state.figures(),
            "the requests of others take the memory for bodies; try again soon",
        )
    };
    let headers = &parts.headers;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
        .or(body.size_hint().exact());
    let expects = headers.contains_key(header::EXPECT);
    if expects && announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let collecting = tokio::time::timeout(PATIENCE, collect(body, &state.0.bodies, limit));
    // While its client sends, the connection has no work in hand.
    let collected = match parts.extensions.get::<Place>() {
        None => collecting.await,
        Some(place) => place.activity.pause(collecting).await.ok_or_else(overloaded)?,
    };
    let collected = collected.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            format!("the body did not arrive within {} seconds", PATIENCE.as_secs()),
        )
    })?;
    match collected {
        Collected::Whole(bytes, held) => Ok((bytes, held)),
        Collected::TooLarge => Err(too_large()),
        Collected::NoRoom => Err(overloaded()),
        Collected::Broken(error) => Err(Problem::bad_request(
            "invalid_body",
            format!("the body cannot be read: {}", causes(&error)),
        )),
    }
}

/// An error with what is behind it: the outermost says the least.
fn causes(error: &axum::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.ends_with(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

/// What a body holds of the room for all.
pub(super) type Held = Option<OwnedSemaphorePermit>;

/// What came of a body.
enum Collected {
    Whole(Vec<u8>, Held),
    TooLarge,
    NoRoom,
    Broken(axum::Error),
}

async fn collect(body: Body, room: &Arc<Semaphore>, limit: usize) -> Collected {
    let mut stream = body.into_data_stream();
    let (mut bytes, mut total) = (Vec::new(), 0);
    let mut held: Held = None;
    while let Some(chunk) = stream.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return Collected::Broken(error),
        };
        total += chunk.len();
        if total > DRAIN_BYTES {
            break;
        }
        if total > limit {
            (bytes, held) = (Vec::new(), None);
            continue;
        }
        if !hold(&mut held, total.div_ceil(UNIT_BYTES), room) {
            return Collected::NoRoom;
        }
        bytes.extend_from_slice(&chunk);
    }
    if total > limit {
        return Collected::TooLarge;
    }
    Collected::Whole(bytes, held)
}

/// Holds `units` in all; false where others hold them.
fn hold(held: &mut Held, units: usize, room: &Arc<Semaphore>) -> bool {
    let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let more = u32::try_from(units.saturating_sub(has)).unwrap_or(u32::MAX);
    let Ok(more) = Arc::clone(room).try_acquire_many_owned(more) else {
        return false;
    };
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    true
}
