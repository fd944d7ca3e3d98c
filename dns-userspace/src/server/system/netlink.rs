//! The kernel's messages on interfaces and addresses. Each means no more than "look again".

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use rtnetlink::{Handle, MulticastGroup};

/// Changes come in bursts: this long after the first, all are looked at at once.
const SETTLE: Duration = Duration::from_millis(50);

/// The messages of some groups.
pub(super) struct Changes(BoxStream<'static, ()>);

/// A connection that brings [`Changes`]: it is to be run by a task.
pub(super) struct Connection {
    /// Ends where the connection does.
    pub(super) run: BoxFuture<'static, ()>,
    /// For requests.
    #[cfg_attr(
        not(feature = "xdp"),
        expect(dead_code, reason = "interfaces are listed for XDP alone")
    )]
    pub(super) handle: Handle,
    /// What it brings, from now on.
    pub(super) changes: Changes,
}

/// Connects, for the messages of these groups.
pub(super) fn connect(groups: &[MulticastGroup]) -> io::Result<Connection> {
    let (connection, handle, messages) = rtnetlink::new_multicast_connection(groups)?;
    Ok(Connection {
        run: connection.boxed(),
        handle,
        changes: Changes(messages.map(drop).boxed()),
    })
}

impl Changes {
    /// No message ever.
    pub(super) fn none() -> Self {
        Self(stream::pending().boxed())
    }

    /// Waits for a message; `None`: there can be none any more. May be cancelled: a message is not lost then.
    pub(super) async fn next(&mut self) -> Option<()> {
        self.0.next().await
    }

    /// Waits until the burst that a message began is over, and takes the rest of it.
    pub(super) async fn settle(&mut self) {
        tokio::time::sleep(SETTLE).await;
        while let Some(Some(())) = self.0.next().now_or_never() {}
    }
}
