//! The forwarder, and which of its servers are this server itself: addresses come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use rtnetlink::MulticastGroup;
use tracing::warn;

use super::super::supervisor::Spawner;
use super::control::replace_rules;
use super::netlink::{self, Changes, Connection};
use crate::config::{Config, DEFAULT_SET, FailoverOn, Policy, UpstreamServer, UpstreamSet};
use crate::cookies::Cookies;
use crate::host::addresses::HostAddresses;
use crate::observe::metrics::{Metrics, UpstreamMetrics};
use crate::publish::Served;
use crate::resolve::{Cache, Clock, ForwardSettings, Forwarder};
use crate::rules::RuleBook;
use crate::serve::answerer::LocalChains;
use crate::serve::xdp::{Program, SharedProgram};

/// Addresses are read again so often whatever the kernel says, since its messages may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often answers are promoted and demoted.
const TEND: Duration = Duration::from_millis(200);
/// Each message means "look again".
const GROUPS: [MulticastGroup; 2] = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];

/// What the forwarder has to do with.
pub(super) struct Beside<'a> {
    /// Our own data.
    pub(super) local: LocalChains,
    /// The rules.
    pub(super) rules: Arc<RuleBook>,
    /// Where answers are promoted to.
    pub(super) served: &'a Arc<Served>,
    /// The program that gives them.
    pub(super) program: &'a SharedProgram,
}

/// The forwarder, where the configuration wants one, kept in step with the host's addresses.
pub(super) async fn start(
    config: &Config,
    listening: &[SocketAddr],
    in_flight: usize,
    cookies: &Arc<Cookies>,
    Beside {
        local,
        rules,
        served,
        program,
    }: Beside<'_>,
    metrics: &Metrics,
    spawner: &Spawner,
) -> anyhow::Result<Option<Arc<Forwarder>>> {
    if !config.resolves() {
        return Ok(None);
    }
    let settings = ForwardSettings {
        sets: sets(config),
        routes: config.forward.routes.clone(),
        listening: listening.to_vec(),
        udp_payload: config.edns.udp_payload,
        nsid: config.edns.nsid.clone(),
        in_flight,
        in_flight_per_client: ForwardSettings::PER_CLIENT,
        max_cname_depth: config.backend.max_cname_depth,
    };
    let (given, book) = (config.rules.clone(), Arc::clone(&rules));
    tokio::task::spawn_blocking(move || replace_rules(&book, &given)).await?;
    let clock = Clock::system();
    let servers = UpstreamMetrics::default();
    let cache = config.cache.enabled.then(|| {
        let cache = Cache::new(config.cache, clock.clone(), Arc::default());
        Arc::new(cache.promoting(Arc::clone(served)))
    });
    metrics.show_upstreams(&servers);
    if let Some(cache) = &cache {
        let (fenced, program) = (Arc::clone(cache), program.clone());
        rules.fence_with(move |change| fenced.fence(change));
        let cache = Arc::clone(cache);
        metrics.show_cache(Box::new(move || {
            let figures = cache.figures();
            if let Some(Ok(counters)) = program.lock().as_ref().map(Program::counters) {
                figures.hits_in_xdp.store(counters.cached, Ordering::Relaxed);
            }
            Arc::clone(figures)
        }));
    }
    let forwarder = Forwarder::new(settings, Arc::clone(cookies), &clock, &servers);
    let forwarder = forwarder
        .beside(Arc::new(local))
        .keeping(cache)
        .ruled(rules)
        .counting(metrics.sockets());
    let forwarder = Arc::new(forwarder);
    if config.cache.enabled && config.cache.xdp.names > 0 {
        let (tended, stopping) = (Arc::clone(&forwarder), spawner.stopping());
        spawner.spawn("hot answers", async move {
            tokio::select! {
                ended = tend(tended) => ended,
                () = stopping.cancelled() => Ok(()),
            }
        });
    }
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
    if let Some(dead) = forwarder.follow(&host).first() {
        let set = sets(config).into_iter().find(|set| *set.name == **dead);
        let servers = set.map_or_else(Vec::new, |set| set.servers);
        let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
        let key = if *dead == DEFAULT_SET {
            "backend.upstream.servers".to_owned()
        } else {
            format!("`{dead}` of `forward.upstreams")
        };
        bail!(
            "`{key}` names {}, which is this server: name another resolver",
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

/// The sets of servers: that of `backend.upstream`, where it is enabled, and those of `forward.upstreams`.
fn sets(config: &Config) -> Vec<UpstreamSet> {
    let upstream = &config.backend.upstream;
    let default = upstream.enabled.then(|| UpstreamSet {
        name: DEFAULT_SET.into(),
        servers: upstream.servers.iter().copied().map(UpstreamServer::plain).collect(),
        policy: Policy::Sequential,
        failover_on: FailoverOn::ALL,
        timeout: upstream.timeout,
    });
    default
        .into_iter()
        .chain(config.forward.upstreams.iter().cloned())
        .collect()
}

/// Keeps the answers that the fast path and XDP give in step with the cache.
async fn tend(forwarder: Arc<Forwarder>) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(TEND);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let forwarder = Arc::clone(&forwarder);
        // There may be many of them.
        tokio::task::spawn_blocking(move || forwarder.tend_hot()).await?;
    }
}

async fn follow(forwarder: &Forwarder, mut changes: Changes) {
    let mut tick = tokio::time::interval(LOOK_AGAIN);
    let mut is_followed = true;
    let mut dead: Vec<String> = Vec::new();
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
                let now: Vec<String> = forwarder.follow(&host).into_iter().map(str::to_owned).collect();
                for set in now.iter().filter(|set| !dead.contains(set)) {
                    warn!("every server of the upstream set `{set}` is this server now: what goes there gets SERVFAIL");
                }
                dead = now;
            }
            Ok(Err(error)) => warn!(%error, "the addresses of this host cannot be listed: those before hold"),
            Err(error) => warn!(%error, "the addresses of this host were not listed"),
        }
    }
}
