//! Conditional requests (RFC 9110 §13): `If-Match` and `If-None-Match` with versions as entity tags.
//!
//! ```text
//! If-Match: "7"        the change is made if the RRset is at version 7     else 412 version_conflict
//! If-None-Match: *     the change is made if there is no such RRset        else 412 version_conflict
//! ```
//!
//! A change under a condition is checked by the writer, on top of all changes before it: of two that expect the same
//! version, one is made. Conditions on times are refused: RRsets have none.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;

use super::problem::Problem;
use crate::store::{Condition, Expected, Subject, Terms};

/// The header fields that make a request depend on something that we do not have.
const UNSUPPORTED: [HeaderName; 3] = [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE, header::IF_RANGE];

/// 400 for a call that takes no condition.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    let all = UNSUPPORTED.iter().chain(&[header::IF_MATCH, header::IF_NONE_MATCH]);
    refuse_some(headers, all)
}

fn refuse_some<'a>(headers: &HeaderMap, mut names: impl Iterator<Item = &'a HeaderName>) -> Result<(), Problem> {
    match names.find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(Problem::bad_request(
            "unsupported_precondition",
            format!("this call takes no `{name}` header; nothing was changed, send the request without it"),
        )),
    }
}

/// The conditions of a change of the first edit's subject.
pub(super) fn terms(headers: &HeaderMap, subject: &Subject) -> Result<Terms, Problem> {
    let conditions = conditions(headers)?;
    let expects = conditions.into_iter().map(|condition| Expected {
        edit: 0,
        subject: subject.clone(),
        condition,
    });
    Ok(Terms {
        expects: expects.collect(),
        ..Terms::default()
    })
}

/// What a request expects of its subject.
pub(super) fn conditions(headers: &HeaderMap) -> Result<Vec<Condition>, Problem> {
    refuse_some(headers, UNSUPPORTED.iter())?;
    let mut conditions = Vec::new();
    if headers.contains_key(header::IF_MATCH) {
        conditions.push(match tags(headers, &header::IF_MATCH, Comparison::Strong)? {
            Tags::Any => Condition::Exists,
            Tags::Listed(versions) => Condition::OneOf(versions),
        });
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        conditions.push(match tags(headers, &header::IF_NONE_MATCH, Comparison::Weak)? {
            Tags::Any => Condition::Absent,
            Tags::Listed(versions) => Condition::NoneOf(versions),
        });
    }
    Ok(conditions)
}

/// Whether a client that asks for this version has it already (`If-None-Match`).
pub(super) fn is_known(headers: &HeaderMap, version: u64) -> bool {
    let known = headers.contains_key(header::IF_NONE_MATCH);
    known
        && match tags(headers, &header::IF_NONE_MATCH, Comparison::Weak) {
            Ok(Tags::Any) => true,
            Ok(Tags::Listed(versions)) => versions.contains(&version),
            Err(_) => false,
        }
}

/// Puts the version into an answer as its entity tag.
pub(super) fn tag(response: &mut Response, version: u64) {
    if let Ok(value) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
}

enum Tags {
    Any,
    /// The versions among them: another server's tags are no versions, and match nothing.
    Listed(Vec<u64>),
}

/// RFC 9110 §8.8.3.2: whether weak tags can match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// A list of entity tags, over all fields of that name.
fn tags(headers: &HeaderMap, name: &HeaderName, comparison: Comparison) -> Result<Tags, Problem> {
    let invalid = || {
        Problem::bad_request(
            "invalid_parameter",
            format!("`{name}` is `*`, or a list of entity tags such as \"7\""),
        )
    };
    let mut versions = Vec::new();
    let values = headers.get_all(name).iter();
    let values: Vec<&str> = values
        .map(|value| value.to_str())
        .collect::<Result<_, _>>()
        .map_err(|_| invalid())?;
    if let [only] = values[..]
        && only.trim() == "*"
    {
        return Ok(Tags::Any);
    }
    for item in values.iter().flat_map(|value| value.split(',')).map(str::trim) {
        let (is_weak, quoted) = match item.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, item),
        };
        let opaque = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let opaque = opaque.filter(|opaque| !opaque.contains('"')).ok_or_else(invalid)?;
        let is_canonical = |version: &u64| version.to_string() == opaque;
        if !(is_weak && comparison == Comparison::Strong) {
            versions.extend(opaque.parse().ok().filter(is_canonical));
        }
    }
    Ok(Tags::Listed(versions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn entity_tags_are_versions() {
        for (name, value, expected) in [
            (header::IF_MATCH, "\"7\"", Condition::OneOf(vec![7])),
            (header::IF_MATCH, "\"7\", \"9\"", Condition::OneOf(vec![7, 9])),
            (header::IF_MATCH, "W/\"7\"", Condition::OneOf(vec![])),
            (header::IF_MATCH, "\"07\", \"x\"", Condition::OneOf(vec![])),
            (header::IF_MATCH, " * ", Condition::Exists),
            (header::IF_NONE_MATCH, "*", Condition::Absent),
            (header::IF_NONE_MATCH, "W/\"7\"", Condition::NoneOf(vec![7])),
        ] {
            let found = conditions(&headers(&[(name.clone(), value)])).expect("read");
            assert_eq!(found, [expected], "{name}: {value}");
        }
        assert_eq!(conditions(&HeaderMap::new()).expect("none"), []);
    }

    #[test]
    fn what_is_no_entity_tag_is_refused() {
        for value in ["7", "\"7", "\"7\" \"8\"", "", "*, \"7\""] {
            assert!(conditions(&headers(&[(header::IF_MATCH, value)])).is_err(), "{value}");
        }
        for name in UNSUPPORTED {
            assert!(conditions(&headers(&[(name, "x")])).is_err());
        }
    }

    #[test]
    fn a_client_may_have_the_version_already() {
        let known = headers(&[(header::IF_NONE_MATCH, "\"6\", W/\"7\"")]);
        assert!(is_known(&known, 7) && !is_known(&known, 8));
        assert!(!is_known(&HeaderMap::new(), 7));
    }
}
