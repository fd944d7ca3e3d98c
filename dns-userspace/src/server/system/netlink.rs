//! The kernel's messages on interfaces and addresses. Each means no more than "look again". They are Linux's: elsewhere
//! whoever wants to know looks again by time.

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
#[cfg(target_os = "linux")]
use rtnetlink::{Handle, MulticastGroup};

/// Changes come in bursts: this long after the first, all are looked at at once.
const SETTLE: Duration = Duration::from_millis(50);

/// The messages of some groups.
pub(super) struct Changes(BoxStream<'static, ()>);

/// A connection that brings [`Changes`]: it is to be run by a task.
pub(super) struct Connection {
    /// Ends where the connection does.
    pub(super) run: BoxFuture<'static, ()>,
    /// For requests: interfaces are listed for XDP alone.
    #[cfg(feature = "xdp")]
    pub(super) handle: Handle,
    /// What it brings, from now on.
    pub(super) changes: Changes,
}

/// Connects, for messages on addresses.
#[cfg(target_os = "linux")]
pub(super) fn addresses() -> io::Result<Connection> {
    connect(&[MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr])
}

/// Connects, for messages on addresses: there are none here.
#[cfg(not(target_os = "linux"))]
pub(super) fn addresses() -> io::Result<Connection> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Connects, for the messages of these groups.
#[cfg(target_os = "linux")]
pub(super) fn connect(groups: &[MulticastGroup]) -> io::Result<Connection> {
    let (connection, handle, messages) = rtnetlink::new_multicast_connection(groups)?;
    #[cfg(not(feature = "xdp"))]
    let _: Handle = handle;
    Ok(Connection {
        run: connection.boxed(),
        #[cfg(feature = "xdp")]
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
