//! What the server is made of, started in order and stopped in the opposite one.

mod control;
mod cookies;
mod http;
mod xdp;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use dns_common::cookie::words;
use dns_common::limit::{Limits, Pace};
use ipnet::IpNet;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::supervisor::{Service, Spawner};
use crate::access::{Access, AccessList};
use crate::answer::{Admission, Environment, Identity, Transport};
use crate::compile::CompileOptions;
use crate::config::{Chaos, Config, ConfigSource, Desired, RateLimit};
use crate::control::{Control, ControlHandle, ReloadReport, Settings};
use crate::cookies::Cookies;
use crate::dataplane::answerer::LocalAnswerer;
use crate::dataplane::gate::Gate;
use crate::dataplane::sockets;
use crate::dataplane::tcp::{TcpSettings, raise_file_limit};
use crate::dataplane::worker::{AnswererFactory, Figures, Parts, Plane};
use crate::forward::{ForwardSettings, Forwarder};
use crate::http::{ApiState, TokenFile, View};
use crate::metrics::{Metrics, XdpFigures};
use crate::publish::{Publisher, Served, ZoneCounts};

/// Everything that runs.
pub(super) struct System {
    control: ControlHandle,
    plane: Mutex<Option<Plane>>,
    ready: Arc<AtomicBool>,
    /// HTTP ends last but for the control thread: until then `/ready` says 503.
    http_stops: CancellationToken,
}

impl System {
    /// Starts the parts; an error stops those that were started.
    pub(super) async fn start(source: ConfigSource, desired: Desired, spawner: Spawner) -> anyhow::Result<Self> {
        let config = desired.config.clone();
        let token = config
            .http
            .token_file
            .as_deref()
            .map(TokenFile::load)
            .transpose()?
            .map(Arc::new);
        let listeners = http::bind(&config, token.is_some()).await?;
        let endpoints = sockets::bind(&config.listen, config.dns_port, workers())?;
        let listening: Vec<_> = endpoints.iter().map(|endpoint| endpoint.address).collect();

        let cookies = Arc::new(Cookies::new(config.cookie_secret_file.as_deref())?);
        let environment = environment(&config, &cookies);
        let identity = Arc::new(identity(&config));
        let options = CompileOptions::of(&environment, config.backend.upstream.enabled);
        let recursion = recursion(&config);
        let sockets = Arc::new(Figures::default());
        let gate = Arc::new(gate(&config, &sockets)?);
        let loader = xdp::table_loader(&config, &listening, &recursion, &cookies, &gate);
        let mut publisher = Publisher::new(loader, options)?;
        let counts = config.metrics_per_zone.then(|| publisher.count_zones());
        let served = publisher.served();
        let program = publisher.program();
        let figures = program
            .lock()
            .is_some()
            .then(|| Arc::new(program.clone()) as Arc<dyn XdpFigures>);
        let metrics = Arc::new(Metrics::new(figures, sockets));
        metrics.show_table(publisher.figures());
        if let Some(counts) = &counts {
            metrics.show_zones(Arc::clone(counts));
        }

        let settings = Settings {
            storage_path: config.storage_path.clone(),
            loader: control::loader(source, config.clone()),
            token: token.clone(),
            cookies: Arc::clone(&cookies),
            metrics: Arc::clone(&metrics),
        };
        let initial = control::desired(desired, Vec::new());
        let started = tokio::task::spawn_blocking(move || Control::start(settings, initial, Box::new(publisher)));
        let Control { handle, thread, .. } = started.await.context("the control thread could not be started")??;
        spawner.watch_thread("control", thread);

        // A connection takes one, and so does each query on its way upstream.
        let files = raise_file_limit(u64::from(config.tcp.max_connections) * 3 / 2);
        // The probes answer from here on; ready is said when sockets and tables serve.
        let ready = Arc::new(AtomicBool::new(false));
        let state = ApiState {
            control: handle.clone(),
            view: view(&served),
            metrics: Arc::clone(&metrics),
            ready: Arc::clone(&ready),
            token,
        };
        let http_stops = CancellationToken::new();
        let stops = http_stops.clone();
        spawner.spawn("http", async move {
            crate::http::serve(listeners, state, stops).await;
            Ok(())
        });

        let forwarder = forwarder(&config, &listening, files, &cookies)?;
        let parts = Parts {
            endpoints,
            answerers: answerers(&served, environment, &identity, &cookies, &recursion, &gate, counts),
            forwarder,
            counters: metrics.queries(),
            figures: metrics.sockets(),
            tcp: tcp_settings(&config, files),
            wants_interfaces: gate.limits.is_enabled() && program.lock().is_some(),
        };
        let plane = Plane::start(parts).context("the sockets cannot be served")?;
        cookies::keep(cookies, program.clone(), &spawner);
        xdp::attach(&config, &listening, program, &gate.charged, &spawner).await;

        ready.store(true, Ordering::Release);
        info!(listen = ?plane.addresses(), "ready");
        Ok(Self {
            control: handle,
            plane: Mutex::new(Some(plane)),
            ready,
            http_stops,
        })
    }
}

