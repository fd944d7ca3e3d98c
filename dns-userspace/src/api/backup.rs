//! `GET /api/v1/backup`: a copy of the database as it is now.

use std::io;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use hyper::body::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::parameters::Parameters;
use super::pieces::PIECE_BYTES;
use super::problem::Problem;
use super::{ApiState, access, preconditions};

/// A copy of the database as it is now; needs a scope without limits on records.
#[utoipa::path(
    get, path = "/api/v1/backup", operation_id = "backup", tag = "server",
    responses((status = 200, description = "A database of SQLite", body = Vec<u8>,
        content_type = "application/vnd.sqlite3"))
)]
pub(super) async fn backup(State(state): State<ApiState>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    preconditions::refuse(&parts.headers)?;
    Parameters::read(&parts.uri, &[])?;
    access::require_unlimited(access::of(&parts.extensions)?, "a backup")?;
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
