mod access;
mod authentication;
pub(super) mod client;
mod doors;
mod history;
mod limits;
mod names;
mod protocol;
mod reading;
mod starting;
mod tokens;
mod versions;
mod writing;
mod zones;

/// The handler of `/api/v1/panic`.
pub(super) async fn panics() -> axum::response::Response {
    panic!("as the test asks")
}
