//! The forwarder, and which of its servers are this server itself: addresses come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use rtnetlink::MulticastGroup;
use tracing::warn;

use super::super::supervisor::Spawner;
use super::netlink::{self, Changes, Connection};
use crate::config::Config;
use crate::cookies::Cookies;
use crate::host::addresses::HostAddresses;
use crate::observe::figures::Figures;
use crate::resolve::{ForwardSettings, Forwarder};
use crate::serve::answerer::LocalChains;

/// Addresses are read again so often whatever the kernel says, since its messages may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Each message means "look again".
const GROUPS: [MulticastGroup; 2] = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];

/// The forwarder, where the configuration wants one, kept in step with the host's addresses.
pub(super) async fn start(
    config: &Config,
    listening: &[SocketAddr],
    in_flight: usize,
    cookies: &Arc<Cookies>,
    local: LocalChains,
    figures: Arc<Figures>,
    spawner: &Spawner,
) -> anyhow::Result<Option<Arc<Forwarder>>> {
    let upstream = &config.backend.upstream;
    if !upstream.enabled {
        return Ok(None);
    }
    let settings = ForwardSettings {
        servers: upstream.servers.clone(),
        listening: listening.to_vec(),
        timeout: upstream.timeout,
        udp_payload: config.edns.udp_payload,
        nsid: config.edns.nsid.clone(),
        in_flight,
        max_cname_depth: config.backend.max_cname_depth,
    };
    let forwarder = Forwarder::new(settings, Arc::clone(cookies));
    let forwarder = Arc::new(forwarder.beside(Arc::new(local)).counting(figures));
    // Before the addresses are read, so that no change falls between.
    let changes = match netlink::connect(&GROUPS) {
        Ok(Connection { run, changes, .. }) => {
            let stopping = spawner.stopping();
            // Where it ends, so do the messages, and addresses are looked at by time.
            spawner.spawn("upstream netlink", async move {
                tokio::select! {
                    () = run => stopping.cancelled().await,
                    () = stopping.cancelled() => {}
                }
                Ok(())
            });
            changes
        }
        Err(error) => {
            warn!("the host's addresses are looked at every {LOOK_AGAIN:?} alone, since there is no netlink: {error}");
            Changes::none()
        }
    };
    let host = HostAddresses::read().unwrap_or_else(|error| {
        warn!(%error, "the addresses of this host cannot be listed: of them, loopback alone is known");
        HostAddresses::default()
    });
    if !forwarder.follow(&host) {
        let servers = upstream.servers.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
        bail!(
            "`backend.upstream.servers` names {}, which is this server: name another resolver",
            servers.join(", ")
        );
    }
    let (follower, stopping) = (Arc::clone(&forwarder), spawner.stopping());
    spawner.spawn("upstream addresses", async move {
        tokio::select! {
            () = follow(&follower, changes) => Ok(()),
            () = stopping.cancelled() => Ok(()),
        }
    });
    Ok(Some(forwarder))
}

async fn follow(forwarder: &Forwarder, mut changes: Changes) {
    let mut tick = tokio::time::interval(LOOK_AGAIN);
    let (mut is_followed, mut is_any_left) = (true, true);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            change = changes.next(), if is_followed => {
                if change.is_none() {
                    warn!("the kernel's messages on addresses ended: they are looked at every {LOOK_AGAIN:?} alone");
                    is_followed = false;
                }
                changes.settle().await;
            }
        }
        match tokio::task::spawn_blocking(HostAddresses::read).await {
            Ok(Ok(host)) => {
                let were_any = std::mem::replace(&mut is_any_left, forwarder.follow(&host));
                if were_any && !is_any_left {
                    warn!(
                        "every server of `backend.upstream.servers` is this server now: what is to be forwarded gets \
                         SERVFAIL"
                    );
                }
            }
            Ok(Err(error)) => warn!(%error, "the addresses of this host cannot be listed: those before hold"),
            Err(error) => warn!(%error, "the addresses of this host were not listed"),
        }
    }
}
