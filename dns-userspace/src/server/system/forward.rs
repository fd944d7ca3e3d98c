//! The forwarder, and which of its servers are this server itself: addresses come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::super::supervisor::Spawner;
use super::lists;
use super::live::run_until_stopped;
use super::netlink::{self, Changes, Connection};
use crate::answer::Environment;
use crate::config::{Config, DEFAULT_SET, FailoverOn, Policy, ProbeConfig, UpstreamSet};
use crate::cookies::Cookies;
use crate::host::addresses::HostAddresses;
use crate::observe::figures::{CacheFigures, Figures};
use crate::observe::metrics::{Metrics, UpstreamMetrics};
use crate::publish::Served;
use crate::resolve::{Cache, Clock, ForwardSettings, Forwarder};
use crate::rules::RuleBook;
use crate::serve::answerer::LocalChains;
use crate::serve::policy::Policies;
use crate::serve::xdp::{Program, SharedProgram};

/// Addresses are read again so often whatever the kernel says, since its messages may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How often answers are promoted and demoted.
const TEND: Duration = Duration::from_millis(200);

/// What forwarders are made with, besides the configuration.
pub(super) struct Forwarding {
    pub(super) listening: Vec<SocketAddr>,
    pub(super) cookies: Arc<Cookies>,
    pub(super) served: Arc<Served>,
    pub(super) rules: Arc<RuleBook>,
    /// What has counted answers of the cache that XDP gave.
    program: SharedProgram,
    pub(super) figures: Arc<Figures>,
    clock: Clock,
    servers: UpstreamMetrics,
    cached: Arc<CacheFigures>,
    /// Whether the host's addresses are followed.
    is_following: bool,
    /// The forwarder whose tasks run, and what ends them.
    kept: Option<(Arc<Forwarder>, CancellationToken)>,
}

impl Forwarding {
    /// For forwarders that ask the rules in `rules`.
    pub(super) fn new(
        listening: &[SocketAddr],
        cookies: &Arc<Cookies>,
        served: &Arc<Served>,
        rules: Arc<RuleBook>,
        program: &SharedProgram,
        metrics: &Metrics,
    ) -> Self {
        let servers = UpstreamMetrics::default();
        metrics.show_upstreams(&servers);
        Self {
            listening: listening.to_vec(),
            cookies: Arc::clone(cookies),
            served: Arc::clone(served),
            rules,
            program: program.clone(),
            figures: metrics.sockets(),
            clock: Clock::system(),
            servers,
            cached: Arc::default(),
            is_following: false,
            kept: None,
        }
    }

    /// The forwarder, where the configuration wants one. That of `before` goes on where nothing of it differs, and its
    /// cache where the servers are the same. Within a runtime.
    pub(super) fn make(
        &self,
        config: &Config,
        environment: Environment<'static>,
        in_flight: usize,
        before: Option<(&Config, &Arc<Forwarder>)>,
    ) -> anyhow::Result<Option<Arc<Forwarder>>> {
        if !config.resolves() {
            return Ok(None);
        }
        if let Some((old, forwarder)) = before
            && is_same(old, config)
        {
            return Ok(Some(Arc::clone(forwarder)));
        }
        let settings = ForwardSettings {
            sets: sets(config),
            routes: config.forward.routes.clone(),
            bootstrap: config.forward.bootstrap.clone(),
            listening: self.listening.clone(),
            udp_payload: config.edns.udp_payload,
            nsid: config.edns.nsid.clone(),
            in_flight,
            in_flight_per_client: ForwardSettings::PER_CLIENT,
            max_cname_depth: config.backend.max_cname_depth,
        };
        let kept = before.filter(|(old, _)| old.cache == config.cache && sets(old) == sets(config));
        let kept = kept.and_then(|(_, forwarder)| forwarder.cache().cloned());
        let cache = config.cache.enabled.then(|| {
            let new = || {
                let cache = Cache::new(config.cache, self.clock.clone(), Arc::clone(&self.cached));
                Arc::new(cache.promoting(Arc::clone(&self.served)))
            };
            kept.unwrap_or_else(new)
        });
        let local = LocalChains::new(Arc::clone(&self.served), environment);
        let forwarder = Forwarder::new(settings, Arc::clone(&self.cookies), &self.clock, &self.servers);
        let forwarder = forwarder
            .beside(Arc::new(local))
            .keeping(cache)
            .ruled(Arc::clone(&self.rules))
            .counting(Arc::clone(&self.figures));
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
        Ok(Some(Arc::new(forwarder)))
    }

    /// The cache of the first forwarder, where an earlier process has left one.
    pub(super) async fn restore(&self, config: &Config, forwarder: Option<&Arc<Forwarder>>) {
        if let Some(forwarder) = forwarder
            && config.cache.enabled
            && config.cache.persist
        {
            lists::restore_cache(forwarder, &config.storage.path).await;
        }
    }

