//! Who may: the probes and the metrics are open; the rest needs the token or, with none set, a direct connection on
//! loopback that no web page can have made.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::ApiState;
use super::connection::Place;
use super::problem::{self, Problem};
use crate::principal::{Principal, TokenFile};

/// Paths that everyone may ask for.
const OPEN_PATHS: [&str; 5] = ["/health", "/healthz", "/ready", "/readyz", "/metrics"];

/// The address of this side of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalAddress(pub(super) SocketAddr);

/// Lets a request through to its handler, or answers it.
pub(super) async fn check(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    if OPEN_PATHS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    if request.extensions().get::<Place>().is_some_and(|place| place.is_spare) {
        return problem::overloaded(
            state.figures(),
            "all other connections have work in hand; try again soon",
        )
        .header(header::CONNECTION, "close")
        .into_response();
    }
    let allowed = match &state.0.token {
        Some(token) => bearer(request.headers(), token),
        None => direct_and_local(&request),
    };
    match allowed {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// RFC 6750 §2.1; the scheme is compared without regard to case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap, token: &TokenFile) -> Result<Principal, Problem> {
    let unauthorized = |detail, challenge| {
        Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).header(header::WWW_AUTHENTICATE, challenge))
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return unauthorized(
            "send the header `Authorization: Bearer TOKEN`, once",
            "Bearer realm=\"hotdns\"",
        );
    };
    let value = value.as_bytes();
    let given = value
        .split_at_checked(7)
        .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii()));
    match given {
        Some(given) if token.is_valid(given) => Ok(Principal::token("http.token_file")),
        Some(_) => unauthorized(
            "the token is not the one in `http.token_file`",
            "Bearer realm=\"hotdns\", error=\"invalid_token\"",
        ),
        None => unauthorized("the scheme of `Authorization` is Bearer", "Bearer realm=\"hotdns\""),
    }
}

/// Without a token: this machine's own users, but neither what a proxy passes on nor what a web page makes a browser
/// send (DNS rebinding shows in `Host`).
pub(super) fn direct_and_local(request: &Request) -> Result<Principal, Problem> {
    let disabled = |detail| Err(Problem::new(StatusCode::FORBIDDEN, "api_disabled", detail));
    let local = request.extensions().get::<LocalAddress>();
    if !local.is_some_and(|local| local.0.ip().to_canonical().is_loopback()) {
        return disabled("without `http.token_file` the API answers on loopback only");
    }
    let is_forwarded = |name: &str| name == "forwarded" || name.starts_with("x-forwarded-");
    if request.headers().keys().any(|name| is_forwarded(name.as_str())) {
        return disabled("without `http.token_file` the API does not answer through a proxy");
    }
    if !is_for_loopback(request.uri(), request.headers()) {
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
