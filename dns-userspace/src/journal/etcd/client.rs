//! One member of etcd, asked through its JSON gateway (`/v3/…`): the calls of gRPC as HTTP and JSON, with keys and
//! values in Base64 and numbers of 64 bits as text.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::EtcdSettings;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest reply that is read.
const MOST_OCTETS: usize = 64 << 20;
/// The largest message of a watch: what a thousand revisions have changed.
const MOST_OCTETS_OF_LINE: usize = 256 << 20;
/// Octets of an error that are shown.
const MOST_SHOWN: usize = 300;

/// Codes of gRPC that say that nothing was done.
const INVALID_ARGUMENT: u32 = 3;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const OUT_OF_RANGE: u32 = 11;
const UNAUTHENTICATED: u32 = 16;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// etcd was not reached, or says that it does nothing.
    NotDone(String),
    /// The change is larger than etcd takes.
    TooLarge(String),
    /// The revision that was asked for is forgotten.
    Compacted,
    /// The revision that was asked for is yet to come.
    Future,
    /// Nobody knows what became of it.
    Unknown(String),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotDone(reason) | Self::TooLarge(reason) | Self::Unknown(reason) => f.write_str(reason),
            Self::Compacted => f.write_str("the revision is compacted"),
            Self::Future => f.write_str("the revision is yet to come"),
        }
    }
}

/// One member.
pub(super) struct Client {
    url: String,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    settings: Arc<EtcdSettings>,
    /// What etcd gave for user and password.
    token: Mutex<Option<HeaderValue>>,
}

/// An answer's header.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Header {
    #[serde(default, deserialize_with = "number")]
    pub(super) revision: u64,
}

/// A key with its value.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct KeyValue {
    #[serde(deserialize_with = "octets")]
    pub(super) key: Vec<u8>,
    #[serde(default, deserialize_with = "octets")]
    pub(super) value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    pub(super) mod_revision: u64,
}

/// What is at some keys.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Range {
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
    #[serde(default)]
    pub(super) more: bool,
}

/// What became of a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct Transacted {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) succeeded: bool,
}

/// A message of a watch.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Watched {
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    cancel_reason: String,
    /// What was asked for is forgotten up to this revision.
    #[serde(default, deserialize_with = "number")]
    compact_revision: u64,
    #[serde(default)]
    pub(super) events: Vec<Event>,
}

/// A key that was put or deleted.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    r#type: String,
    pub(super) kv: KeyValue,
}

impl Event {
    pub(super) fn is_delete(&self) -> bool {
        self.r#type == "DELETE"
    }
}

#[derive(Deserialize)]
struct Streamed {
    result: Option<Watched>,
    error: Option<Value>,
}

/// An endless reply.
pub(super) struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
    looked_at: usize,
}

fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let read = match &value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    read.ok_or_else(|| serde::de::Error::custom("no number"))
}

fn octets<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    BASE64.decode(text.as_bytes()).map_err(serde::de::Error::custom)
}

/// Octets as etcd's JSON has them.
pub(super) fn base64(octets: impl AsRef<[u8]>) -> String {
    BASE64.encode(octets.as_ref())
}

impl Client {
    /// The member at `url`. Certificates are read anew each time.
    pub(super) fn new(url: &str, settings: &Arc<EtcdSettings>) -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(url, settings)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(connector);
        Ok(Self {
            url: url.to_owned(),
            http: client,
            settings: Arc::clone(settings),
            token: Mutex::new(None),
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Calls `path`, such as `kv/range`.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        within: Duration,
    ) -> Result<T, CallError> {
        let asked = async {
            let reply = self.send(path, body).await?;
            let (parts, body) = reply.into_parts();
            let body = Limited::new(body, MOST_OCTETS).collect().await;
            let body = body.map_err(|error| self.unknown(path, &error))?.to_bytes();
            match parts.status {
                StatusCode::OK => serde_json::from_slice(&body).map_err(|error| self.unknown(path, &error)),
                status => Err(self.refused(path, status, &body)),
            }
        };
        match timeout(within, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Unknown(format!(
                "etcd at {}: {path}: no answer within {} s",
                self.url,
                within.as_secs_f32()
            ))),
        }
    }

