//! `GET /docs`: a page that shows the OpenAPI document. It comes with the program: nothing is loaded from elsewhere.
//!
//! The page is open to all, since it has no data; the document that it loads needs what the API needs. Where that is a
//! token, the page asks for it and keeps it for as long as it is open.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// What a page may load: its own parts, and what the API says.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'",
);

/// A part of a page.
pub(super) fn part(content_type: &'static str, text: &'static str) -> Response {
    let mut response = ([(header::CONTENT_TYPE, content_type)], text).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

/// A page that shows this document.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "server", security(()),
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(super) async fn page() -> Response {
    part("text/html; charset=utf-8", include_str!("docs/page.html"))
}

/// The script of the page.
#[utoipa::path(
    get, path = "/docs/page.js", operation_id = "docsScript", tag = "server", security(()),
    responses((status = 200, description = "The script", body = String, content_type = "text/javascript"))
)]
pub(super) async fn script() -> Response {
    part("text/javascript; charset=utf-8", include_str!("docs/page.js"))
}

/// The style of the page.
#[utoipa::path(
    get, path = "/docs/page.css", operation_id = "docsStyle", tag = "server", security(()),
    responses((status = 200, description = "The style", body = String, content_type = "text/css"))
)]
pub(super) async fn style() -> Response {
    part("text/css; charset=utf-8", include_str!("docs/page.css"))
}
