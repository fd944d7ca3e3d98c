//! Who a request is from, by what it shows: a bearer token, a user with a password, or what a proxy says.
//!
//! ```text
//! from a proxy of `http.auth.header`, with its field ─► whom it names
//! Authorization: Bearer ─► `http.token_file`, `http.tokens_file`, a JSON web token
//! Authorization: Basic  ─► `http.auth.basic_file`
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};

use super::ApiState;
use super::connection::Peer;
use super::problem::{self, Problem};
use crate::principal::{Credentials, PasswordFile, Principal, TrustedHeader};

/// The longest name that a proxy or a client gives a user.
const MOST_OF_USER: usize = 256;
/// The clients of the local socket, as one.
const LOCAL_CLIENTS: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

/// Who asks; 401 where that is not shown.
pub(super) async fn authenticate(state: &ApiState, request: &Parts) -> Result<Principal, Problem> {
    let credentials = &*state.credentials();
    let headers = &request.headers;
    let client = match request.extensions.get::<Peer>() {
        Some(Peer::Network { remote, .. }) => Some(remote.ip()),
        _ => None,
    };
    if let (Some(trusted), Some(client)) = (&credentials.header, client)
        && trusted.is_from(client)
        && let Some(principal) = named_by_proxy(trusted, headers)?
    {
        same_origin(&request.method, headers, &request.uri)?;
        return Ok(principal);
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(unauthorized(credentials, "send one header `Authorization`", false));
    };
    let value = value.as_bytes();
    let space = value.iter().position(|octet| *octet == b' ');
    let (scheme, given) = value.split_at(space.unwrap_or(value.len()));
    let given = given.trim_ascii();
    // RFC 9110 §11.1: the scheme is compared without regard to case.
    if scheme.eq_ignore_ascii_case(b"bearer") && space.is_some() && credentials.have_bearers() {
        return bearer(credentials, given).await;
    }
    if scheme.eq_ignore_ascii_case(b"basic")
        && let Some(passwords) = &credentials.passwords
    {
        let principal = basic(state, passwords, given, client.unwrap_or(LOCAL_CLIENTS)).await?;
        same_origin(&request.method, headers, &request.uri)?;
        return Ok(principal);
    }
    Err(unauthorized(
        credentials,
        "the scheme of `Authorization` is not one that is configured",
        false,
    ))
}

/// RFC 6750 §2.1.
async fn bearer(credentials: &Credentials, given: &[u8]) -> Result<Principal, Problem> {
    if credentials.token.as_ref().is_some_and(|token| token.is_valid(given)) {
        return Ok(Principal::token("http.token_file"));
    }
    if let Some(holder) = credentials.tokens.as_ref().and_then(|tokens| tokens.holder(given)) {
        return Ok(holder);
    }
    let is_jwt = given.iter().filter(|octet| **octet == b'.').count() == 2;
    match &credentials.jwt {
        Some(jwt) if is_jwt => {
            let holder = jwt.holder(given).await;
            holder.map_err(|error| unauthorized(credentials, &error, true))
        }
        _ => Err(unauthorized(
            credentials,
            "there is no such token, or it has ended",
            true,
        )),
    }
}

/// RFC 7617.
async fn basic(
    state: &ApiState,
    passwords: &Arc<PasswordFile>,
    given: &[u8],
    client: IpAddr,
) -> Result<Principal, Problem> {
    let credentials = &*state.credentials();
    let wrong = || unauthorized(credentials, "there is no such user, or the password is another", true);
    let decoded = data_encoding::BASE64.decode(given).map_err(|_| wrong())?;
    let colon = decoded.iter().position(|octet| *octet == b':').ok_or_else(wrong)?;
    let (user, password) = (decoded[..colon].to_vec(), decoded[colon + 1..].to_vec());
    let user = String::from_utf8(user)
        .ok()
        .filter(|user| is_user(user))
        .ok_or_else(wrong)?;
    let principal = Principal::token(&format!("basic:{user}"));
    if passwords.is_known(&user, &password) {
        return Ok(principal);
    }
    state.0.rates.load().password(client)?;
    // A check takes a processor long: few at a time, so that answers go on.
    let Ok(_turn) = Arc::clone(&state.0.checks).acquire_owned().await else {
        return Err(problem::overloaded(state.figures(), "no password can be checked"));
    };
    let passwords = Arc::clone(passwords);
    let check = tokio::task::spawn_blocking(move || passwords.check(&user, &password)).await;
    match check {
        Ok(true) => Ok(principal),
        Ok(false) => Err(wrong()),
        Err(error) => Err(Problem::internal(&error.to_string())),
    }
}

/// Whom a proxy names; `None` where it names nobody.
fn named_by_proxy(trusted: &TrustedHeader, headers: &HeaderMap) -> Result<Option<Principal>, Problem> {
    let mut values = headers.get_all(&*trusted.name).iter();
    let (Some(value), rest) = (values.next(), values.next()) else {
        return Ok(None);
    };
    let user = value.to_str().ok().filter(|user| rest.is_none() && is_user(user));
    let user = user.ok_or_else(|| {
        let detail = format!("the header `{}` does not name one user", trusted.name);
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    })?;
    Ok(Some(Principal::token(&format!("proxy:{user}"))))
}

fn is_user(user: &str) -> bool {
    !user.is_empty() && user.len() <= MOST_OF_USER && !user.chars().any(char::is_control)
}

/// 403 where another site's page makes a browser change something: it adds a password, and a proxy a name, to whatever
/// page asks. Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`.
fn same_origin(method: &Method, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_own = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = text("host").or(uri.authority().map(axum::http::uri::Authority::as_str));
            let of_origin = origin.split_once("://").map(|(_, host)| host);
            of_origin.is_some() && of_origin == host
        }
        (None, None) => true,
    };
    if is_own {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "cross_origin",
        "the request comes from a page of another site; nothing was changed",
    ))
}

/// 401 with a challenge for each kind of credential.
fn unauthorized(credentials: &Credentials, detail: &str, is_wrong: bool) -> Problem {
    let mut problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
    if credentials.have_bearers() {
        let challenge = match is_wrong {
            true => "Bearer realm=\"hotdns\", error=\"invalid_token\"",
            false => "Bearer realm=\"hotdns\"",
        };
        problem = problem.header(header::WWW_AUTHENTICATE, challenge);
    }
    if credentials.passwords.is_some() {
        problem = problem.header(header::WWW_AUTHENTICATE, "Basic realm=\"hotdns\", charset=\"UTF-8\"");
    }
    problem
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let check = |method: Method, fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter();
            let headers: HeaderMap = fields
                .map(|(name, value)| {
                    (
                        axum::http::HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            same_origin(&method, &headers, &Uri::from_static("/")).is_ok()
        };
        assert!(check(Method::POST, &[]));
        assert!(check(
            Method::POST,
            &[("sec-fetch-site", "same-origin"), ("origin", "http://x")]
        ));
        assert!(!check(Method::POST, &[("sec-fetch-site", "cross-site")]));
        assert!(!check(Method::DELETE, &[("sec-fetch-site", "same-site")]));
        assert!(check(
            Method::PUT,
            &[("origin", "https://dns.example"), ("host", "dns.example")]
        ));
        assert!(!check(
            Method::PUT,
            &[("origin", "https://evil.example"), ("host", "dns.example")]
        ));
        assert!(!check(Method::PUT, &[("origin", "null"), ("host", "dns.example")]));
        assert!(check(
            Method::GET,
            &[("origin", "https://evil.example"), ("host", "dns.example")]
        ));
    }
}
