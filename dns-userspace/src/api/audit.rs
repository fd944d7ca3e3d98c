//! The audit log: a line for each request that changes something or asks to, and for each that was refused.
//!
//! ```text
//! INFO audit: done actor="token:acme" client=192.0.2.7:51234 method=PUT path=/api/v1/records/x. status=200
//! INFO audit: refused actor="token:acme" client=… method=POST path=/api/v1/records status=403 code="forbidden"
//! ```
//!
//! A query is left out, and so are all header fields and bodies but `Location`: no secret comes here.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use tracing::info;

use super::connection::Peer;
use super::problem::ProblemCode;

/// Who has asked, where that is known: the access check puts it into its response.
#[derive(Debug, Clone)]
pub(super) struct Actor(pub(super) Arc<str>);

/// Octets of a path in a line.
const MOST_OF_PATH: usize = 512;

/// Answers a request, and logs what there is to log.
pub(super) async fn log<N, F>(request: Request, next: N) -> Response
where
    N: FnOnce(Request) -> F,
    F: Future<Output = Response>,
{
    let method = request.method().clone();
    let peer = request.extensions().get::<Peer>().copied();
    let path = request.uri().path().to_owned();
    let response = next(request).await;
    let status = response.status();
    let is_refused = matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
    );
    if is_refused || !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
        write(&method, peer, &path, &response);
    }
    response
}

fn write(method: &Method, peer: Option<Peer>, path: &str, response: &Response) {
    let end = path.floor_char_boundary(MOST_OF_PATH);
    let actor = response.extensions().get::<Actor>().map_or("-", |actor| &actor.0);
    let client = peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let (path, status) = (&path[..end], response.status().as_u16());
    let made = response
        .headers()
        .get(header::LOCATION)
        .and_then(|made| made.to_str().ok());
    match response.extensions().get::<ProblemCode>() {
        Some(ProblemCode(code)) => {
            info!(target: "audit", actor, client, %method, path, status, code, "refused");
        }
        None => match made {
            Some(made) => info!(target: "audit", actor, client, %method, path, status, made, "done"),
            None => info!(target: "audit", actor, client, %method, path, status, "done"),
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::{Next, from_fn};
    use axum::response::IntoResponse;
    use axum::routing::any;
    use std::io::Write;
    use std::sync::Mutex;

    use super::super::problem::Problem;
    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn answer(request: Request) -> Response {
        let mut response = match request.uri().path() {
            "/refused" => Problem::forbidden("no").into_response(),
            "/made" => (StatusCode::CREATED, [(header::LOCATION, "/made/1")]).into_response(),
            _ => StatusCode::OK.into_response(),
        };
        response.extensions_mut().insert(Actor("token:ci".into()));
        response
    }

    #[tokio::test]
    async fn changes_and_refusals_have_a_line_and_no_secret() {
        use hyper::service::Service;
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let logged = async |request, next: Next| log(request, |request| next.run(request)).await;
        let router = Router::new().fallback(any(answer)).layer(from_fn(logged));
        let service = hyper_util::service::TowerToHyperService::new(router);
        for (method, target) in [
            ("GET", "/read"),
            ("GET", "/refused?secret=x"),
            ("POST", "/made"),
            ("DELETE", "/records/a.?value=s3cret"),
        ] {
            let request = Request::builder().method(method).uri(target);
            let request = request.header("authorization", "Bearer s3cret").body(Body::empty());
            service.call(request.expect("a request")).await.expect("answered");
        }
        let text = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        for part in [
            "audit: refused",
            "actor=\"token:ci\"",
            "method=GET",
            "path=\"/refused\"",
            "code=\"forbidden\"",
        ] {
            assert!(lines[0].contains(part), "{part}: {text}");
        }
        assert!(
            lines[1].contains("audit: done") && lines[1].contains("made=\"/made/1\""),
            "{text}"
        );
        assert!(
            lines[2].contains("method=DELETE") && lines[2].contains("status=200"),
            "{text}"
        );
        assert!(!text.contains("s3cret") && !text.contains("secret=x"), "{text}");
    }
}
