//! Conditional changes (RFC 9110 §13): refused, for as long as RRsets have no versions. To make the change whatever the
//! condition says would be worse than to make none.

use axum::http::{HeaderMap, HeaderName, header};

use super::problem::Problem;

/// The header fields that make a change depend on what is there.
const CONDITIONS: [HeaderName; 5] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];

/// 400 for a change under a condition.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    match CONDITIONS.iter().find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(Problem::bad_request(
            "unsupported_precondition",
            format!(
                "changes take no `{name}` header, since RRsets have no versions to compare; nothing was changed, send \
                 the request without it"
            ),
        )),
    }
}
