//! HTTP: bound and served first, so that the probes answer while all else starts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::super::supervisor::Spawner;
use crate::api::{ApiState, Listeners};
use crate::config::{Config, TlsConfig};
use crate::host::name::host_name;
use crate::observe::readiness::Readiness;
use crate::principal::{Credentials, PasswordFile, TokenFile, TokensFile, TrustedHeader, Verification};
use crate::serve::sockets::{Refusal, family, scope};
use crate::tls::Certificates;

mod local_socket;

/// The listeners, served.
pub(super) struct Http {
    /// What requests see.
    pub(super) api: ApiState,
    stops: CancellationToken,
}

impl Http {
    /// Serves `http.listen`: the probes, and the rest once [`ApiState::start`] was called.
    pub(super) async fn start(
        config: &Config,
        credentials: Credentials,
        readiness: &Arc<Readiness>,
        spawner: &Spawner,
    ) -> anyhow::Result<Self> {
        let tls = certificates(config)?;
        let mut shown: Vec<_> = tls.iter().map(|tls| ("http.tls", Arc::clone(tls))).collect();
        let socket = local_socket::bind(&config.http.socket)?;
        let (socket, file) = socket.map_or((None, None), |(socket, file)| (Some(socket), Some(file)));
        let listeners = Listeners {
            tcp: bind(config, credentials.are_needed()).await?,
            tls,
            socket,
        };
        let api = ApiState::new(credentials, config.http.rate_limit, Arc::clone(readiness));
        let stops = CancellationToken::new();
        let serving = crate::api::serve(listeners, api.clone(), stops.clone());
        spawner.spawn("http", async move {
            serving.await;
            drop(file);
            Ok(())
        });
        if let Some(webhook) = &config.kubernetes.webhook {
            let certificates = Certificates::of_files("kubernetes.webhook", &webhook.cert, &webhook.key, PROTOCOLS);
            let certificates = certificates.map_err(|error| anyhow::anyhow!("kubernetes.webhook: {error}"))?;
            let certificates = Arc::new(certificates);
            shown.push(("kubernetes.webhook", Arc::clone(&certificates)));
            let mut listeners = Vec::new();
            for &address in &webhook.listen {
                listeners.push(bind_one(address).await?);
            }
            let listeners = Listeners {
                tcp: listeners,
                tls: Some(certificates),
                socket: None,
            };
            let serving = crate::api::serve(listeners, api.clone(), stops.clone());
            spawner.spawn("webhook", async move {
                serving.await;
                Ok(())
            });
        }
        api.tell_certificates(shown);
        Ok(Self { api, stops })
    }

    /// Takes nothing new, and lets the requests that are under way end.
    pub(super) fn stop(&self) {
        self.stops.cancel();
    }
}

/// Reads what clients can show to say who they are.
pub(super) fn credentials(config: &Config) -> anyhow::Result<Credentials> {
    let token = config.http.token_file.as_deref().map(TokenFile::load).transpose()?;
    let tokens = config.http.tokens_file.as_deref().map(TokensFile::load).transpose();
    let tokens = tokens.map_err(|error| anyhow::anyhow!("http.tokens_file: {error}"))?;
    let auth = &config.http.auth;
    let passwords = auth.basic_file.as_deref().map(PasswordFile::load).transpose();
    let passwords = passwords.map_err(|error| anyhow::anyhow!("http.auth.basic_file: {error}"))?;
    let jwt = auth
        .jwt
        .as_ref()
        .map(|jwt| Verification::new(&jwt.issuer, &jwt.audience, &jwt.jwks));
    let jwt = jwt.transpose();
    let jwt = jwt.map_err(|error| anyhow::anyhow!("http.auth.jwt.jwks: {error}"))?;
    Ok(Credentials {
        token: token.map(Arc::new),
        tokens: tokens.map(Arc::new),
        passwords: passwords.map(Arc::new),
        jwt: jwt.map(Arc::new),
        header: auth.header.as_ref().map(|header| TrustedHeader {
            name: header.name.clone(),
            from: header.from.clone().into(),
        }),
    })
}

