//! What the server is made of, started in order and stopped in the opposite one.

mod control;
mod cookies;
mod files;
mod forward;
mod http;
mod keeper;
mod netlink;
mod watched;
mod xdp;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use dns_common::cookie::words;
use dns_common::limit::{Limits, Pace};
use ipnet::IpNet;
use tokio::sync::Mutex;
use tracing::{info, warn};

use self::files::Shares;
use self::http::Http;
use self::watched::WatchedFiles;
use super::supervisor::{Service, Spawner};
use super::{announce, logging, needs};
use crate::answer::{Admission, Environment, Identity};
use crate::api::{Inside, Serving, View};
use crate::config::{ChaosConfig, Config, ConfigSource, ConfigWithZones, Loaded, RateLimitConfig};
use crate::control::{Control, ControlHandle, Settings};
use crate::cookies::Cookies;
use crate::host::privileges;
use crate::journal::Storage;
use crate::lines::CompileOptions;
use crate::message::Limit;
use crate::model::access::{Access, AccessList};
use crate::observe::control::Told;
use crate::observe::figures::Figures;
use crate::observe::metrics::{Metrics, XdpFigures};
use crate::observe::readiness::Readiness;
use crate::publish::{Served, ZoneCounts};
use crate::query::AnswererFactory;
use crate::rules::RuleBook;
use crate::serve::answerer::{LocalAnswerer, LocalChains};
use crate::serve::explain::Explainer;
use crate::serve::gate::Gate;
use crate::serve::query_log::QueryLog;
use crate::serve::sockets;
use crate::serve::stream::StreamSettings;
use crate::serve::worker::{Parts, Plane};
use crate::serve::xdp::Publisher;
use crate::source::Registry;
use crate::target::{self, TargetFigures};

/// Everything that runs.
pub(super) struct System {
    control: ControlHandle,
    plane: Mutex<Option<Plane>>,
    readiness: Arc<Readiness>,
    /// It ends last but for the control thread: until then `/ready` says 503.
    http: Http,
}

