//! A writer on a real database, with planes that only remember.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::super::{
    Control, ControlHandle, ControlSettings, Desired, DesiredZone, History, Planes, Publication, Stage,
};
use crate::cookies::Cookies;
use crate::journal::faults::SharedFaults;
use crate::journal::{HistoryLimits, Storage, StoredFiles};
use crate::model::name::{Name, NameKey};
use crate::model::rdata::{format_value, parse_value};
use crate::model::record::{Handling, Rdata, RecordType, RrSet};
use crate::model::snapshot::Snapshot;
use crate::model::source::{Origin, SourceId};
use crate::observe::control::Told;
use crate::observe::metrics::Metrics;
use crate::observe::readiness::Readiness;
use crate::principal::TokenFile;
use crate::source::Registry;
use crate::store::{Guard, TtlRules};

pub(crate) const RULES: TtlRules = TtlRules {
    min: 60,
    max: 86_400,
    default: 300,
};

/// What the planes serve.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) serials: HashMap<u32, u32>,
    pub(crate) publications: usize,
    /// At which names the latest differs.
    pub(crate) names: Vec<NameKey>,
    pub(crate) rests: usize,
}

struct MemoryPlanes {
    served: Arc<Mutex<Served>>,
    gate: Arc<Mutex<()>>,
}

impl Planes for MemoryPlanes {
    fn publish(&mut self, publication: &Publication) {
        let _open = self.gate.lock().expect("not poisoned");
        let mut served = self.served.lock().expect("not poisoned");
        served.publications += 1;
        served.snapshot = publication.new.clone();
        let serials = publication.serials.iter().map(|zone| (zone.index, zone.serial));
        served.serials.extend(serials);
        served.names.clone_from(&publication.delta.names);
    }

    fn withhold(&mut self) {
        self.served.lock().expect("not poisoned").snapshot = Arc::new(Snapshot::withheld());
    }

    fn rest(&mut self) -> Option<Duration> {
        self.served.lock().expect("not poisoned").rests += 1;
        None
    }
}

pub(crate) struct Fixture {
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) served: Arc<Mutex<Served>>,
    /// While it is locked, nothing is published.
    pub(crate) gate: Arc<Mutex<()>>,
    /// What the next reload finds.
    pub(crate) files: Arc<Mutex<Result<Desired, Vec<String>>>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) token: Option<Arc<TokenFile>>,
    pub(crate) readiness: Arc<Readiness>,
    /// How writes to the database fail.
    pub(crate) faults: SharedFaults,
    control: Option<Control>,
}

impl Fixture {
    pub(crate) fn new(initial: Desired) -> Self {
        Self::within(Arc::new(tempfile::tempdir().expect("a folder")), initial, None)
    }

    pub(crate) fn with_token(initial: Desired, token: Arc<TokenFile>) -> Self {
        Self::within(Arc::new(tempfile::tempdir().expect("a folder")), initial, Some(token))
    }

    /// Whether or not there is a database that can be read: then without it.
    pub(crate) fn without_required(folder: Arc<tempfile::TempDir>, initial: Desired) -> Self {
        Self::build(folder, initial, None, false, Vec::new(), Vec::new())
    }

    /// With watched sources that are configured.
    pub(crate) fn watching(folder: Arc<tempfile::TempDir>, initial: Desired, sources: Vec<SourceId>) -> Self {
        Self::build(folder, initial, None, true, sources, Vec::new())
    }

    pub(crate) fn within(folder: Arc<tempfile::TempDir>, initial: Desired, token: Option<Arc<TokenFile>>) -> Self {
        Self::build(folder, initial, token, true, Vec::new(), Vec::new())
    }

    /// With a stage after that of the serials.
    pub(crate) fn staged(initial: Desired, stage: impl Stage + 'static) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        Self::build(folder, initial, None, true, Vec::new(), vec![Box::new(stage)])
    }