    /// What is at `key`, or from it up to `end`; at this revision, or now.
    pub(super) async fn range(
        &self,
        key: &[u8],
        end: Option<&[u8]>,
        (revision, limit): (Option<u64>, u32),
        within: Duration,
    ) -> Result<Range, CallError> {
        let mut body = json!({"key": base64(key), "limit": limit.to_string()});
        if let Some(end) = end {
            body["range_end"] = base64(end).into();
        }
        if let Some(revision) = revision {
            body["revision"] = revision.to_string().into();
        }
        self.call("kv/range", &body, within).await
    }

    /// Everything that changes from `key` up to `end`, from this revision on.
    pub(super) async fn watch(
        &self,
        key: &[u8],
        end: &[u8],
        revision: u64,
        within: Duration,
    ) -> Result<Watch, CallError> {
        let body = json!({"create_request": {
            "key": base64(key),
            "range_end": base64(end),
            "start_revision": revision.to_string(),
            "progress_notify": true,
        }});
        let reply = timeout(within, self.send("watch", &body)).await;
        let reply = reply.map_err(|_| self.unknown("watch", &"no answer"))??;
        match reply.status() {
            StatusCode::OK => Ok(Watch {
                body: reply.into_body(),
                buffer: Vec::new(),
                looked_at: 0,
            }),
            status => Err(self.refused("watch", status, &[])),
        }
    }

    async fn send(&self, path: &str, body: &Value) -> Result<Response<Incoming>, CallError> {
        let is_known = self.token.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let reply = self.send_once(path, body).await?;
        let is_refused = matches!(reply.status(), StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST);
        if self.settings.user.is_none() || !is_refused || !is_known {
            return Ok(reply);
        }
        // The token has expired, perhaps: a request that is refused for that was not carried out.
        let (parts, body_of_reply) = reply.into_parts();
        let text = Limited::new(body_of_reply, MOST_OCTETS).collect().await;
        let text = text.map_err(|error| self.unknown(path, &error))?.to_bytes();
        let is_of_token = String::from_utf8_lossy(&text).contains("auth token");
        if !is_of_token {
            return Err(self.refused(path, parts.status, &text));
        }
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.send_once(path, body).await
    }

    async fn send_once(&self, path: &str, body: &Value) -> Result<Response<Incoming>, CallError> {
        let token = self.token().await?;
        self.post(path, body, token).await
    }

    async fn post(
        &self,
        path: &str,
        body: &Value,
        token: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, CallError> {
        let not_done = |error: &dyn std::fmt::Display| CallError::NotDone(self.said(path, error));
        let mut request = Request::post(format!("{}/v3/{path}", self.url)).header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let request = request.map_err(|error| not_done(&error))?;
        self.http.request(request).await.map_err(|error| {
            let mut cause = error.to_string();
            let mut next = std::error::Error::source(&error);
            while let Some(deeper) = next {
                cause = deeper.to_string();
                next = deeper.source();
            }
            match error.is_connect() {
                true => not_done(&cause),
                false => self.unknown(path, &cause),
            }
        })
    }

    /// What shows who we are; none where that is not asked.
    async fn token(&self) -> Result<Option<HeaderValue>, CallError> {
        let Some((name, file)) = &self.settings.user else {
            return Ok(None);
        };
        if let Some(token) = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(Some(token));
        }
        let read = std::fs::read_to_string(file);
        let password = read.map_err(|error| CallError::NotDone(format!("{}: {error}", file.display())))?;
        let body = json!({"name": name, "password": password.trim_end_matches(['\r', '\n'])});
        let reply = self.post("auth/authenticate", &body, None).await?;
        let (parts, body) = reply.into_parts();
        let body = Limited::new(body, MOST_OCTETS).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let token = answer["token"]
            .as_str()
            .and_then(|token| HeaderValue::from_str(token).ok());
        let Some(mut token) = token else {
            return Err(match self.refused("auth/authenticate", parts.status, &body) {
                CallError::Unknown(reason) => CallError::NotDone(reason),
                other => other,
            });
        };
        token.set_sensitive(true);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(Some(token))
    }