impl System {
    /// Starts the parts; an error stops those that were started.
    pub(super) async fn start(source: ConfigSource, loaded: Loaded, spawner: Spawner) -> anyhow::Result<Self> {
        let config = loaded.config.clone();
        let credentials = http::credentials(&config)?;
        let token = credentials.token.clone();
        let limit = files::raise_limit(config.tcp.connections());
        // The probes answer from here on; ready is said when sockets and tables serve.
        let readiness = Arc::new(Readiness::default());
        let http = Http::start(&config, credentials, &readiness, &spawner).await?;
        let reading = tokio::task::spawn_blocking(move || ConfigWithZones::read_zone_files(loaded));
        let desired = reading.await.context("the zone files could not be read")?;
        announce(&desired);
        let endpoints = sockets::bind(&config.listen, config.dns_port, workers())?;
        let listening: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();

        let cookies = Arc::new(Cookies::new(config.edns.cookie_secret_file.as_deref())?);
        let environment = environment(&config, &cookies);
        let identity = Arc::new(identity(&config));
        let options = CompileOptions::of(&environment, config.resolves());
        let recursion = recursion(&config);
        let sockets = Arc::new(Figures::default());
        let gate = Arc::new(gate(&config, &sockets)?);
        let own_room = xdp::own_room(&listening);
        let loader = xdp::table_loader(&config, &listening, &recursion, &cookies, &gate, &own_room);
        let mut publisher = Publisher::new(loader, options)?;
        let counts = config.metrics.per_zone.then(|| publisher.count_zones());
        let served = publisher.served();
        let program = publisher.program();
        let figures = program
            .lock()
            .is_some()
            .then(|| Arc::new(program.clone()) as Arc<dyn XdpFigures>);
        let metrics = Arc::new(Metrics::new(figures, sockets));
        metrics.show_table(publisher.figures());
        metrics.show_readiness(Arc::clone(&readiness));
        metrics.show_dropped_lines(logging::lines().dropped());
        metrics.show_http(Arc::clone(http.api.figures()));
        if let Some(counts) = &counts {
            metrics.show_zones(Arc::clone(counts));
        }
        if config.metrics.coredns_names {
            metrics.show_coredns_names(config.dns_port);
        }

        let sources = Arc::new(Registry::new(&config.sources));
        metrics.show_sources(Arc::clone(&sources));
        let observer = Arc::new(Told {
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
            sources: Arc::clone(&sources),
        });
        let rules: Arc<RuleBook> = Arc::default();
        let watched = Arc::new(WatchedFiles::default());
        let shown: control::Shown = Arc::new(ArcSwap::from_pointee(desired.shown.clone()));
        let file = source.path.display().to_string();
        let loader = control::FileLoader::new(
            source,
            &desired,
            Arc::clone(&watched),
            Arc::clone(&rules),
            Arc::clone(&shown),
        );
        let (path, storage_required) = (config.storage.path.clone(), config.storage.required);
        let (token_file, secrets) = (token, Arc::clone(&cookies));
        let (limits, guard) = (config.history, config.changes);
        let initial = control::desired(desired, Vec::new());
        let ids = sources.ids();
        let started = tokio::task::spawn_blocking(move || {
            let (storage, stored) = Storage::open(&path)?;
            let settings = Settings {
                journal: Box::new(storage),
                stored,
                history: limits,
                guard,
                storage_required,
                sources: ids,
                loader: Box::new(loader),
                token: token_file,
                cookies: secrets,
                observer,
            };
            anyhow::Ok(Control::start(settings, initial, Box::new(publisher))?)
        });
        let Control {
            handle,
            thread,
            history,
        } = started.await.context("the control thread could not be started")??;
        spawner.watch_thread("control", thread);

        if config.files.watch {
            let (control, stopping) = (handle.clone(), spawner.stopping());
            spawner.spawn("files", async move {
                tokio::select! {
                    () = watched.follow(&control) => {}
                    () = stopping.cancelled() => {}
                }
                Ok(())
            });
        }
        for task in sources.tasks(&handle, &history, &spawner.stopping()) {
            spawner.spawn("source", async move {
                task.await;
                Ok(())
            });
        }
        let figures = Arc::new(TargetFigures::default());
        let targets = target::tasks(&config.targets, &history, &sources, &figures, &spawner.stopping());
        if !targets.is_empty() {
            metrics.show_targets(&figures);
        }
        for task in targets {
            let stopping = spawner.stopping();
            spawner.spawn("target", async move {
                task.await;
                stopping.cancelled().await;
                Ok(())
            });
        }
        let shares = Shares::of(limit, files::open(), workers(), &config);
        http.api.raise_room(shares.http);

        let local = LocalChains::new(Arc::clone(&served), environment);
        let in_flight = shares.forwards;
        let forwarder = forward::start(
            &config,
            &listening,
            in_flight,
            &cookies,
            forward::Beside {
                local,
                rules,
                served: &served,
                program: &program,
            },
            &metrics,
            &spawner,
        )
        .await?;
        http.api.start(Serving {
            control: handle.clone(),
            view: view(&served),
            metrics: Arc::clone(&metrics),
            forwarder: forwarder.clone(),
            sources: Arc::clone(&sources),
            inside: Some(Inside {
                explainer: Explainer {
                    served: Arc::clone(&served),
                    environment,
                    recursion: Arc::clone(&recursion),
                    gate: Arc::clone(&gate),
                    cookies: Arc::clone(&cookies),
                    program: program.clone(),
                },
                listening: listening.clone(),
                configuration: Arc::new(move || shown.load_full()),
                file,
            }),
            zones: config.zone_template.clone(),
            history: Arc::clone(&history),
        });
        let local = local_answerers(&served, environment, &identity, &cookies, &recursion, &gate);
        let latency = metrics.latency();
        let log = QueryLog::start(&config.query_log, metrics.sockets()).context("the query log cannot be started")?;
        let answerers: AnswererFactory = Arc::new(move || {
            let answerer = local().forwarding(forwarder.clone());
            let answerer = answerer
                .logging(log.as_ref().map(QueryLog::another))
                .timing(Arc::clone(&latency));
            Box::new(answerer.counting(counts.as_ref().map(ZoneCounts::counter)))
        });
        let parts = Parts {
            endpoints,
            answerers,
            counters: metrics.queries(),
            figures: metrics.sockets(),
            streams: stream_settings(&config, &shares),
            wants_interfaces: gate.limits.is_enabled() && program.lock().is_some(),
            gate: Arc::clone(&gate),
        };
        let plane = Plane::start(parts).context("the sockets cannot be served")?;
        cookies::keep(cookies, program.clone(), &spawner);
        let waker = handle.clone();
        xdp::attach(&config, &listening, program, &gate.charged, own_room, waker, &spawner).await;
        privileges::keep_what_is_needed(needs(&config));

        readiness.serve();
        say_ready(&readiness, plane.addresses().to_vec(), &spawner);
        Ok(Self {
            control: handle,
            plane: Mutex::new(Some(plane)),
            readiness,
            http,
        })
    }
}

impl Service for System {
    async fn reload(&self) {
        // The writer logs the result, whoever asked for it.
        let _ = self.control.reload().await;
    }

    async fn stop(&self, limit: Duration) {
        self.readiness.stop();
        if let Some(plane) = self.plane.lock().await.take()
            && !plane.shutdown(limit).await
        {
            warn!("not every query was answered within {} s", limit.as_secs());
        }
        self.http.stop();
        self.control.stop().await;
    }
}

