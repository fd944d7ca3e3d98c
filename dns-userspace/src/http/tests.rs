pub(super) async fn panics() -> axum::response::Response {
    panic!("as the test asks")
}