impl Service for System {
    async fn reload(&self) {
        match self.control.reload().await {
            Ok(ReloadReport { counts, failed, .. }) => info!(
                added = counts.added,
                changed = counts.changed,
                removed = counts.removed,
                failed = failed.len(),
                "reloaded",
            ),
            Err(error) => error!("the reload changed nothing: {error}"),
        }
    }

    async fn stop(&self, limit: Duration) {
        self.ready.store(false, Ordering::Release);
        if let Some(plane) = self.plane.lock().await.take()
            && !plane.shutdown(limit).await
        {
            warn!("not every query was answered within {} s", limit.as_secs());
        }
        self.http_stops.cancel();
        self.control.stop().await;
    }
}

fn tcp_settings(config: &Config, files: u64) -> TcpSettings {
    let tcp = config.tcp;
    let settings = TcpSettings::new(
        tcp.idle_timeout,
        tcp.max_connections as usize,
        tcp.max_connections_per_client.map(|most| most as usize),
        files,
    );
    if settings.connections < tcp.max_connections as usize {
        warn!(
            "`tcp.max_connections` is {}, but the limit of open files, {files}, leaves {}: raise the limit (`ulimit -n`, or \
             `LimitNOFILE=` of systemd) to one and a half times the number of connections",
            tcp.max_connections, settings.connections
        );
    }
    settings
}

/// One worker per processor.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn environment(config: &Config, cookies: &Cookies) -> Environment<'static> {
    Environment {
        udp_payload: config.udp_payload,
        recursion_available: false,
        transport: Transport::Udp,
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
    let RateLimit {
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
        access: config.access.clone(),
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
    let Chaos { version, hostname, id } = config.chaos.clone();
    Identity {
        nsid: config.nsid.clone(),
        version,
        hostname,
        id,
    }
}

/// The clients that may use the upstream; none where there is none.
fn recursion(config: &Config) -> Arc<[IpNet]> {
    let upstream = &config.backend.upstream;
    if upstream.enabled {
        upstream.allow.clone().into()
    } else {
        Arc::default()
    }
}

fn answerers(
    served: &Arc<Served>,
    environment: Environment<'static>,
    identity: &Arc<Identity>,
    cookies: &Arc<Cookies>,
    recursion: &Arc<[IpNet]>,
    gate: &Arc<Gate>,
    counts: Option<Arc<ZoneCounts>>,
) -> AnswererFactory {
    let (served, identity, recursion) = (Arc::clone(served), Arc::clone(identity), Arc::clone(recursion));
    let (cookies, gate) = (Arc::clone(cookies), Arc::clone(gate));
    Arc::new(move || {
        let answerer = LocalAnswerer::new(
            Arc::clone(&served),
            environment,
            Arc::clone(&identity),
            Arc::clone(&cookies),
            Arc::clone(&recursion),
            Arc::clone(&gate),
        );
        Box::new(answerer.counting(counts.as_ref().map(ZoneCounts::counter)))
    })
}

fn forwarder(
    config: &Config,
    listening: &[SocketAddr],
    files: u64,
    cookies: &Arc<Cookies>,
) -> anyhow::Result<Option<Arc<Forwarder>>> {
    let upstream = &config.backend.upstream;
    if !upstream.enabled {
        return Ok(None);
    }
    if let Some(server) = upstream
        .servers
        .iter()
        .find(|&&server| sockets::is_ourselves(server, listening))
    {
        anyhow::bail!("`backend.upstream.servers` names {server}, which is this server: name another resolver");
    }
    let settings = ForwardSettings {
        servers: upstream.servers.clone(),
        timeout: upstream.timeout,
        udp_payload: config.udp_payload,
        nsid: config.nsid.clone(),
        in_flight: ForwardSettings::in_flight_for_file_limit(files),
    };
    Ok(Some(Arc::new(Forwarder::new(settings, Arc::clone(cookies)))))
}

fn view(served: &Arc<Served>) -> View {
    let served = Arc::clone(served);
    View {
        snapshot: Arc::new(move || served.snapshot()),
    }
}
