//! What the server is made of, started in order and stopped in the opposite one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::supervisor::{Service, Spawner};
use crate::config::{ConfigSource, Desired};

/// Everything that runs.
pub(super) struct System {
    http: Vec<TcpListener>,
}

impl System {
    /// Starts the parts; an error stops those that were started.
    pub(super) async fn start(_source: ConfigSource, desired: Desired, _spawner: Spawner) -> anyhow::Result<Self> {
        let mut http = Vec::new();
        for &address in &desired.config.http.listen {
            http.push(bind_http(address).await?);
        }
        Ok(Self { http })
    }
}

impl Service for System {
    async fn reload(&self) {}

    async fn stop(&self, _limit: Duration) {
        let _ = &self.http;
    }
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

async fn bind_http(address: SocketAddr) -> Result<TcpListener, HttpBindError> {
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
        let first = bind_http("127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("free");
        let address = first.local_addr().expect("bound");
        let error = bind_http(address).await.expect_err("taken").to_string();
        assert!(
            error.contains(&format!("another program answers on {address}")),
            "{error}"
        );
        let elsewhere = bind_http("192.0.2.1:8080".parse().expect("an address"))
            .await
            .expect_err("not ours");
        assert!(matches!(elsewhere, HttpBindError::NotOurs(_)), "{elsewhere}");
    }
}