    /// Runs what the forwarder in force does by time, and ends that of the one before.
    fn keep(&mut self, config: &Config, policies: &Policies, spawner: &Spawner) {
        let now = policies.current().forwarder.clone();
        match (&self.kept, &now) {
            (Some((kept, _)), Some(now)) if Arc::ptr_eq(kept, now) => return,
            (None, None) => return,
            _ => {}
        }
        if let Some((_, stop)) = self.kept.take() {
            stop.cancel();
        }
        let Some(forwarder) = now else {
            return;
        };
        let stop = spawner.stopping().child_token();
        if config.cache.enabled && config.cache.persist {
            let task = lists::keep_cache(Arc::clone(&forwarder), &config.storage.path, stop.clone());
            run_until_stopped(spawner, "cache", task);
        }
        for task in forwarder.tasks() {
            let stop = stop.clone();
            run_until_stopped(spawner, "upstream servers", async move {
                tokio::select! {
                    () = task => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        self.kept = Some((forwarder, stop));
    }

    /// Keeps the forwarder in force in step with the host's addresses, from the first one on; and shows its cache.
    /// Within a runtime.
    pub(super) fn follow(&mut self, config: &Config, policies: &Arc<Policies>, metrics: &Metrics, spawner: &Spawner) {
        self.keep(config, policies, spawner);
        let has_forwarder = policies.load().forwarder.is_some();
        if self.is_following || !has_forwarder {
            return;
        }
        self.is_following = true;
        let (policies, cached) = (Arc::clone(policies), Arc::clone(&self.cached));
        let (shown, program) = (Arc::clone(&policies), self.program.clone());
        metrics.show_cache(Box::new(move || {
            let policy = shown.load();
            let cache = policy.forwarder.as_ref().and_then(|forwarder| forwarder.cache());
            let figures = cache.map_or(&cached, |cache| cache.figures());
            if let Some(Ok(counters)) = program.lock().as_ref().map(Program::counters) {
                let hits = counters.cached.saturating_sub(counters.ruled);
                figures.hits_in_xdp.store(hits, Ordering::Relaxed);
                figures.ruled_in_xdp.store(counters.ruled, Ordering::Relaxed);
            }
            Arc::clone(figures)
        }));
        metrics.show_rules(&self.rules);
        let fenced = Arc::clone(&policies);
        self.rules.fence_with(move |change| fence(&fenced, change));
        let (tended, stopping) = (Arc::clone(&policies), spawner.stopping());
        spawner.spawn("hot answers", async move {
            tokio::select! {
                ended = tend(&tended) => ended,
                () = stopping.cancelled() => Ok(()),
            }
        });
        lists::keep_lists(&self.rules, spawner);
        let answered = Arc::clone(&policies);
        // What is kept was made by other rules.
        self.rules.on_other_answers(move || {
            let policy = answered.load();
            if let Some(cache) = policy.forwarder.as_ref().and_then(|forwarder| forwarder.cache()) {
                cache.clear();
            }
        });
        // Before the addresses are read again, so that no change falls between.
        let changes = match netlink::addresses() {
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
                warn!(
                    "the host's addresses are looked at every {LOOK_AGAIN:?} alone, since there is no netlink: {error}"
                );
                Changes::none()
            }
        };
        let stopping = spawner.stopping();
        spawner.spawn("upstream addresses", async move {
            tokio::select! {
                () = follow(&policies, changes) => Ok(()),
                () = stopping.cancelled() => Ok(()),
            }
        });
    }
}

/// Whether forwarders of these two would be alike.
fn is_same(old: &Config, new: &Config) -> bool {
    old.backend == new.backend && old.forward == new.forward && old.cache == new.cache && old.edns == new.edns
}

/// The sets of servers: that of `backend.upstream`, where it is enabled, and those of `forward.upstreams`.
fn sets(config: &Config) -> Vec<UpstreamSet> {
    let upstream = &config.backend.upstream;
    let default = upstream.enabled.then(|| UpstreamSet {
        name: DEFAULT_SET.into(),
        servers: upstream.servers.clone(),
        policy: Policy::Sequential,
        failover_on: FailoverOn::ALL,
        timeout: upstream.timeout,
        probe: ProbeConfig::default(),
    });
    default
        .into_iter()
        .chain(config.forward.upstreams.iter().cloned())
        .collect()
}

/// Keeps the answers that the fast path and XDP give in step with the cache.
async fn tend(policies: &Policies) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(TEND);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Some(forwarder) = policies.current().forwarder.clone() {
            // There may be many of them.
            tokio::task::spawn_blocking(move || forwarder.tend_hot()).await?;
        }
    }
}

/// Makes a change of the rules with nothing promoted from the cache in force.
fn fence(policies: &Policies, change: &mut dyn FnMut()) {
    let cache = || {
        policies
            .current()
            .forwarder
            .as_ref()
            .and_then(|forwarder| forwarder.cache().cloned())
    };
    let mut fenced = cache();
    let mut is_changed = false;
    loop {
        let mut once = || {
            if !std::mem::replace(&mut is_changed, true) {
                change();
            }
        };
        match &fenced {
            Some(cache) => cache.fence(&mut once),
            None => once(),
        }
        // A reload may have put another cache into force meanwhile, from which answers were promoted by the rules
        // before.
        let now = cache();
        if now.as_ref().map(Arc::as_ptr) == fenced.as_ref().map(Arc::as_ptr) {
            return;
        }
        fenced = now;
    }
}

async fn follow(policies: &Policies, mut changes: Changes) {
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
                let policy = policies.current();
                let now = policy.forwarder.as_ref().map(|forwarder| forwarder.follow(&host));
                let now: Vec<String> = now.into_iter().flatten().map(str::to_owned).collect();
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
