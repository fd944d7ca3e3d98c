//! The server's own store, publisher, program and sockets, in this process, at the end of a circuit.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use aya::programs::xdp::XdpLink;
use dns_common::settings::Settings;
use dns_userspace::answer::Environment;
use dns_userspace::cookies::Cookies;
use dns_userspace::model::name::Name;
use dns_userspace::model::source::SourceId;
use dns_userspace::observe::metrics::Metrics;
use dns_userspace::query::AnswererFactory;
use dns_userspace::serve::answerer::LocalAnswerer;
use dns_userspace::serve::policy::{Policies, Policy};
use dns_userspace::serve::sockets;
use dns_userspace::serve::stream::StreamSettings;
use dns_userspace::serve::worker::{Parts, Plane};
use dns_userspace::serve::xdp::Loader;
use dns_userspace::serve::xdp::own::{self, Interface, Listen};
use dns_userspace::serve::xdp::{Mode, Program};
use dns_userspace::store::Change;
use dns_userspace::zonefile;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::circuit::{Circuit, attach, processors};
use super::load::Load;
use super::object;
use super::zone::Zone;
use crate::net::End;
use crate::planes::Planes;

/// The port that is served.
const PORT: u16 = 53;

/// Store, publisher and program; sockets where they are served.
pub(super) struct Site {
    planes: Planes,
    sockets: Option<(Plane, Runtime)>,
    // After the program, whose link ends before the interface.
    pub(super) circuit: Circuit,
}

/// What changes are made through.
pub(super) struct Publication<'a>(&'a mut Planes);

impl Publication<'_> {
    /// Makes changes, and publishes them; then they are acknowledged.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        self.0.apply(changes)
    }
}

impl Site {
    /// Loads the program, with the zone in its table. It is attached to nothing yet.
    pub(super) fn new(label: &str, content: &Zone) -> Result<Self> {
        let circuit = Circuit::new(label, false)?;
        let environment = Environment::DEFAULT;
        let mut planes = Planes::new(
            loader(&circuit.pair.second, environment.udp_payload)?,
            environment,
            false,
        )?;
        planes.apply(vec![zone(content)?])?;
        Ok(Self {
            planes,
            sockets: None,
            circuit,
        })
    }

    /// Serves the load's address, from XDP and from sockets.
    pub(super) fn serve(&mut self, load: &Load) -> Result<()> {
        let (address, workers) = (self.circuit.server_address(load), processors()?.len());
        let bind = || sockets::bind(&[address], address.port(), workers).context("cannot bind");
        let endpoints = self.circuit.server.enter(bind)?;
        let (served, cookies) = (Arc::clone(&self.planes.served), Arc::new(Cookies::new(None)?));
        let environment = self.planes.environment;
        let policies = Arc::new(Policies::new(Policy::open(environment)));
        let obeyed = Arc::clone(&policies);
        let answerers: AnswererFactory = Arc::new(move || {
            let (served, policies) = (Arc::clone(&served), Arc::clone(&obeyed));
            Box::new(LocalAnswerer::new(served, policies, Arc::clone(&cookies)))
        });
        let metrics = Metrics::new(None, Arc::default());
        let parts = Parts {
            endpoints,
            answerers,
            counters: metrics.queries(),
            figures: metrics.sockets(),
            streams: StreamSettings::new(Duration::from_secs(10), 64, None, 1024),
            wants_interfaces: false,
            policies,
        };
        let runtime = Runtime::new().context("no runtime")?;
        let sockets = {
            let _inside = runtime.enter();
            Plane::start(parts).context("the sockets cannot be served")?
        };
        self.sockets = Some((sockets, runtime));
        let (program, interface) = (self.planes.publisher.program(), interface(&self.circuit.pair.second));
        self.circuit.server.enter(|| {
            let mut program = program.lock();
            let program = program.as_mut().context("no program was loaded")?;
            program.attach(&interface, Mode::Native)?;
            Ok(())
        })
    }

    /// Attaches the program to the server's end, until the link is dropped.
    pub(super) fn attach(&self) -> Result<XdpLink> {
        let (program, index) = (self.planes.publisher.program(), self.circuit.pair.second.index);
        self.circuit.server.enter(|| {
            let mut program = program.lock();
            let program = program.as_mut().context("no program was loaded")?;
            attach(program.ebpf_mut(), "hotdns", index)
        })
    }

    /// Makes changes, and publishes them.
    pub(super) fn apply(&mut self, changes: Vec<Change>) -> Result<()> {
        self.planes.apply(changes)
    }

    /// What changes are made through, and the circuit, to be used at the same time.
    pub(super) fn parts(&mut self) -> (Publication<'_>, &Circuit) {
        (Publication(&mut self.planes), &self.circuit)
    }
}

fn interface(end: &End) -> Interface {
    Interface {
        name: end.device.clone(),
        index: end.index,
        mac: end.mac,
        mtu: 1500,
        vlan: None,
        is_veth_or_loopback: true,
        addresses: end.addresses.clone(),
    }
}

/// Tables are the maps of the very program that is measured elsewhere.
fn loader(end: &End, udp_payload: u16) -> Result<Loader> {
    let path = object::program()?;
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let listen = Listen {
        address: None,
        port: PORT,
    };
    let own = own::entries(&[interface(end)], &[end.index], &[listen]);
    Ok(Box::new(move |keys, sizes| {
        let settings = Settings {
            lines: sizes.lines,
            udp_payload,
            ports: Settings::quick_ports([PORT]),
            ..Settings::DEFAULT
        };
        let (mut program, memory) = Program::load(&object, &settings.into(), keys, sizes)?;
        let report = program.set_own(own.clone());
        if report.error.is_some() {
            return Err(format!("{report:?}").into());
        }
        Ok((Some(program), memory))
    }))
}

fn zone(zone: &Zone) -> Result<Change> {
    let folder = TempDir::with_prefix("hotdns-bench-").context("cannot make a folder")?;
    let apex = Name::parse(&zone.origin).with_context(|| zone.origin.clone())?;
    let file: Arc<str> = zone.origin.as_str().into();
    let content = zonefile::load(&zone.write(folder.path())?, &apex, file.clone())
        .map_err(|errors| anyhow!("{}", errors.iter().map(ToString::to_string).collect::<String>()))?;
    Ok(Change::PutZone {
        source: SourceId::zone_files(),
        apex,
        content: Ok(content.rrsets),
    })
}
