//! Who may: the probes and the metrics are open; the rest needs the token or, with none set, a direct connection on
//! loopback that no web page can have made.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::Extensions;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::audit::Actor;
use super::body::require_json;
use super::connection::{Peer, Place};
use super::problem::{self, Problem};
use super::{ApiState, authentication};
use crate::model::name::{Name, NameKey};
use crate::principal::Principal;

/// Paths that everyone may ask for: the probes, a page that shows nothing without the document, and what a cluster's
/// API server asks.
const OPEN_PATHS: [&str; 13] = [
    "/health",
    "/healthz",
    "/ready",
    "/readyz",
    "/metrics",
    "/docs",
    "/docs/page.js",
    "/docs/page.css",
    "/ui",
    "/ui/",
    "/ui/page.js",
    "/ui/page.css",
    "/kubernetes/validate",
];

/// Lets a request through to its handler, or answers it.
pub(super) async fn check<N, F>(state: &ApiState, request: Request, next: N) -> Response
where
    N: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    if OPEN_PATHS.contains(&request.uri().path()) {
        return next(request).await;
    }
    if request.extensions().get::<Place>().is_some_and(|place| place.is_spare) {
        return problem::overloaded(
            state.figures(),
            "all other connections have work in hand; try again soon",
        )
        .header(header::CONNECTION, "close")
        .into_response();
    }
    let (parts, body) = request.into_parts();
    let principal = match who(state, &parts).await {
        Ok(principal) => principal,
        Err(problem) => return problem.into_response(),
    };
    let mut request = Request::from_parts(parts, body);
    let actor = Actor(Arc::clone(principal.name()));
    let mut response = match may_ask(state, &principal, &request) {
        Ok(()) => {
            request.extensions_mut().insert(principal);
            next(request).await
        }
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert(actor);
    response
}

/// Who asks.
async fn who(state: &ApiState, request: &Parts) -> Result<Principal, Problem> {
    let credentials = &*state.credentials();
    if let Some(Peer::Socket { user, .. }) = request.extensions.get::<Peer>() {
        let shows_nothing = !request.headers.contains_key(header::AUTHORIZATION);
        let is_trusted = *user == 0 || *user == nix::unistd::geteuid().as_raw();
        if is_trusted && (shows_nothing || !credentials.are_needed()) {
            return Ok(Principal::local());
        }
        if !credentials.are_needed() {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "api_disabled",
                "without tokens this socket is for root and for the user that hotdns runs as",
            ));
        }
    }
    match credentials.are_needed() {
        true => authentication::authenticate(state, request).await,
        false => direct_and_local(request),
    }
}

/// What can be said of a request before its handler reads it.
fn may_ask(state: &ApiState, principal: &Principal, request: &Request) -> Result<(), Problem> {
    state.0.rates.load().request(principal)?;
    if principal.scope().has_method(request.method().as_str()) {
        return Ok(());
    }
    let (name, method) = (principal.name(), request.method());
    let scope = principal.scope();
    Err(Problem::forbidden(format!(
        "{name} may not send {method}: its scope is {scope}"
    )))
}

/// 415 for a call without a body that lacks `Content-Type: application/json`, where nothing else keeps a web page from
/// making it: no credential is needed, and it did not come over the local socket.
pub(super) fn refuse_pages(state: &ApiState, peer: Option<&Peer>, headers: &HeaderMap) -> Result<(), Problem> {
    let is_local = matches!(peer, Some(Peer::Socket { .. }));
    match is_local || state.credentials().are_needed() {
        true => Ok(()),
        false => require_json(headers),
    }
}

/// 403 for those whose scope leaves out some records; `what` concerns all of the server.
pub(super) fn require_unlimited(principal: &Principal, what: &str) -> Result<(), Problem> {
    if principal.is_unlimited() {
        return Ok(());
    }
    let (name, scope) = (principal.name(), principal.scope());
    Err(Problem::forbidden(format!(
        "{what} is for those who may change all records, and the scope of {name} is {scope}"
    )))
}

/// 403 where the one who asks may not read this zone of the default.
pub(super) fn may_read_zone(extensions: &Extensions, apex: &Name) -> Result<(), Problem> {
    readable(of(extensions)?, None, Some(apex)).map(|_| ())
}

/// 403 for those who may not change all of this zone.
pub(super) fn require_zone(extensions: &Extensions, apex: &Name) -> Result<(), Problem> {
    let principal = of(extensions)?;
    let scope = principal.scope();
    if scope.may_change(apex, None) && scope.names.is_empty() && scope.has_view(None) {
        return Ok(());
    }
    let name = principal.name();
    Err(Problem::forbidden(format!(
        "{name} may not change all of {apex}: its scope is {scope}"
    )))
}

/// Who asks, as the access check has found.
pub(super) fn of(extensions: &Extensions) -> Result<&Principal, Problem> {
    let principal = extensions.get::<Principal>();
    principal.ok_or_else(|| Problem::internal("a request came past the access check"))
}

/// The names of this view below which the principal may read, none being all; 403 where it may not read `name`, or
/// nothing of the view.
pub(super) fn readable(
    principal: &Principal,
    view: Option<&str>,
    name: Option<&Name>,
) -> Result<Vec<NameKey>, Problem> {
    let scope = principal.scope();
    let is_readable = scope.has_view(view) && name.is_none_or(|name| scope.may_read(name));
    if !is_readable {
        let what = name.map_or_else(|| "this view".to_owned(), Name::to_string);
        let name = principal.name();
        return Err(Problem::forbidden(format!(
            "{name} may not read {what}: its scope is {scope}"
        )));
    }
    Ok(scope.zones.iter().map(Name::key).collect())
}

/// Without a token: this machine's own users, but neither what a proxy passes on nor what a web page makes a browser
/// send (DNS rebinding shows in `Host`).
pub(super) fn direct_and_local(request: &Parts) -> Result<Principal, Problem> {
    let disabled = |detail| Err(Problem::new(StatusCode::FORBIDDEN, "api_disabled", detail));
    let peer = request.extensions.get::<Peer>();
    let Some(Peer::Network { local, .. }) = peer else {
        return disabled("without `http.token_file` the API answers on loopback only");
    };
    if !local.ip().to_canonical().is_loopback() {
        return disabled("without `http.token_file` the API answers on loopback only");
    }
    let is_forwarded = |name: &str| name == "forwarded" || name.starts_with("x-forwarded-");
    if request.headers.keys().any(|name| is_forwarded(name.as_str())) {
        return disabled("without `http.token_file` the API does not answer through a proxy");
    }
    if !is_for_loopback(&request.uri, &request.headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "invalid_host",
            "without `http.token_file` the header `Host` must be localhost or a loopback address",
        ));
    }
    Ok(Principal::local())
}

fn is_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    // RFC 9112 §3.2.2: of a request in absolute form, the target's authority counts.
    host.is_some_and(|host| is_loopback_authority(&host)) && uri.authority().is_none_or(is_loopback_authority)
}

fn is_loopback_authority(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback());
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
