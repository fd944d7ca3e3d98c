//! Errors as RFC 9457 problems: `application/problem+json` with the members `type`, `title`, `status`, `detail` and
//! `code`; the last is what programs should look at.

use std::any::Any;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::control::ControlError;
use crate::model::record::Clash;
use crate::model::source::Origin;
use crate::observe::figures::HttpFigures;
use crate::store::{Refusal, Refused};

/// The media type of every error.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";
/// When a client may try again that found the database locked, the disk full, or the server starting or overloaded.
const RETRY_AFTER_SECS: &str = "1";

/// The `code` of the problem that a response is, for the audit log.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProblemCode(pub(super) &'static str);

/// One error, on its way to the client.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Changes, or all of the API, have to wait for the database.
    pub(super) fn storage_locked(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage_locked", detail)
            .header(header::RETRY_AFTER, RETRY_AFTER_SECS)
    }

    /// Changes have to wait for etcd.
    pub(super) fn storage_unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage_unavailable", detail)
            .header(header::RETRY_AFTER, RETRY_AFTER_SECS)
    }

    pub(super) fn internal(detail: &str) -> Self {
        tracing::error!("HTTP: {detail}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    pub(super) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// What programs look at.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// Where in the body the fault is (RFC 6901), in front of what was said of that before.
    pub(super) fn at(self, pointer: String) -> Self {
        let rest = self.members.get("pointer").and_then(Value::as_str).unwrap_or_default();
        let pointer = format!("{pointer}{rest}");
        self.member("pointer", pointer)
    }

    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// When the client may try again.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
        self
    }

    /// What the scope of the one who asks does not have.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The body alone.
    pub(super) fn body(&self) -> String {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Some(body) = body.as_object_mut() {
            body.extend(self.members.clone());
        }
        body.to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.extend(self.headers);
        response.extensions_mut().insert(ProblemCode(self.code));
        response
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let detail = error.to_string();
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, detail.clone());
        match error {
            ControlError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            ControlError::Refused(Refused { refusal, .. }) => refusal.into(),
            ControlError::Exists { .. } => conflict("exists"),
            ControlError::StorageLocked(_) | ControlError::NotReady(_) => Self::storage_locked(detail),
            ControlError::StorageUnavailable(_) | ControlError::Overtaken => Self::storage_unavailable(detail),
            ControlError::OutcomeUnknown(_) => Self::storage_unavailable(detail).member("outcome", "unknown"),
            ControlError::TooLarge(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "change_too_large", detail),
            ControlError::ReloadFailed(errors) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "reload_failed", detail).member("errors", errors)
            }
            ControlError::Internal(_) | ControlError::Stopped => Self::internal(&detail),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, detail.clone());
        match refusal {
            Refusal::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            Refusal::OrderConflict { .. } => conflict("order_conflict"),
            Refusal::WildcardConflict { .. } => conflict("wildcard_conflict"),
            Refusal::TtlConflict { held, .. } => conflict("ttl_conflict").member("ttl", held),
            Refusal::SingletonConflict { .. } => conflict("singleton_conflict"),
            Refusal::Clash { clash, .. } => conflict(match clash {
                Clash::Cname => "cname_conflict",
                Clash::Alias => "alias_conflict",
            }),
            Refusal::OwnedBy { origin, .. } => owned_by(conflict, &origin),
            Refusal::TooManyRemoved(removed) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "deletion_guard", detail)
                .member("removed", removed.removed)
                .member("records", removed.records)
                .member("max_delete_ratio", removed.max_delete_ratio),
            Refusal::Locked { note, .. } => conflict("locked").member("note", note.as_deref()),
            Refusal::ZoneExists(_) => conflict("exists"),
            Refusal::ZoneOwnedBy { origin, .. } => owned_by(conflict, &origin),
            Refusal::OutOfZone { .. } | Refusal::NoSoa(_) => Self::bad_request("invalid_value", detail),
            Refusal::VersionConflict { held, .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "version_conflict", detail).member("version", held)
            }
            Refusal::InvalidTtl { .. } => Self::bad_request("invalid_ttl", detail),
            Refusal::ZoneFileBroken { .. } => conflict("zone_file_broken"),
            Refusal::ZoneFileChanged { file, .. } => conflict("zone_file_changed").member("file", file),
            Refusal::ZoneFileFixed { file, .. } => conflict("zone_file_fixed").member("file", file),
            Refusal::NotInZoneFile { .. } => conflict("not_in_zone_file"),
            Refusal::OneZoneFile(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "one_zone_file", detail),
            Refusal::SoaInView => Self::bad_request("invalid_type", detail),
            Refusal::UnknownView(_) => Self::bad_request("invalid_parameter", detail),
            Refusal::TooLarge { .. } => Self::bad_request("invalid_value", detail),
            Refusal::TooManyTypes { .. } => conflict("too_many_types"),
        }
    }
}

fn owned_by(conflict: impl FnOnce(&'static str) -> Problem, origin: &Origin) -> Problem {
    match origin.label() {
        "zone_file" | "config" => conflict("managed_by_file").member("file", origin.to_string()),
        _ => conflict("owned_by").member("source", origin.to_string()),
    }
}

/// While the server is not ready, with the reason.
pub(super) fn not_ready(reason: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reason).header(header::RETRY_AFTER, RETRY_AFTER_SECS)
}

/// Where others take what the request needs.
pub(super) fn overloaded(figures: &HttpFigures, detail: &str) -> Problem {
    figures.overloaded.fetch_add(1, Ordering::Relaxed);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).header(header::RETRY_AFTER, RETRY_AFTER_SECS)
}

/// For paths that are no call's.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is nothing at {}", uri.path()),
    )
}

/// For methods that a path does not have; the router adds `Allow`.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is no method of {}; `Allow` lists those that are", uri.path()),
    )
}

/// For a handler that panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!("a request handler panicked: {text}");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the request failed for a fault of the server; its log says more",
    )
    .into_response()
}