    fn said(&self, path: &str, what: &dyn std::fmt::Display) -> String {
        format!("etcd at {}: {path}: {what}", self.url)
    }

    fn unknown(&self, path: &str, what: &dyn std::fmt::Display) -> CallError {
        CallError::Unknown(self.said(path, what))
    }

    fn refused(&self, path: &str, status: StatusCode, body: &[u8]) -> CallError {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = String::from_utf8_lossy(&body[..body.len().min(MOST_SHOWN)]).into_owned();
        let message = answer["message"].as_str().or_else(|| answer["error"].as_str());
        let message = message.map_or(text, str::to_owned);
        let code = answer["code"].as_u64().and_then(|code| u32::try_from(code).ok());
        let said = self.said(path, &format!("{} {message}", status.as_u16()));
        if message.contains("request is too large") || message.contains("larger than max") {
            return CallError::TooLarge(said);
        }
        if message.contains("has been compacted") {
            return CallError::Compacted;
        }
        if message.contains("future revision") {
            return CallError::Future;
        }
        let says_no = [
            INVALID_ARGUMENT,
            PERMISSION_DENIED,
            RESOURCE_EXHAUSTED,
            OUT_OF_RANGE,
            UNAUTHENTICATED,
        ];
        match code {
            Some(code) if says_no.contains(&code) => CallError::NotDone(said),
            None if status.is_client_error() => CallError::NotDone(said),
            _ => CallError::Unknown(said),
        }
    }
}

impl Watch {
    /// The next message. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Watched, CallError> {
        let line = self.line().await?;
        let unknown = |error: &dyn std::fmt::Display| CallError::Unknown(format!("etcd: watch: {error}"));
        let streamed: Streamed = serde_json::from_slice(&line).map_err(|error| unknown(&error))?;
        match (streamed.result, streamed.error) {
            (Some(watched), _) if watched.canceled && watched.compact_revision > 0 => Err(CallError::Compacted),
            (Some(watched), _) if watched.canceled => Err(unknown(&watched.cancel_reason)),
            (Some(watched), _) => Ok(watched),
            (None, error) => Err(unknown(&error.unwrap_or_default())),
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, CallError> {
        let broken = |reason: String| CallError::Unknown(format!("etcd: watch: {reason}"));
        loop {
            if let Some(end) = self.buffer[self.looked_at..].iter().position(|octet| *octet == b'\n') {
                let rest = self.buffer.split_off(self.looked_at + end + 1);
                self.looked_at = 0;
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            self.looked_at = self.buffer.len();
            if self.buffer.len() > MOST_OCTETS_OF_LINE {
                return Err(CallError::Compacted);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend(frame.data_ref().into_iter().flatten()),
                Some(Err(error)) => return Err(broken(format!("the stream broke off: {error}"))),
                None => return Err(broken("the stream has ended".to_owned())),
            }
        }
    }
}

fn tls(url: &str, settings: &EtcdSettings) -> Result<rustls::ClientConfig, String> {
    let of_file = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, String> {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let read = read.map_err(|error| of_file(path, &error))?;
        match read.is_empty() {
            true => Err(of_file(path, &io::Error::other("it has no certificate in PEM form"))),
            false => Ok(read),
        }
    };
    let builder = match &settings.ca {
        None if url.starts_with("https:") => builder.with_native_roots().map_err(|error| error.to_string())?,
        None => builder.with_root_certificates(rustls::RootCertStore::empty()),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| of_file(path, &error))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    match &settings.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((cert, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| of_file(key, &error))?;
            let configured = builder.with_client_auth_cert(certificates(cert)?, private);
            configured.map_err(|error| of_file(cert, &error))
        }
    }
}
