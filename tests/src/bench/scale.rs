//! What one change costs, with few zones and with many.
//!
//! ```text
//! put, delete ─► writer ─ draft, plan, serials ─► no disk ─► publish (a table on the heap) ─► history ─► reply
//! ```
//!
//! Two writers run in one process, one with few zones and one with many, and are given changes in turn. The journal of
//! this bench keeps nothing, so the times are those of everything but the disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use dns_common::order::Prefixes;
use dns_userspace::answer::{Admission, Environment};
use dns_userspace::control::{
    Control, ControlHandle, ControlSettings, Desired, DesiredZone, Observer, Planes, Publication,
};
use dns_userspace::cookies::Cookies;
use dns_userspace::journal::{
    Entry, HistoryLimits, Journal, ServedSerial, StorageStatus, Stored, StoredFiles, Trouble, WriteError,
};
use dns_userspace::lines::CompileOptions;
use dns_userspace::message::Limit;
use dns_userspace::model::name::Name;
use dns_userspace::model::rdata;
use dns_userspace::model::record::{Handling, RecordType, RrSet};
use dns_userspace::model::source::Origin;
use dns_userspace::model::views::ViewClients;
use dns_userspace::serve::xdp::Publisher;
use dns_userspace::store::{ConfiguredView, Conflicts, Guard, TtlRules};
use tokio::runtime::Runtime;

use crate::planes::on_heap;

/// What `bench scale` is told.
#[derive(Args)]
pub struct Options {
    /// Zones of the writer with many
    #[arg(long, default_value_t = 100_000)]
    zones: usize,
    /// Zones of the writer with few
    #[arg(long, default_value_t = 10)]
    few: usize,
    /// Records of each zone
    #[arg(long, default_value_t = 10)]
    records: usize,
    /// Views of each writer
    #[arg(long, default_value_t = 4)]
    views: usize,
    /// Prefixes of clients, of all views together
    #[arg(long, default_value_t = 1000)]
    prefixes: usize,
    /// Changes that are timed, of each writer
    #[arg(long, default_value_t = 2000)]
    changes: usize,
}

/// A journal that keeps nothing.
struct NoJournal;

impl Journal for NoJournal {
    fn append(&mut self, _: &[Entry], _: &[ServedSerial]) -> Result<(), WriteError> {
        Ok(())
    }

    fn look(&mut self, _: &dyn Fn(&Stored) -> bool) -> Option<Stored> {
        None
    }

    fn trouble(&self) -> Option<&Trouble> {
        None
    }

    fn place(&self) -> String {
        "no journal".to_owned()
    }
}

/// Nobody is told.
struct Nobody;

impl Observer for Nobody {
    fn records(&self, _: &BTreeMap<&str, i64>) {}
    fn conflicts(&self, _: &Conflicts) {}
    fn reload_failures(&self, _: usize) {}
    fn storage(&self, _: StorageStatus) {}
}

/// A table on the heap.
struct Table(Publisher);

impl Planes for Table {
    fn publish(&mut self, publication: &Publication) {
        let serials = publication.serials.iter().map(|zone| (zone.index, zone.serial));
        let serials: Vec<(u32, u32)> = serials.collect();
        self.0.publish(&publication.new, &publication.delta, &serials);
    }
}

struct Writer {
    handle: ControlHandle,
    zones: usize,
    took: Vec<Duration>,
}

