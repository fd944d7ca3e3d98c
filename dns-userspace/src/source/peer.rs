//! A server that is asked over HTTP: a registry, or a proxy.
//!
//! ```text
//! Peer ─ get ──► Answer   one reply, read whole
//!      └ lines ► Lines    an endless reply, line by line
//! ```
//!
//! The token is read again for each request, so one that is replaced is used at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::WorldError;
use crate::config::PeerSettings;

/// The largest reply that is read.
const MOST_OCTETS: usize = 64 << 20;
/// The longest line of an endless reply.
const MOST_OCTETS_OF_LINE: usize = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of an error's body that are shown.
const MOST_SHOWN: usize = 200;

/// How a token is shown to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// In a header of its own.
    Header(&'static str),
    /// As a bearer token (RFC 6750).
    Bearer,
    /// `USER:PASSWORD`, by HTTP's Basic authentication (RFC 7617).
    Basic,
}

/// A server that is asked over HTTP.
pub(super) struct Peer {
    /// What people call it: `Consul`.
    kind: &'static str,
    settings: PeerSettings,
    credential: Credential,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// A server that is asked when it is needed first: until its certificates can be read there is no [`Peer`].
pub(super) struct LatePeer {
    kind: &'static str,
    settings: PeerSettings,
    credential: Credential,
    made: Option<Arc<Peer>>,
}

impl LatePeer {
    /// A server that people call `kind`.
    pub(super) fn new(kind: &'static str, settings: PeerSettings, credential: Credential) -> Self {
        Self {
            kind,
            settings,
            credential,
            made: None,
        }
    }

    /// The server; an error is not remembered.
    pub(super) fn get(&mut self) -> Result<Arc<Peer>, WorldError> {
        if let Some(peer) = &self.made {
            return Ok(Arc::clone(peer));
        }
        let peer = Arc::new(Peer::new(self.kind, self.settings.clone(), self.credential)?);
        self.made = Some(Arc::clone(&peer));
        Ok(peer)
    }