    fn build(
        folder: Arc<tempfile::TempDir>,
        initial: Desired,
        token: Option<Arc<TokenFile>>,
        required: bool,
        sources: Vec<SourceId>,
        stages: Vec<Box<dyn Stage>>,
    ) -> Self {
        let readiness = Arc::new(Readiness::default());
        let faults = SharedFaults::default();
        let served: Arc<Mutex<Served>> = Arc::default();
        let gate: Arc<Mutex<()>> = Arc::default();
        let files = Arc::new(Mutex::new(Ok(initial.clone())));
        let metrics = Arc::new(Metrics::new(None, Arc::default()));
        metrics.show_readiness(Arc::clone(&readiness));
        let registry: Arc<Registry> = Arc::default();
        let (storage, stored) = Storage::open(folder.path()).expect("a good database");
        let settings = ControlSettings {
            journal: Box::new(storage.with_faults(faults.clone())),
            stored,
            history: HistoryLimits::default(),
            guard: Guard::default(),
            sources,
            storage_required: required,
            loader: Box::new({
                let files = files.clone();
                move || files.lock().expect("not poisoned").clone()
            }),
            token: Arc::new(ArcSwapOption::new(token.clone())),
            cookies: Arc::new(Cookies::new(None).expect("randomness")),
            observer: Arc::new(Told {
                metrics: metrics.clone(),
                readiness: readiness.clone(),
                sources: registry.clone(),
            }),
            stages,
        };
        let planes = MemoryPlanes {
            served: served.clone(),
            gate: gate.clone(),
        };
        let control = Control::start(settings, initial, Box::new(planes)).expect("started");
        Self {
            folder,
            served,
            gate,
            files,
            metrics,
            token,
            readiness,
            faults,
            control: Some(control),
        }
    }

    /// Stops the writer and starts another on the same database.
    pub(crate) async fn restart(mut self, initial: Desired) -> Self {
        self.stop().await;
        Self::within(self.folder.clone(), initial, self.token.clone())
    }

    pub(crate) async fn stop(&mut self) {
        let control = self.control.take().expect("running");
        control.handle.stop().await;
        control.thread.join().expect("ended in order");
    }

    pub(crate) fn handle(&self) -> ControlHandle {
        self.control.as_ref().expect("running").handle.clone()
    }

    pub(crate) fn history(&self) -> Arc<History> {
        Arc::clone(&self.control.as_ref().expect("running").history)
    }

    pub(crate) fn storage_path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.served.lock().expect("not poisoned").snapshot.clone()
    }

    /// The values served, in presentation format.
    pub(crate) fn values(&self, owner: &str, rtype: RecordType) -> Vec<String> {
        let snapshot = self.snapshot();
        let rrset = snapshot.node(&name(owner).key()).and_then(|node| node.rrset(rtype));
        rrset.map_or_else(Vec::new, |rrset| {
            rrset.rdatas.iter().map(|rdata| format_value(rtype, rdata)).collect()
        })
    }

    pub(crate) fn serial(&self, apex: &str) -> Option<u32> {
        let served = self.served.lock().expect("not poisoned");
        let index = served.snapshot.zones.get(&name(apex).key())?.index;
        served.serials.get(&index).copied()
    }

    /// Waits for what happens by time.
    pub(crate) async fn eventually(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..3000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: not after 60 s");
    }

    pub(crate) fn metric(&self, line: &str) -> bool {
        let text = String::from_utf8(self.metrics.render().expect("rendered")).expect("text");
        text.lines().any(|found| found == line)
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

pub(crate) fn value(rtype: RecordType, text: &str) -> Rdata {
    parse_value(rtype, text).expect("a valid value")
}

pub(crate) fn record(owner: &str, rtype: RecordType, text: &str, source: Origin) -> (Name, RrSet) {
    let rrset = RrSet {
        rtype,
        ttl: 3600,
        rdatas: [value(rtype, text)].into(),
        origin: source,
        handling: Handling::default(),
    };
    (name(owner), rrset)
}

/// A zone with an SOA of this serial, an NS and these records.
pub(crate) fn zone(apex: &str, serial: u32, records: &[(&str, RecordType, &str)]) -> DesiredZone {
    let file: Arc<str> = format!("zones/{apex}zone").into();
    let source = || Origin::zone_file(file.clone());
    let soa = format!("ns.{apex} host.{apex} {serial} 3600 600 86400 300");
    let mut content = vec![
        record(apex, RecordType::SOA, &soa, source()),
        record(apex, RecordType::NS, &format!("ns.{apex}"), source()),
    ];
    let more = records.iter();
    content.extend(more.map(|(owner, rtype, text)| record(owner, *rtype, text, source())));
    DesiredZone {
        apex: name(apex),
        file: file.clone(),
        content: Ok(content),
    }
}

pub(crate) fn desired(zones: Vec<DesiredZone>, records: Vec<(Name, RrSet)>) -> Desired {
    Desired {
        records,
        views: Vec::new(),
        zones,
        unchanged: Vec::new(),
        access: Vec::new(),
        fallthrough: Vec::new(),
        stored: StoredFiles::default(),
        ttl: RULES,
        guard: Guard::default(),
        history: HistoryLimits::default(),
        restart_needed: Vec::new(),
    }
}
