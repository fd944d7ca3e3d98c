//! `GET /ui/`: a page to look at records, sources and targets, to change records, and to follow what changes.
//!
//! Like the page of `/docs` it comes with the program, loads nothing from elsewhere and has no data of its own: its
//! script asks the API, with the token that a person gives it. What the token may not do, the page cannot do either.

use axum::response::{IntoResponse, Redirect, Response};

use super::docs::part;

/// A page that shows and changes records.
#[utoipa::path(
    get, path = "/ui/", operation_id = "ui", tag = "server", security(()),
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(super) async fn page() -> Response {
    part("text/html; charset=utf-8", include_str!("ui/page.html"))
}

/// The same without the final slash.
#[utoipa::path(
    get, path = "/ui", operation_id = "uiRedirect", tag = "server", security(()),
    responses((status = 308, description = "`/ui/` is the page"))
)]
pub(super) async fn redirect() -> Response {
    Redirect::permanent("/ui/").into_response()
}

/// The script of the page.
#[utoipa::path(
    get, path = "/ui/page.js", operation_id = "uiScript", tag = "server", security(()),
    responses((status = 200, description = "The script", body = String, content_type = "text/javascript"))
)]
pub(super) async fn script() -> Response {
    part("text/javascript; charset=utf-8", include_str!("ui/page.js"))
}

/// The style of the page.
#[utoipa::path(
    get, path = "/ui/page.css", operation_id = "uiStyle", tag = "server", security(()),
    responses((status = 200, description = "The style", body = String, content_type = "text/css"))
)]
pub(super) async fn style() -> Response {
    part("text/css; charset=utf-8", include_str!("ui/page.css"))
}
