//! What the server is made of, started in order and stopped in the opposite one.

mod control;
mod cookies;
mod files;
mod forward;
mod http;
mod health;
#[cfg(feature = "xdp")]
mod keeper;
mod lists;
mod live;
mod netlink;
mod storage;
mod watched;
mod writers;
#[cfg(feature = "xdp")]
mod xdp;
#[cfg(not(feature = "xdp"))]
#[path = "system/no_xdp.rs"]
mod xdp;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tracing::{info, warn};

use self::control::{Pending, ServerPlanes};
use self::files::Shares;
use self::forward::Forwarding;
use self::http::Http;
use self::live::{Gates, Live, Makers, SharedLive, run_until_stopped};
use self::watched::WatchedFiles;
use self::xdp::TableChoices;
use super::supervisor::{Service, Spawner};
use super::{announce, logging, needs};
use crate::answer::{Admission, Environment, Identity};
use crate::api::{Inside, Serving, View};
use crate::config::{ChaosConfig, Config, ConfigSource, ConfigWithZones, Loaded};
use crate::control::{Control, ControlHandle, ControlSettings};
use crate::cookies::Cookies;
use crate::host::files::open_descriptors;
use crate::host::privileges;
use crate::journal::EtcdLink;
use crate::lines::CompileOptions;
use crate::message::Limit;
use crate::observe::control::Told;
use crate::observe::dnstap::Dnstap;
use crate::observe::figures::Figures;
use crate::observe::metrics::{Metrics, XdpFigures};
use crate::observe::readiness::Readiness;
use crate::observe::top::Top;
use crate::publish::{Served, ZoneCounts};
use crate::query::AnswererFactory;
use crate::rules::RuleBook;
use crate::serve::answerer::LocalAnswerer;
use crate::serve::explain::Explainer;
use crate::serve::gate::Charged;
use crate::serve::policy::{Policies, Policy};
use crate::serve::query_log::QueryLogParts;
use crate::serve::sockets;
use crate::serve::stream::StreamSettings;
use crate::serve::worker::{Parts, Plane};
use crate::serve::xdp::{Publisher, Taps};

/// Everything that runs.
pub(super) struct System {
    control: ControlHandle,
    plane: Mutex<Option<Plane>>,
    readiness: Arc<Readiness>,
    dnstap: Option<Dnstap>,
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
        let http = Http::start(&config, credentials.clone(), &readiness, &spawner).await?;
        let reading = tokio::task::spawn_blocking(move || ConfigWithZones::read_zone_files(loaded));
        let desired = reading.await.context("the zone files could not be read")?;
        announce(&desired);
        let endpoints = sockets::bind(&config.listen, config.dns_port, workers())?;
        let listening: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();

        let cookies = Arc::new(Cookies::new(config.edns.cookie_secret_file.as_deref())?);
        let sockets = Arc::new(Figures::default());
        let charged: Arc<Charged> = Arc::default();
        let environment = environment(&config, &cookies);
        let options = CompileOptions::of(&environment, config.resolves());
        let gates = Gates {
            bucket_secret: live::bucket_secret()?,
            charged: Arc::clone(&charged),
            figures: Arc::clone(&sockets),
        };
        // Until there is a forwarder and a query log: nothing is answered yet.
        let first = Policy {
            recursion: recursion(&config),
            gate: Arc::new(gates.make(&config)),
            ..Policy::open(environment)
        };
        let choices = Arc::new(ArcSwap::from_pointee(TableChoices::of(&config, &listening, &first)));
        let policies = Arc::new(Policies::new(first));
        #[cfg(feature = "xdp")]
        let own_room = xdp::own_room(&listening);
        let taps = Taps::default();
        #[cfg(feature = "xdp")]
        let loader = xdp::table_loader(&config, &choices, &cookies, &own_room, &taps);
        #[cfg(not(feature = "xdp"))]
        let loader = xdp::table_loader(&config, &choices);
        let mut publisher = Publisher::new(loader, options)?;
        let counts = config.metrics.per_zone.then(|| publisher.count_zones());
        let served = publisher.served();
        let program = publisher.program();
        let figures = program
            .lock()
            .is_some()
            .then(|| Arc::new(program.clone()) as Arc<dyn XdpFigures>);
        let metrics = Arc::new(Metrics::new(figures, Arc::clone(&sockets)));
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