impl Writer {
    fn start(options: &Options, zones: usize) -> Result<Self> {
        let environment = Environment {
            udp_payload: 1232,
            hash_prefixes: Prefixes::DEFAULT,
            recursion_available: false,
            limit: Limit::Datagram,
            is_proven: false,
            max_cname_depth: 8,
            resolve_cname_chain: true,
            return_soa_on_nxdomain: true,
            cookies: Cookies::new(None)?.source(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            identity: None,
            admission: Admission::Admitted,
            random: 0,
        };
        let publisher = Publisher::new(on_heap(), CompileOptions::of(&environment, false))?;
        let settings = ControlSettings {
            journal: Box::new(NoJournal),
            stored: Some(Stored::default()),
            history: HistoryLimits::default(),
            guard: Guard::default(),
            sources: Vec::new(),
            storage_required: true,
            loader: Box::new(|| Err(vec!["this bench reloads nothing".to_owned()])),
            token: Arc::default(),
            cookies: Arc::new(Cookies::new(None)?),
            observer: Arc::new(Nobody),
            stages: Vec::new(),
        };
        let control = Control::start(settings, desired(options, zones)?, Box::new(Table(publisher)))?;
        Ok(Self {
            handle: control.handle,
            zones,
            took: Vec::with_capacity(options.changes),
        })
    }

    /// One change, timed: a name comes, gets another address, and goes.
    fn change(&mut self, runtime: &Runtime, number: usize) -> Result<()> {
        let zone = (number / 3 * 7919) % self.zones;
        let owner: Name = format!("new.z{zone}.example.").parse()?;
        let began = Instant::now();
        match number % 3 {
            2 => runtime.block_on(self.handle.delete(owner, None, None))?,
            step => {
                let address =
                    rdata::parse_value(RecordType::A, &format!("192.0.2.{step}")).map_err(anyhow::Error::msg)?;
                runtime.block_on(self.handle.put(owner, RecordType::A, Some(60), vec![address]))?;
            }
        }
        self.took.push(began.elapsed());
        Ok(())
    }

    /// The given quantile of the times, in microseconds.
    fn quantile(&self, of: f64) -> f64 {
        let mut took = self.took.clone();
        took.sort_unstable();
        let at = ((took.len() - 1) as f64 * of) as usize;
        took[at].as_secs_f64() * 1e6
    }
}

fn desired(options: &Options, zones: usize) -> Result<Desired> {
    let rrset = |rtype, value: &str| -> Result<RrSet> {
        Ok(RrSet {
            rtype,
            ttl: 300,
            rdatas: [rdata::parse_value(rtype, value).map_err(anyhow::Error::msg)?].into(),
            origin: Origin::zone_file("bench"),
            handling: Handling::default(),
        })
    };
    let (soa, ns) = (
        rrset(RecordType::SOA, "ns.example. h.example. 1 2 3 4 5")?,
        rrset(RecordType::NS, "ns.example.")?,
    );
    let zones = (0..zones).map(|zone| {
        let apex: Name = format!("z{zone}.example.").parse()?;
        let mut rrsets = vec![(apex.clone(), soa.clone()), (apex.clone(), ns.clone())];
        for host in 0..options.records.saturating_sub(2) {
            let owner = format!("h{host}.z{zone}.example.").parse()?;
            rrsets.push((owner, rrset(RecordType::A, &format!("192.0.2.{}", host % 256))?));
        }
        Ok(DesiredZone {
            apex,
            file: "bench".into(),
            content: Ok(rrsets),
        })
    });
    let each = options.prefixes / options.views.max(1);
    let views = (0..options.views).map(|view| {
        let prefixes = (0..each).map(|prefix| {
            let number = (view * each + prefix) as u32;
            ipnet::IpNet::new(IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + (number << 8))), 24)
        });
        Ok(ConfiguredView {
            view: ViewClients {
                name: format!("view{view}").into(),
                clients: prefixes.collect::<Result<_, _>>()?,
            },
            records: vec![("only.z0.example.".parse()?, rrset(RecordType::A, "198.51.100.1")?)],
        })
    });
    Ok(Desired {
        records: Vec::new(),
        views: views.collect::<Result<_>>()?,
        zones: zones.collect::<Result<_>>()?,
        unchanged: Vec::new(),
        access: Vec::new(),
        fallthrough: Vec::new(),
        stored: StoredFiles::default(),
        ttl: TtlRules {
            min: 0,
            max: 86_400,
            default: 300,
        },
        guard: Guard::default(),
        history: HistoryLimits::default(),
        restart_needed: Vec::new(),
    })
}

/// Measures, and prints the table.
pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut few = Writer::start(options, options.few)?;
    let began = Instant::now();
    let mut many = Writer::start(options, options.zones).context("the writer with many zones")?;
    println!(
        "{} zones of {} records started in {:.1} s; {} views with {} prefixes in all",
        options.zones,
        options.records,
        began.elapsed().as_secs_f64(),
        options.views,
        options.prefixes,
    );
    // What the first changes do once is not what a change costs.
    for writer in [&mut few, &mut many] {
        for number in 0..30 {
            writer.change(&runtime, number)?;
        }
        writer.took.clear();
    }
    for number in 0..options.changes {
        few.change(&runtime, number)?;
        many.change(&runtime, number)?;
    }
    println!("| zones | median | 90 % | 99 % |\n|---|---|---|---|");
    for writer in [&few, &many] {
        let [median, ninety, most] = [0.5, 0.9, 0.99].map(|of| writer.quantile(of));
        println!("| {} | {median:.0} us | {ninety:.0} us | {most:.0} us |", writer.zones);
    }
    println!("many to few, median: {:.2}", many.quantile(0.5) / few.quantile(0.5));
    for writer in [few, many] {
        runtime.block_on(writer.handle.stop());
    }
    Ok(())
}
