//! Who may: the probes and the metrics are open; the rest needs the token or, with none set, a direct connection on
//! loopback that no web page can have made.
//!
//! The token file is read at start-up and again with each reload. A file that cannot be read, is empty, or holds what
//! no `Authorization` header can carry is an error both times; after a failed reload the token before stays valid.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::ApiState;
use super::connection::Place;
use super::problem::{self, Problem};
use crate::files;

/// Paths that everyone may ask for.
const OPEN_PATHS: [&str; 3] = ["/health", "/ready", "/metrics"];

/// The address of this side of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalAddress(pub(super) SocketAddr);

/// A token, known to be usable.
#[derive(Clone)]
pub struct Token(Vec<u8>);

/// The file that holds the bearer token, and the token that is valid now.
pub struct TokenFile {
    path: PathBuf,
    current: ArcSwap<Token>,
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such file, or no permission.
    #[error("http.token_file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// Nothing but white space in it.
    #[error("http.token_file {} is empty; write a token of at least 16 random characters into it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// White space, control characters or non-ASCII in the token.
    #[error("http.token_file {}: a token is one line of visible ASCII characters without spaces", path.display())]
    BadCharacters {
        /// The file.
        path: PathBuf,
    },
}

impl TokenFile {
    /// Reads the token for the first time.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let token = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(token),
        })
    }

    /// The token that is in the file now.
    pub fn read(&self) -> Result<Token, TokenError> {
        read(&self.path)
    }

    /// Makes `token` the valid one.
    pub fn install(&self, token: Token) {
        self.current.store(token.into());
    }

    fn is_valid(&self, token: &[u8]) -> bool {
        self.current.load().0.ct_eq(token).into()
    }
}

fn read(path: &Path) -> Result<Token, TokenError> {
    let path = || path.to_owned();
    let content = files::read(&path(), files::MOST_OF_A_SECRET);
    let content = content.map_err(|error| TokenError::Unreadable { path: path(), error })?;
    let token = content.trim_ascii();
    if token.is_empty() {
        return Err(TokenError::Empty { path: path() });
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err(TokenError::BadCharacters { path: path() });
    }
    Ok(Token(token.to_vec()))
}

/// Lets a request through to its handler, or answers it.
pub(super) async fn check(State(state): State<ApiState>, request: Request, next: Next) -> Response {
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
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// RFC 6750 §2.1; the scheme is compared without regard to case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap, token: &TokenFile) -> Result<(), Problem> {
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
        Some(given) if token.is_valid(given) => Ok(()),
        Some(_) => unauthorized(
            "the token is not the one in `http.token_file`",
            "Bearer realm=\"hotdns\", error=\"invalid_token\"",
        ),
        None => unauthorized("the scheme of `Authorization` is Bearer", "Bearer realm=\"hotdns\""),
    }
}

/// Without a token: this machine's own users, but neither what a proxy passes on nor what a web page makes a browser
/// send (DNS rebinding shows in `Host`).
pub(super) fn direct_and_local(request: &Request) -> Result<(), Problem> {
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
    Ok(())
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