        let (writers, sources) = writers::start(&config, &spawner);
        metrics.show_sources(Arc::clone(&sources));
        let observer = Arc::new(Told {
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
            sources: Arc::clone(&sources),
        });
        let rules: Arc<RuleBook> = Arc::default();
        rules.go_through(sources.autopaths());
        let watched = Arc::new(WatchedFiles::default());
        let shown: control::Shown = Arc::new(ArcSwap::from_pointee(desired.shown.clone()));
        let file = source.path.display().to_string();
        let in_force = SharedLive::default();
        let loader = control::FileLoader::new(
            source,
            &desired,
            Arc::clone(&watched),
            Arc::clone(&in_force),
            Arc::clone(&shown),
        );
        let pending = Pending::default();
        let planes = ServerPlanes {
            publisher,
            choices: Arc::clone(&choices),
            policies: Arc::clone(&policies),
            pending: pending.clone(),
        };
        let token = Arc::new(ArcSwapOption::new(token));
        let (kept_in, runtime) = (config.storage.clone(), Handle::current());
        let (token_file, secrets) = (Arc::clone(&token), Arc::clone(&cookies));
        let (limits, guard) = (config.history, config.changes);
        let initial = control::desired(desired, Vec::new());
        let ids = sources.ids();
        let started = tokio::task::spawn_blocking(move || {
            let storage::Opened { journal, stored, link } = storage::open(&kept_in, runtime)?;
            let settings = ControlSettings {
                journal,
                stored,
                history: limits,
                guard,
                storage_required: kept_in.required,
                sources: ids,
                loader: Box::new(loader),
                token: token_file,
                cookies: secrets,
                observer,
                stages: Vec::new(),
            };
            let control = Control::start(settings, initial, Box::new(planes))?;
            anyhow::Ok((control, link))
        });
        let (control, link) = started.await.context("the control thread could not be started")??;
        let Control {
            handle,
            thread,
            history,
        } = control;
        spawner.watch_thread("control", thread);
        let shared_tokens = link.as_ref().map(EtcdLink::tokens);
        let nodes = storage::follow(link, &handle, &spawner);
        if let Some(nodes) = &nodes {
            metrics.show_nodes(Arc::clone(nodes));
        }