/// What `http.tls` asks for.
fn certificates(config: &Config) -> anyhow::Result<Option<Arc<Certificates>>> {
    let certificates = match &config.http.tls {
        None => return Ok(None),
        Some(TlsConfig::Files { cert, key }) => Certificates::of_files("http.tls", cert, key, PROTOCOLS),
        Some(TlsConfig::SelfSigned) => {
            let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
            let host = host_name();
            // Not every host's name is one that a certificate can have.
            names.extend((host.is_ascii() && !host.is_empty()).then_some(host));
            let addresses = config.http.listen.iter().map(SocketAddr::ip);
            names.extend(addresses.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
            Certificates::self_signed(names, PROTOCOLS)
        }
    };
    let certificates = certificates.map_err(|error| anyhow::anyhow!("http.tls: {error}"))?;
    if let Certificates::SelfSigned { fingerprint, .. } = &certificates {
        warn!(
            "HTTP is served with a SELF-SIGNED certificate that was made just now and differs at each start: clients \
             cannot verify it. Set `http.tls.cert` and `http.tls.key`. Its SHA-256 fingerprint is {fingerprint}"
        );
    }
    Ok(Some(Arc::new(certificates)))
}

/// The protocol of ALPN.
const PROTOCOLS: &[&str] = &["http/1.1"];

/// Binds `http.listen`.
async fn bind(config: &Config, has_credentials: bool) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for &address in &config.http.listen {
        listeners.push(bind_one(address).await?);
        if !has_credentials && !address.ip().is_loopback() {
            warn!(
                "HTTP on {address} serves the probes and metrics alone: the API answers 403 there until \
                 `http.token_file` or `http.tokens_file` is set"
            );
        }
    }
    Ok(listeners)
}

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
enum HttpBindError {
    #[error(
        "another program answers on {0} (TCP): stop it, or give another address with `http.listen`, `http_port` or \
         --http"
    )]
    InUse(SocketAddr),
    #[error(
        "no permission for {0}: take a port of 1024 or above with `http.listen` or `http_port`, or give \
         CAP_NET_BIND_SERVICE"
    )]
    NotPermitted(SocketAddr),
    #[error(
        "serving HTTP on {0} is forbidden, though any user may use this port: see whether SELinux, AppArmor, a \
         seccomp filter or a \
         cgroup's program stands in the way"
    )]
    Forbidden(SocketAddr),
    #[error("{0} is not an address of this machine: correct `http.listen`, or add the address first")]
    NotOurs(SocketAddr),
    #[error("{}: this host has no {}: switch it on in the kernel, or remove the address from \
             `http.listen`", .0, family(.0))]
    NoFamily(SocketAddr),
    #[error("{}: this host has no interface with the number {}: correct `http.listen`, or add the interface \
             first", .0, scope(.0))]
    NoInterface(SocketAddr),
    #[error(
        "cannot serve HTTP on {0}, since the limit of open files is reached: raise it (`ulimit -n`, or `LimitNOFILE=` \
         of systemd)"
    )]
    NoFiles(SocketAddr),
    #[error("cannot serve HTTP on {0} ({1}): correct `http.listen`")]
    Io(SocketAddr, io::Error),
}

/// Connections that wait to be accepted; the kernel bounds it by `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

async fn bind_one(address: SocketAddr) -> Result<TcpListener, HttpBindError> {
    listen(address).map_err(|error| match Refusal::of(&error, address) {
        Refusal::InUse => HttpBindError::InUse(address),
        Refusal::NotPermitted => HttpBindError::NotPermitted(address),
        Refusal::Forbidden => HttpBindError::Forbidden(address),
        Refusal::NotOurs => HttpBindError::NotOurs(address),
        Refusal::NoFamily => HttpBindError::NoFamily(address),
        Refusal::NoInterface => HttpBindError::NoInterface(address),
        Refusal::NoFiles => HttpBindError::NoFiles(address),
        Refusal::Other => HttpBindError::Io(address, error),
    })
}

/// `[::]` takes IPv6 alone, as it does for DNS, so that `0.0.0.0` can stand beside it.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = bind_one("127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("free");
        let address = first.local_addr().expect("bound");
        let error = bind_one(address).await.expect_err("taken").to_string();
        assert!(
            error.contains(&format!("another program answers on {address}")),
            "{error}"
        );
        let elsewhere = bind_one("192.0.2.1:8080".parse().expect("an address"))
            .await
            .expect_err("not ours");
        assert!(matches!(elsewhere, HttpBindError::NotOurs(_)), "{elsewhere}");
    }

    #[tokio::test]
    async fn both_wildcards_can_be_served_on_one_port() {
        let v4 = bind_one("0.0.0.0:0".parse().expect("an address")).await.expect("free");
        let port = v4.local_addr().expect("bound").port();
        match bind_one(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))).await {
            Ok(_) | Err(HttpBindError::NoFamily(_) | HttpBindError::NotOurs(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
