//! Connections: admitted, served by hyper with timeouts, ended in order at shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::access::LocalAddress;
use super::admission::{Activity, Admission};
use super::patience::{PATIENCE, Patient};
use super::refusal::WithProblems;
use super::{ApiState, router};
use crate::observe::figures::HttpFigures;

/// How long the head of a request may take, the wait for it on a kept connection included.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// The largest head of a request.
const HEAD_BYTES: usize = 32 * 1024;
/// What the kernel holds of answers for one client.
const SEND_BYTES: usize = 128 * 1024;
/// How long requests may go on after shutdown was asked for.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);
/// Before the next try where accepting fails, for want of descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API on `listeners` until `shutdown`, then lets the requests that are under way end.
pub async fn serve(listeners: Vec<TcpListener>, state: ApiState, shutdown: CancellationToken) {
    let _ = state.0.stopping.set(shutdown.clone());
    let router = router(state.clone());
    let connections = TaskTracker::new();
    let accepting = listeners
        .into_iter()
        .map(|listener| accept(listener, &state, &router, &connections, &shutdown));
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
    state: &ApiState,
    router: &Router,
    connections: &TaskTracker,
    shutdown: &CancellationToken,
) {
    loop {
        let next = async {
            let (stream, peer) = listener.accept().await?;
            Ok((stream, peer, state.admissions().admit(peer.ip()).await))
        };
        let next: std::io::Result<_> = tokio::select! {
            next = next => next,
            () = shutdown.cancelled() => return,
        };
        match next {
            Ok((stream, peer, Some(admission))) => {
                let figures = Arc::clone(state.figures());
                connections.spawn(converse(
                    stream,
                    peer,
                    router.clone(),
                    admission,
                    figures,
                    shutdown.clone(),
                ));
            }
            Ok((_, peer, None)) => debug!("HTTP connection of {peer}: there is no room"),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
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
    admission: Admission,
    figures: Arc<HttpFigures>,
    shutdown: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else { return };
    prepare(&stream);
    let activity = Arc::clone(&admission.activity);
    let service = Conversation {
        router: TowerToHyperService::new(router),
        local: LocalAddress(local),
        place: Place {
            activity: Arc::clone(&activity),
            is_spare: admission.is_spare,
        },
    };
    let stream = Patient::new(stream, Arc::clone(&activity), figures);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        // RFC 9112 §9.5: a client may have nothing more to say and wait for its answer all the same.
        .half_close(true)
        .serve_connection(TokioIo::new(WithProblems::new(stream)), service);
    tokio::pin!(connection);
    let to_its_end = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    tokio::select! {
        ended = to_its_end => if let Err(error) = ended {
            debug!("HTTP connection of {peer}: {error}");
        },
        () = activity.displaced() => debug!("HTTP connection of {peer}: another one has its place"),
    }
}

/// Answers are written at once, and what the kernel holds of them is bounded in size and time. Where that cannot be
/// had, the connection is served all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_send_buffer_size(SEND_BYTES);
    let _ = socket.set_tcp_user_timeout(Some(2 * PATIENCE));
}

/// What a request knows of the connection that it came on.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) activity: Arc<Activity>,
    /// For the probes and the metrics alone.
    pub(super) is_spare: bool,
}

/// The requests of one connection: each is work in hand until it has an answer.
struct Conversation {
    router: TowerToHyperService<Router>,
    local: LocalAddress,
    place: Place,
}

impl Service<Request<Incoming>> for Conversation {
    type Response = Response<axum::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let work = self.place.activity.work();
        request.extensions_mut().insert(self.local);
        request.extensions_mut().insert(self.place.clone());
        let answer = self.router.call(request);
        Box::pin(async move {
            let Some(_work) = work else {
                // The place is lost, and the connection is about to be closed.
                return std::future::pending().await;
            };
            answer.await
        })
    }
}