/// Says in the log that the server is ready, once it is.
fn say_ready(readiness: &Arc<Readiness>, addresses: Vec<SocketAddr>, spawner: &Spawner) {
    let readiness = Arc::clone(readiness);
    if let Some(reason) = readiness.not_ready() {
        warn!(listen = ?addresses, "not ready: {reason}");
    }
    let stopping = spawner.stopping();
    spawner.spawn("readiness", async move {
        tokio::select! {
            () = readiness.ready() => info!(listen = ?addresses, "ready"),
            () = stopping.cancelled() => return Ok(()),
        }
        stopping.cancelled().await;
        Ok(())
    });
}

fn stream_settings(config: &Config, shares: &Shares) -> StreamSettings {
    let tcp = config.tcp;
    let settings = StreamSettings::new(
        tcp.idle_timeout,
        tcp.connections() as usize,
        tcp.max_connections_per_client.map(|most| most as usize),
        shares.tcp,
    );
    let (wanted, left) = (tcp.connections(), settings.connections);
    match tcp.max_connections {
        _ if left >= wanted as usize => {}
        Some(_) => warn!(
            "`tcp.max_connections` is {wanted}, but the limit of open files, {}, leaves {left}: raise the limit \
             (`ulimit -n`, \
             or `LimitNOFILE=` of systemd) to {}",
            shares.limit,
            files::wanted(wanted),
        ),
        // Nobody asked for as many as there are by default.
        None => info!(
            "the limit of open files, {}, leaves {left} TCP connections",
            shares.limit
        ),
    }
    settings
}

/// One worker per processor.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn environment(config: &Config, cookies: &Cookies) -> Environment<'static> {
    Environment {
        udp_payload: config.edns.udp_payload,
        recursion_available: false,
        limit: Limit::Datagram,
        is_proven: false,
        max_cname_depth: config.backend.max_cname_depth,
        resolve_cname_chain: config.backend.resolve_cname_chain,
        return_soa_on_nxdomain: config.backend.return_soa_on_nxdomain,
        cookies: cookies.source(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        identity: None,
        admission: Admission::Admitted,
        random: 0,
    }
}

/// The server's access list and rate limits.
fn gate(config: &Config, figures: &Arc<Figures>) -> anyhow::Result<Gate> {
    let RateLimitConfig {
        enabled,
        rate,
        burst,
        ipv4_prefix,
        ipv6_prefix,
        slip,
        ref exempt,
        global,
    } = config.rate_limit;
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("no randomness for rate limits: {error}"))?;
    let exempt = (!exempt.is_empty()).then(|| Arc::new(AccessList::new(exempt, &[], Access::Refused)));
    let limits = Limits {
        prefix: Pace::new(rate, burst),
        global: global.map_or(Pace::NONE, |(rate, burst)| Pace::new(rate, burst)),
        secret: words(secret),
        slip: slip.into(),
        has_exempt: exempt.is_some().into(),
        ..Limits::NONE
    };
    Ok(Gate {
        access: config.acl.clone(),
        limits: if enabled {
            limits.with_prefixes(ipv4_prefix, ipv6_prefix)
        } else {
            Limits::NONE
        },
        exempt,
        charged: Arc::default(),
        figures: Arc::clone(figures),
    })
}

fn identity(config: &Config) -> Identity {
    let ChaosConfig { version, hostname, id } = config.chaos.clone();
    Identity {
        nsid: config.edns.nsid.clone(),
        version,
        hostname,
        id,
    }
}

/// The clients that may use the upstream; none where there is none.
fn recursion(config: &Config) -> Arc<[IpNet]> {
    if config.resolves() {
        config.backend.upstream.allow.clone().into()
    } else {
        Arc::default()
    }
}

/// Makes what answers from our own data.
fn local_answerers(
    served: &Arc<Served>,
    environment: Environment<'static>,
    identity: &Arc<Identity>,
    cookies: &Arc<Cookies>,
    recursion: &Arc<[IpNet]>,
    gate: &Arc<Gate>,
) -> impl Fn() -> LocalAnswerer + Send + Sync + use<> {
    let (served, identity, recursion) = (Arc::clone(served), Arc::clone(identity), Arc::clone(recursion));
    let (cookies, gate) = (Arc::clone(cookies), Arc::clone(gate));
    move || {
        LocalAnswerer::new(
            Arc::clone(&served),
            environment,
            Arc::clone(&identity),
            Arc::clone(&cookies),
            Arc::clone(&recursion),
            Arc::clone(&gate),
        )
    }
}

fn view(served: &Arc<Served>) -> View {
    let served = Arc::clone(served);
    View {
        snapshot: Arc::new(move || served.snapshot()),
    }
}
