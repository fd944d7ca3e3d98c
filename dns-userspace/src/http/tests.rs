mod access;
mod client;
mod protocol;
mod reading;
mod writing;

/// The handler of `/api/v1/panic`.
pub(super) async fn panics() -> axum::response::Response {
    panic!("as the test asks")
}