        for task in sources.tasks(&handle, &history, &spawner.stopping()) {
            run_until_stopped(&spawner, "source", task);
        }
        let (compared, against, stopping) = (Arc::clone(&sources), Arc::clone(&served), spawner.stopping());
        spawner.spawn("comparisons", async move {
            tokio::select! {
                () = compared.keep_comparing(|| against.snapshot()) => {}
                () = stopping.cancelled() => {}
            }
            Ok(())
        });
        let (targets, reports) = writers.tasks(&config, &history, &sources, &metrics, &spawner);
        let dnstap = Dnstap::start(&config.dnstap, &metrics.sockets()).context("dnstap cannot be started")?;
        let top: Arc<Top> = Arc::default();
        let logs = QueryLogParts {
            figures: metrics.sockets(),
            served: Arc::clone(&served),
            taps,
            dnstap: dnstap.clone(),
            top: Arc::clone(&top),
        };
        let mut makers = Makers {
            logs,
            forwarding: Forwarding::new(&listening, &cookies, &served, Arc::clone(&rules), &program, &metrics),
            cookies: Arc::clone(&cookies),
            gates,
            listening: listening.clone(),
            files: (limit, open_descriptors()),
        };
        let shares = makers.shares(&config);
        http.api.raise_room(shares.http);
        let given = config.rules.clone();
        tokio::task::spawn_blocking(move || control::replace_rules(&rules, &given)).await?;
        let now = makers.first(&config, &policies.current(), &choices, credentials)?;
        policies.replace(Arc::clone(&now.policy));
        makers.forwarding.restore(&config, now.policy.forwarder.as_ref()).await;
        makers.forwarding.follow(&config, &policies, &metrics, &spawner);
        let template = Arc::new(ArcSwap::from_pointee(config.zone_template.clone()));
        let choices_now = Arc::clone(&choices);
        let asked = Arc::clone(&policies);
        http.api.start(Serving {
            control: handle.clone(),
            view: view(&served),
            metrics: Arc::clone(&metrics),
            forwarder: Arc::new(move || asked.load().forwarder.clone()),
            sources: Arc::clone(&sources),
            inside: Some(Inside {
                explainer: Explainer {
                    served: Arc::clone(&served),
                    policies: Arc::clone(&policies),
                    cookies: Arc::clone(&cookies),
                    program: program.clone(),
                },
                listening: listening.clone(),
                top: Arc::clone(&top),
                shows_xdp: Arc::new(move || choices_now.load().shows_answers()),
                configuration: Arc::new(move || shown.load_full()),
                file,
            }),
            zones: Arc::clone(&template),
            history: Arc::clone(&history),
            nodes,
            tokens: shared_tokens.clone(),
            targets: reports,
            cluster: writers::in_cluster(&config),
        });
        if let Some(shared) = shared_tokens {
            let (api, stopping) = (http.api.clone(), spawner.stopping());
            spawner.spawn("shared tokens", async move {
                tokio::select! {
                    () = api.follow_tokens(shared) => {}
                    () = stopping.cancelled() => {}
                }
                Ok(())
            });
        }
        let latency = metrics.latency();
        let (answered, obeyed, secrets) = (Arc::clone(&served), Arc::clone(&policies), Arc::clone(&cookies));
        let answerers: AnswererFactory = Arc::new(move || {
            let answerer = LocalAnswerer::new(Arc::clone(&answered), Arc::clone(&obeyed), Arc::clone(&secrets));
            let answerer = answerer.timing(Arc::clone(&latency));
            Box::new(answerer.counting(counts.as_ref().map(ZoneCounts::counter)))
        });
        let parts = Parts {
            endpoints,
            answerers,
            counters: metrics.queries(),
            figures: metrics.sockets(),
            streams: stream_settings(&config, &shares),
            // What the program has charged, the sockets do not: limits may be switched on while they are served.
            wants_interfaces: program.lock().is_some(),
            policies: Arc::clone(&policies),
        };
        let plane = Plane::start(parts).context("the sockets cannot be served")?;
        cookies::keep(cookies, program.clone(), &spawner);
        #[cfg(feature = "xdp")]
        xdp::attach(
            &config,
            &listening,
            program,
            &charged,
            own_room,
            handle.clone(),
            &spawner,
        )
        .await;
        let live = Live {
            makers,
            now,
            before: None,
            policies,
            pending,
            token,
            api: http.api.clone(),
            template,
            streams: plane.stream_limits(),
            watched: Arc::clone(&watched),
            metrics,
            sources,
            targets,
            retiring: Vec::new(),
            control: handle.clone(),
            history,
            spawner: spawner.clone(),
            runtime: Handle::current(),
        };
        *in_force.lock().unwrap_or_else(PoisonError::into_inner) = Some(live);
        watched.switch(config.files.watch);
        let (control, stopping) = (handle.clone(), spawner.stopping());
        spawner.spawn("files", async move {
            tokio::select! {
                () = watched.follow(&control) => {}
                () = stopping.cancelled() => {}
            }
            Ok(())
        });
        privileges::keep_what_is_needed(needs(&config));

        readiness.serve();
        say_ready(&readiness, plane.addresses().to_vec(), &spawner);
        Ok(Self {
            control: handle,
            plane: Mutex::new(Some(plane)),
            readiness,
            dnstap,
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
        if let Some(dnstap) = &self.dnstap {
            dnstap.end();
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
        hash_prefixes: config.backend.hash_prefixes(),
        cookies: cookies.source(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        identity: None,
        admission: Admission::Admitted,
        random: 0,
    }
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

/// How many answers of upstream servers are ready to be given at once, beside our own.
fn hot_names(config: &Config) -> u32 {
    if config.resolves() && config.cache.enabled {
        config.cache.xdp.names
    } else {
        0
    }
}

fn view(served: &Arc<Served>) -> View {
    let served = Arc::clone(served);
    View {
        snapshot: Arc::new(move || served.snapshot()),
    }
}
