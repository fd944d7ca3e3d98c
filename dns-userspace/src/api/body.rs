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
use serde::de::IgnoredAny;
use serde_json::Number;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ApiState;
use super::connection::Place;
use super::parameters::{find_view, parse_name, parse_type};
use super::problem::{self, Problem};
use crate::model::name::Name;
use crate::model::rdata;
use crate::model::record::{Order, Rdata, RecordType, Wildcard};
use crate::model::views::ViewName;
use crate::store::{Subject, Wanted};

/// The largest body that is read.
pub(super) const LIMIT_BYTES: usize = 1 << 20;
/// What is read and thrown away of a larger body, so that its sender gets to see the answer.
const DRAIN_BYTES: usize = 16 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What bodies are counted in, in octets.
const UNIT_BYTES: usize = 1024;
/// Units of all bodies that are held at a time.
pub(super) const MOST_UNITS: usize = (32 << 20) / UNIT_BYTES;

/// An RRset as clients write it: with all members that answers have, so that an answer can be sent back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RrsetBody {
    view: Option<String>,
    name: Option<String>,
    r#type: Option<String>,
    ttl: Option<Number>,
    value: Values,
    order: Option<String>,
    weights: Option<Vec<Number>>,
    wildcard: Option<String>,
    /// In answers only: who may change what is not for a request to say.
    #[serde(rename = "source")]
    _source: Option<IgnoredAny>,
    #[serde(rename = "object")]
    _object: Option<IgnoredAny>,
    /// In answers only: `If-Match` says what a change expects.
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
}

/// One value, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`value` must be a string or a list of strings")]
enum Values {
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
    require_json(&parts.headers)?;
    let (bytes, held) = read(state, parts, body).await?;
    let invalid = |detail: String| Problem::bad_request("invalid_body", detail);
    let body = parse(&bytes)?;
    let missing = |member: &str| invalid(format!("the member `{member}` is missing"));
    let given_name = body.name.as_deref().map(parse_name).transpose()?;
    let given_type = body.r#type.as_deref().map(parse_type).transpose()?;
    let snapshot = state.served()?;
    let given_view = body.view.as_deref().map(|name| find_view(&snapshot, name));
    let given_view = given_view.transpose();
    let given_view = given_view.map_err(|detail| Problem::bad_request("invalid_value", detail))?;
    let view = agree("view", view, given_view)?;
    let owner = agree("name", name, given_name)?.ok_or_else(|| missing("name"))?;
    let rtype = agree("type", rtype, given_type)?.ok_or_else(|| missing("type"))?;
    let ttl = body.ttl.as_ref().map(parse_ttl).transpose()?;
    let values = match body.value {
        Values::One(value) => vec![value],
        Values::Many(values) => values,
    };
    if values.is_empty() {
        return Err(Problem::bad_request(
            "invalid_value",
            "`value` needs one value at least; use DELETE to remove an RRset",
        ));
    }
    let order = parse_order(body.order.as_deref(), body.weights.as_deref(), values.len())?;
    let wildcard = body.wildcard.map(|word| parse_wildcard(&word, &owner)).transpose()?;
    let rdatas = values
        .iter()
        .map(|value| parse_value(rtype, value))
        .collect::<Result<_, _>>()?;
    Ok(RequestedRrset {
        view,
        owner,
        rtype,
        wanted: Wanted { ttl, order, wildcard },
        rdatas,
        _held: held,
    })
}

/// The one object that the body is.
fn parse(bytes: &[u8]) -> Result<RrsetBody, Problem> {
    let invalid = |detail: String| Problem::bad_request("invalid_body", detail);
    let rest = bytes.trim_ascii_start();
    match rest.first() {
        None => Err(invalid("the body is empty; write an object with the RRset".to_owned())),
        // As a list of members in order it would be taken too.
        Some(b'[') => Err(invalid(
            "the body is a list; write one object with one RRset, and a request for each".to_owned(),
        )),
        Some(_) => serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string())),
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
        (Some(only), None) => only.to_str().is_ok_and(|text| {
            let essence = text.split(';').next().unwrap_or_default();
            essence.trim().eq_ignore_ascii_case("application/json")
        }),
        _ => false,
    };
    if is_json {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "send the header `Content-Type: application/json`",
    )
    .header(header::ACCEPT, "application/json"))
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

async fn read(state: &ApiState, parts: &Parts, body: Body) -> Result<(Vec<u8>, Held), Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("a body has at most {LIMIT_BYTES} octets"),
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
    if expects && announced.is_some_and(|length| length > LIMIT_BYTES as u64) {
        return Err(too_large());
    }
    let collecting = tokio::time::timeout(PATIENCE, collect(body, &state.0.bodies));
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
type Held = Option<OwnedSemaphorePermit>;

/// What came of a body.
enum Collected {
    Whole(Vec<u8>, Held),
    TooLarge,
    NoRoom,
    Broken(axum::Error),
}

async fn collect(body: Body, room: &Arc<Semaphore>) -> Collected {
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
        if total > LIMIT_BYTES {
            (bytes, held) = (Vec::new(), None);
            continue;
        }
        if !hold(&mut held, total.div_ceil(UNIT_BYTES), room) {
            return Collected::NoRoom;
        }
        bytes.extend_from_slice(&chunk);
    }
    if total > LIMIT_BYTES {
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