    /// The server, where it was needed before.
    pub(super) fn made(&self) -> Option<Arc<Peer>> {
        self.made.clone()
    }
}

/// A reply.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// What was asked, for messages.
    pub(super) what: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An endless reply.
pub(super) struct Lines {
    what: String,
    body: Incoming,
    /// Octets that have come and are no whole line yet, and where those begin that were not looked at.
    buffer: Vec<u8>,
    looked_at: usize,
}

impl Peer {
    /// A server that people call `kind`.
    pub(super) fn new(kind: &'static str, settings: PeerSettings, credential: Credential) -> Result<Self, WorldError> {
        let wrong = |error: &dyn std::fmt::Display| WorldError(format!("TLS for {kind}: {error}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?;
        let tls = match &settings.ca {
            None if settings.url.starts_with("https:") => builder
                .with_native_roots()
                .map_err(|error| wrong(&error))?
                .with_no_client_auth(),
            None => builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
            Some(path) => {
                let shown = |error: &dyn std::fmt::Display| wrong(&format!("{}: {error}", path.display()));
                let mut roots = rustls::RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| shown(&error))? {
                    let certificate = certificate.map_err(|error| shown(&error))?;
                    roots.add(certificate).map_err(|error| shown(&error))?;
                }
                if roots.is_empty() {
                    return Err(shown(&"it has no certificate in PEM form"));
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(connector);
        Ok(Self {
            kind,
            settings,
            credential,
            client,
        })
    }

    /// Asks for `path`, and reads the reply, all of it within `within`. Each status is a reply.
    pub(super) async fn ask(&self, path: &str, within: Duration) -> Result<Answer, WorldError> {
        self.exchange(Method::GET, path, Bytes::new(), within).await
    }

    /// Puts JSON at `path`, or nothing where it is null. Each status but 200 is an error.
    pub(super) async fn put(&self, path: &str, json: &serde_json::Value, within: Duration) -> Result<(), WorldError> {
        let body = if json.is_null() {
            Bytes::new()
        } else {
            json.to_string().into()
        };
        let answer = self.exchange(Method::PUT, path, body, within).await?;
        answer.checked().map(drop)
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes, within: Duration) -> Result<Answer, WorldError> {
        let what = self.called(&method, path);
        let asked = async {
            let reply = self.send(method, path, body).await?;
            let (parts, body) = reply.into_parts();
            let body = Limited::new(body, MOST_OCTETS).collect().await;
            let body = body.map_err(|error| WorldError(format!("{what}: the reply broke off: {error}")))?;
            Ok(Answer {
                what: what.clone(),
                status: parts.status,
                headers: parts.headers,
                body: body.to_bytes(),
            })
        };
        let within_seconds = within.as_secs();
        timeout(within, asked)
            .await
            .unwrap_or_else(|_| Err(WorldError(format!("{what}: no reply within {within_seconds} s"))))
    }

    /// The same, where each status but 200 is an error.
    pub(super) async fn get(&self, path: &str, within: Duration) -> Result<Answer, WorldError> {
        self.ask(path, within).await?.checked()
    }

    /// Asks for an endless reply.
    pub(super) fn lines(
        self: &Arc<Self>,
        path: String,
    ) -> impl Future<Output = Result<Lines, WorldError>> + Send + use<> {
        let peer = Arc::clone(self);
        async move {
            let what = peer.called(&Method::GET, &path);
            let reply = peer.send(Method::GET, &path, Bytes::new()).await?;
            if reply.status() != StatusCode::OK {
                let (parts, body) = reply.into_parts();
                let body = Limited::new(body, MOST_OCTETS).collect().await;
                let answer = Answer {
                    what: what.clone(),
                    status: parts.status,
                    headers: parts.headers,
                    body: body.map(|body| body.to_bytes()).unwrap_or_default(),
                };
                answer.checked()?;
                return Err(WorldError(format!("{what}: no stream")));
            }
            Ok(Lines {
                what,
                body: reply.into_body(),
                buffer: Vec::new(),
                looked_at: 0,
            })
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<axum::http::Response<Incoming>, WorldError> {
        let what = self.called(&method, path);
        let uri: Uri = format!("{}{path}", self.settings.url)
            .parse()
            .map_err(|error| WorldError(format!("{what}: {error}")))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some((name, value)) = self.token().await? {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| WorldError(format!("{what}: {error}")))?;
        self.client.request(request).await.map_err(|error| {
            let mut causes = String::new();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                causes = next.to_string();
                cause = next.source();
            }
            let causes = if causes.is_empty() { error.to_string() } else { causes };
            WorldError(format!("{what}: no connection: {causes}"))
        })
    }

    /// The header that shows the token; none where there is no token.
    async fn token(&self) -> Result<Option<(&'static str, HeaderValue)>, WorldError> {
        let text = match (&self.settings.secret_file, &self.settings.secret) {
            (Some(path), _) => {
                let text = tokio::fs::read_to_string(path).await;
                text.map_err(|error| WorldError(format!("{} cannot be read: {error}", path.display())))?
            }
            (None, Some(secret)) => secret.0.to_string(),
            (None, None) => return Ok(None),
        };
        let text = text.trim();
        let (name, text) = match self.credential {
            Credential::Header(name) => (name, text.to_owned()),
            Credential::Bearer => (header::AUTHORIZATION.as_str(), format!("Bearer {text}")),
            Credential::Basic => {
                let encoded = data_encoding::BASE64.encode(text.as_bytes());
                (header::AUTHORIZATION.as_str(), format!("Basic {encoded}"))
            }
        };
        let wrong = |_| WorldError(format!("the token for {} has characters that no token has", self.kind));
        let mut value = HeaderValue::from_str(&text).map_err(wrong)?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }

    fn called(&self, method: &Method, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        format!("{} at {}: {method} {path}", self.kind, self.settings.url)
    }
}

impl Answer {
    /// Itself, where the status is 200.
    pub(super) fn checked(self) -> Result<Self, WorldError> {
        if self.status == StatusCode::OK {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(MOST_SHOWN)]);
        let text = text.trim();
        let hint = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; check the token and what it may read",
            StatusCode::TOO_MANY_REQUESTS => "; it is asked too often",
            _ => "",
        };
        Err(WorldError(format!(
            "{}: {} {text}{hint}",
            self.what,
            self.status.as_u16()
        )))
    }

    /// The body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, WorldError> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| WorldError(format!("{}: the reply cannot be understood: {error}", self.what)))
    }

    /// A header that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.headers.get(name)?.to_str().ok()?.parse().ok()
    }

    /// Whether a header says `true`.
    pub(super) fn says(&self, name: &str) -> bool {
        self.headers.get(name).is_some_and(|value| value == "true")
    }
}

impl Lines {
    /// The next line without its end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, WorldError> {
        loop {
            if let Some(end) = self.buffer[self.looked_at..].iter().position(|octet| *octet == b'\n') {
                let end = self.looked_at + end;
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.looked_at = 0;
                line.truncate(end);
                return Ok(line);
            }
            self.looked_at = self.buffer.len();
            if self.buffer.len() > MOST_OCTETS_OF_LINE {
                return Err(WorldError(format!(
                    "{}: a line is over {MOST_OCTETS_OF_LINE} octets",
                    self.what
                )));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(WorldError(format!("{}: the stream broke off: {error}", self.what))),
                None => return Err(WorldError(format!("{}: the stream has ended", self.what))),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod testing;
