//! A server for tests that gives recorded replies, and waits as registries do.
//!
//! A reply with an index is kept back while the client already has that index (`?index=…`), until another one is set.
//! An endless reply is one of lines, which are sent to all who ask for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use futures_util::stream;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

/// One reply.
#[derive(Debug, Clone, Default)]
pub(in crate::source) struct Reply {
    pub(in crate::source) status: u16,
    pub(in crate::source) headers: Vec<(String, String)>,
    pub(in crate::source) body: String,
    /// Whether the lines of the player follow.
    pub(in crate::source) is_endless: bool,
}

/// The replies by path, without the query.
type Replies = BTreeMap<String, Reply>;

/// A server with replies that tests set.
pub(in crate::source) struct Player {
    pub(in crate::source) url: String,
    replies: watch::Sender<Replies>,
    lines: broadcast::Sender<String>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(in crate::source) struct Asked {
    pub(in crate::source) method: String,
    pub(in crate::source) path: String,
    pub(in crate::source) body: String,
    pub(in crate::source) headers: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Served {
    replies: watch::Receiver<Replies>,
    lines: broadcast::Sender<String>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Reply {
    /// A reply of 200.
    pub(in crate::source) fn ok(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    /// An error.
    pub(in crate::source) fn error(status: u16, body: &str) -> Self {
        Self {
            status,
            ..Self::ok(body)
        }
    }

    /// A recorded reply, head and body.
    pub(in crate::source) fn recorded(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").expect("a head and a body");
        let kept = |name: &str| name.to_ascii_lowercase().starts_with("x-");
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        Self {
            headers: headers
                .filter(|(name, _)| kept(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Self::ok(body)
        }
    }

    /// The same with another header.
    pub(in crate::source) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn index(&self) -> Option<&str> {
        let is_index = |name: &str| name.eq_ignore_ascii_case("x-consul-index");
        let found = self.headers.iter().find(|(name, _)| is_index(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Player {
    pub(in crate::source) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (replies, receiver) = watch::channel(Replies::new());
        let (lines, _) = broadcast::channel(64);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let served = Served {
            replies: receiver,
            lines: lines.clone(),
            asked: Arc::clone(&asked),
        };
        let app = Router::new().fallback(serve).with_state(served);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url,
            replies,
            lines,
            asked,
        }
    }

    /// From now on `path` is answered so.
    pub(in crate::source) fn set(&self, path: &str, reply: Reply) {
        self.replies
            .send_modify(|replies| drop(replies.insert(path.to_owned(), reply)));
    }

    /// Sends a line to all who read an endless reply.
    pub(in crate::source) fn line(&self, line: &str) {
        // Nobody may be there.
        let _ = self.lines.send(format!("{line}\n"));
    }

    /// All that was asked for so far.
    pub(in crate::source) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(State(mut served): State<Served>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let uri = parts.uri.clone();
    let path = uri.path().to_owned();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    served.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
        method: parts.method.to_string(),
        body: String::from_utf8_lossy(&body).into_owned(),
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: headers.collect(),
    });
    let index = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .find_map(|part| part.strip_prefix("index="));
    let reply = |replies: &Replies| {
        replies
            .get(&path)
            .cloned()
            .unwrap_or_else(|| Reply::error(404, "no such path"))
    };
    let news = served
        .replies
        .wait_for(|replies| index.is_none() || reply(replies).index() != index);
    let found = timeout(Duration::from_secs(5), news)
        .await
        .ok()
        .and_then(Result::ok)
        .map(|replies| reply(&replies));
    let reply = match found {
        Some(reply) => reply,
        None => reply(&served.replies.borrow()),
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let body = match reply.is_endless {
        false => Body::from(reply.body),
        true => {
            let lines = (Some(reply.body), served.lines.subscribe());
            Body::from_stream(stream::unfold(lines, |(first, mut lines)| async move {
                let line = match first {
                    Some(first) => first,
                    None => lines.recv().await.ok()?,
                };
                Some((Ok::<_, Infallible>(line), (None, lines)))
            }))
        }
    };
    response.body(body).expect("a reply")
}
