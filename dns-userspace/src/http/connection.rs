//! Connections: accepted within a limit, served by hyper with timeouts, ended in order at shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::access::LocalAddress;
use super::refusal::WithProblems;
use super::{ApiState, router};

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// How long the head of a request may take, the wait for it on a kept connection included.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// The largest head of a request.
const HEAD_BYTES: usize = 32 * 1024;
/// How long requests may go on after shutdown was asked for.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// Before the next try where accepting fails, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API on `listeners` until `shutdown`, then lets the requests that are under way end.
pub async fn serve(listeners: Vec<TcpListener>, state: ApiState, shutdown: CancellationToken) {
    let router = router(state);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let accepting = listeners
        .into_iter()
        .map(|listener| accept(listener, &router, &permits, &connections, &shutdown));
    futures_util::future::join_all(accepting).await;
    shutdown.cancelled().await;
    connections.close();
    if tokio::time::timeout(SHUTDOWN_PATIENCE, connections.wait())
        .await
        .is_err()
    {
        warn!("{} HTTP connections were cut at shutdown", connections.len());
    }
}

async fn accept(
    listener: TcpListener,
    router: &Router,
    permits: &Arc<Semaphore>,
    connections: &TaskTracker,
    shutdown: &CancellationToken,
) {
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = shutdown.cancelled() => return,
        };
        let Ok(permit) = permit else { return };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(converse(stream, peer, router.clone(), permit, shutdown.clone()));
            }
            Err(error) => {
                warn!("cannot accept an HTTP connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection's life.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    _permit: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else { return };
    // Answers are small and written at once.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router.layer(Extension(LocalAddress(local))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(WithProblems::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!("HTTP connection of {peer}: {error}");
    }
}
