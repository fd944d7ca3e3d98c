//! The connection to a running server's API.
//!
//! ```text
//! --url, HOTDNS_URL ─┐
//! /run/hotdns/api.sock, if it is there ─┼─► Client ─► Unix socket, HTTP or HTTPS
//! http://127.0.0.1:8080 ─┘
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use dns_userspace::model::shown::percent_encoded;
use serde_json::Value;
use ureq::http::{Request, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body};

use super::failure::{Failure, refused};
use super::output::OutputFormat;
use super::unix::UnixConnector;

/// Where the API is on the server's own host, unless said otherwise.
const SOCKET: &str = "/run/hotdns/api.sock";
/// Where it is without such a socket.
const LOCAL: &str = "http://127.0.0.1:8080";
/// How long an answer may take. A large reload takes its time.
const PATIENCE: Duration = Duration::from_secs(300);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read: a page of the API is far below it, a zone as text may be large.
const MOST_OF_ANSWER: u64 = 1 << 30;

/// Which server, and how to show what it says.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server's API: http://…, https://… or unix:/PATH [default: unix:/run/hotdns/api.sock if it is there, else
    /// http://127.0.0.1:8080].
    #[arg(long, value_name = "URL", env = "HOTDNS_URL", global = true, help_heading = "Server")]
    pub(crate) url: Option<String>,
    /// Certificates (PEM) that are trusted in the place of the public authorities', for https.
    #[arg(long, value_name = "FILE", env = "HOTDNS_CA", global = true, help_heading = "Server")]
    pub(crate) ca: Option<PathBuf>,
    /// How to print results.
    #[arg(long, short, value_name = "FORMAT", default_value = "table", global = true)]
    pub(crate) output: OutputFormat,
}

/// A server's API.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
    /// As messages name the server.
    shown: String,
    /// How results are printed.
    output: OutputFormat,
}

/// An answer that is no error.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    call: String,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// Nothing; changes are marked as JSON all the same, which the API asks for.
    None,
    /// JSON.
    Json(&'a Value),
}

impl ServerArgs {
    /// Prepares the connection; nothing is sent yet. The token is that of HOTDNS_TOKEN: an argument would be visible to
    /// all users of the host.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        let url = self.url.clone().unwrap_or_else(|| {
            if Path::new(SOCKET).exists() {
                format!("unix:{SOCKET}")
            } else {
                LOCAL.to_owned()
            }
        });
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(PATIENCE))
            .timeout_connect(Some(CONNECT_PATIENCE))
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("hotdns/", env!("CARGO_PKG_VERSION")))
            .tls_config(self.tls()?)
            .build();
        let (agent, base) = match url.strip_prefix("unix:") {
            Some(path) => {
                let connector = UnixConnector(PathBuf::from(path));
                let agent = Agent::with_parts(config, connector, DefaultResolver::default());
                (agent, "http://127.0.0.1".to_owned())
            }
            None if url.starts_with("http://") || url.starts_with("https://") => {
                (config.into(), url.trim_end_matches('/').to_owned())
            }
            None => {
                return Err(Failure::Usage(format!(
                    "`{url}` is no address of an API: write http://HOST:PORT, https://HOST:PORT or unix:/PATH"
                )));
            }
        };
        let token = std::env::var("HOTDNS_TOKEN").ok().map(|token| token.trim().to_owned());
        Ok(Client {
            agent,
            base,
            token: token.filter(|token| !token.is_empty()),
            shown: url,
            output: self.output,
        })
    }

    fn tls(&self) -> Result<TlsConfig, Failure> {
        let Some(path) = &self.ca else {
            return Ok(TlsConfig::default());
        };
        let text = std::fs::read(path).map_err(|error| Failure::File {
            path: path.display().to_string(),
            error,
        })?;
        let certificates: Vec<Certificate<'static>> = parse_pem(&text)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            })
            .collect();
        if certificates.is_empty() {
            return Err(Failure::Usage(format!("{} has no certificate in PEM", path.display())));
        }
        let roots = RootCerts::Specific(Arc::new(certificates));
        Ok(TlsConfig::builder().root_certs(roots).build())
    }
}

impl Client {
    /// How results are printed.
    pub(crate) fn output(&self) -> OutputFormat {
        self.output
    }

    /// The server, as messages name it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Sends a request and gives the answer, or the error that it stands for.
    pub(crate) fn call(&self, method: &str, path: &str, payload: Payload<'_>) -> Result<Answer, Failure> {
        self.call_with(method, path, payload, &[])
    }

    /// The same with more header fields.
    pub(crate) fn call_with(
        &self,
        method: &str,
        path: &str,
        payload: Payload<'_>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let (status, mut body) = self.send(method, path, payload, headers, Some(PATIENCE))?;
        let mut text = String::new();
        let reader = body.as_reader();
        let read = reader.take(MOST_OF_ANSWER).read_to_string(&mut text);
        read.map_err(|error| self.unreachable(&error.to_string()))?;
        if !(200..300).contains(&status) {
            return Err(refused(status, &text));
        }
        let call = format!("{method} {path}");
        Ok(Answer { text, call })
    }

    /// Sends a request whose answer goes on; what it stands for where it is an error.
    pub(crate) fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Result<Body, Failure> {
        let (status, mut body) = self.send("GET", path, Payload::None, headers, None)?;
        if status == 200 {
            return Ok(body);
        }
        Err(refused(status, &body.read_to_string().unwrap_or_default()))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        payload: Payload<'_>,
        headers: &[(&str, &str)],
        patience: Option<Duration>,
    ) -> Result<(u16, Body), Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let text = match payload {
            Payload::None => String::new(),
            Payload::Json(value) => value.to_string(),
        };
        let unusable = |error: ureq::http::Error| Failure::Usage(format!("no request can be made of this: {error}"));
        let outcome = if method == "GET" {
            let request = request.body(()).map_err(unusable)?;
            let request = self.agent.configure_request(request).timeout_global(patience).build();
            self.agent.run(request)
        } else {
            let request = request.header(header::CONTENT_TYPE, "application/json");
            self.agent.run(request.body(text).map_err(unusable)?)
        };
        let response = outcome.map_err(|error| self.unreachable(&error.to_string()))?;
        Ok((response.status().as_u16(), response.into_body()))
    }

    fn unreachable(&self, reason: &str) -> Failure {
        Failure::Unreachable {
            server: self.shown.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.text).map_err(|error| Failure::Unexpected {
            call: self.call.clone(),
            reason: error.to_string(),
        })
    }
}

/// A path with parameters; those without a value are left out.
pub(crate) fn path_with(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut whole = path.to_owned();
    let given = parameters.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    for (number, (name, value)) in given.enumerate() {
        whole.push(if number == 0 { '?' } else { '&' });
        whole.push_str(name);
        whole.push('=');
        whole.push_str(&percent_encoded(value));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_encoded() {
        assert_eq!(
            percent_encoded("0/25.2.0.192.in-addr.arpa."),
            "0%2F25.2.0.192.in-addr.arpa."
        );
        assert_eq!(percent_encoded("a b\\é*"), "a%20b%5C%C3%A9%2A");
        let path = path_with("/p", &[("a", None), ("b", Some("1+1")), ("c", Some("x"))]);
        assert_eq!(path, "/p?b=1%2B1&c=x");
    }

    #[test]
    fn other_schemes_are_refused() {
        let args = ServerArgs {
            url: Some("ftp://127.0.0.1".into()),
            ca: None,
            output: OutputFormat::Table,
        };
        assert!(matches!(args.connect(), Err(Failure::Usage(text)) if text.contains("unix:/PATH")));
    }
}
