//! `GET /api/v1/backup`: a copy of the database as it is now.

use std::io;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use hyper::body::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use utoipa::ToSchema;

use super::openapi::ProblemBody;
use super::parameters::Parameters;
use super::pieces::PIECE_BYTES;
use super::problem::Problem;
use super::{ApiState, access, preconditions};
use crate::principal::Principal;

/// The octets of a database.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(super) struct Database(#[expect(dead_code, reason = "it only describes an answer")] Vec<u8>);

/// A copy of the database as it is now. It has all records: only a scope that limits none of them may have it.
#[utoipa::path(
    get, path = "/api/v1/backup", operation_id = "backup", tag = "server",
    responses(
        (status = 200, description = "The database (SQLite)", body = Database,
            content_type = "application/vnd.sqlite3"),
        (status = 503, description = "`storage_locked`", body = ProblemBody,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn backup(
    State(state): State<ApiState>,
    Extension(asker): Extension<Principal>,
    request: Request,
) -> Result<Response, Problem> {
    access::require_unlimited(&asker, "a copy of the database")?;
    preconditions::refuse(request.headers())?;
    Parameters::read(request.uri(), &[])?;
    state.served()?;
    let path = state.serving()?.control.backup(None).await?;
    let opened = File::open(&path).await;
    // It is read through the open file; no name is left behind, whatever becomes of the client.
    let removed = tokio::fs::remove_file(&path).await;
    let internal = |error: io::Error| Problem::internal(&format!("{}: {error}", path.display()));
    let file = opened.map_err(internal)?;
    removed.map_err(internal)?;
    let octets = file.metadata().await.map_err(internal)?.len();
    let body = Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(piece), file)))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.sqlite3"),
    );
    headers.insert(header::CONTENT_LENGTH, octets.into());
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"hotdns-backup.db\""),
    );
    Ok(response)
}
