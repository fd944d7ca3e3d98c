//! HTTP: bound and served first, so that the probes answer while all else starts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::super::supervisor::Spawner;
use crate::config::Config;
use crate::http::{ApiState, TokenFile};
use crate::readiness::Readiness;

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
        token: Option<Arc<TokenFile>>,
        readiness: &Arc<Readiness>,
        spawner: &Spawner,
    ) -> anyhow::Result<Self> {
        let listeners = bind(config, token.is_some()).await?;
        let api = ApiState::new(token, Arc::clone(readiness));
        let stops = CancellationToken::new();
        let serving = crate::http::serve(listeners, api.clone(), stops.clone());
        spawner.spawn("http", async move {
            serving.await;
            Ok(())
        });
        Ok(Self { api, stops })
    }

    /// Takes nothing new, and lets the requests that are under way end.
    pub(super) fn stop(&self) {
        self.stops.cancel();
    }
}

/// Binds `http.listen`.
async fn bind(config: &Config, has_token: bool) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for &address in &config.http.listen {
        listeners.push(bind_one(address).await?);
        if !has_token && !address.ip().is_loopback() {
            warn!(
                "HTTP on {address} serves the probes and metrics alone: the API answers 403 there until `http.token_file` \
                 is set"
            );
        }
    }
    Ok(listeners)
}

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
enum HttpBindError {
    #[error(
        "another program answers on {0} (TCP): stop it, or give another address with `http.listen`, `http_port` or --http"
    )]
    InUse(SocketAddr),
    #[error(
        "no permission for {0}: take a port of 1024 or above with `http.listen` or `http_port`, or give CAP_NET_BIND_SERVICE"
    )]
    NotPermitted(SocketAddr),
    #[error("{0} is not an address of this machine: correct `http.listen`, or add the address first")]
    NotOurs(SocketAddr),
    #[error("cannot serve HTTP on {0}: {1}")]
    Io(SocketAddr, io::Error),
}

async fn bind_one(address: SocketAddr) -> Result<TcpListener, HttpBindError> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => HttpBindError::InUse(address),
        io::ErrorKind::PermissionDenied => HttpBindError::NotPermitted(address),
        io::ErrorKind::AddrNotAvailable => HttpBindError::NotOurs(address),
        _ => HttpBindError::Io(address, error),
    })
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
}
