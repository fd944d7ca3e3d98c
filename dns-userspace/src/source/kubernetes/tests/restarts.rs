//! Two clusters whose objects change at random, on bad days, while this server is killed and started again at random
//! moments: what is served in the end is what a simple model says, and what nobody changed is served all the time.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, Fault};
use super::watches::{event, ingress};
use super::*;
use crate::config::{KubernetesSource, WatchedKind};
use crate::control::tests::fixture::{Fixture, desired};
use crate::model::record::RecordType;
use crate::model::source::SourceId;
use crate::source::kubernetes::KubernetesWorld;
use crate::source::{Status, SyncRequests, Watcher, WatcherSettings};

/// What a seed did not do well is seen with it again.
const SEEDS: u64 = 6;
const STEPS: usize = 40;
const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const HOSTS: [&str; 3] = ["x.peers.test", "y.peers.test", "z.peers.test"];
/// What nobody changes: the first cluster has it.
const KEPT: &str = "kept.peers.test";

/// A cluster, and what its objects ask for: host and address by name.
struct One {
    fake: Fake,
    id: SourceId,
    model: BTreeMap<&'static str, (&'static str, String)>,
}

/// This server while it runs.
struct Running {
    fixture: Fixture,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl One {
    async fn new(name: &str, place: u32) -> Self {
        let fake = Fake::start().await;
        let kept = format!("{name}.{KEPT}");
        fake.shown()
            .set_item(INGRESSES, "kept", Some(ingress("kept", "0", &kept)));
        Self {
            fake,
            id: SourceId::watched("kubernetes", name, place),
            model: BTreeMap::new(),
        }
    }

    fn change(&mut self, random: &mut StdRng) {
        let name = *NAMES.choose(random).expect("not empty");
        if random.random_bool(0.3) {
            self.model.remove(name);
            return self.fake.shown().set_item(INGRESSES, name, None);
        }
        let host = *HOSTS.choose(random).expect("not empty");
        let address = format!("192.0.2.{}", random.random_range(1..5));
        let mut object = ingress(name, "0", host);
        object["metadata"]["annotations"] = json!({"hotdns.io/target": address});
        self.fake.shown().set_item(INGRESSES, name, Some(object));
        self.model.insert(name, (host, address));
    }

    fn go_wrong(&self, random: &mut StdRng) {
        let expired = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
        match random.random_range(0..4) {
            // The watch that there is loses its place.
            0 => {
                let lost = event("ERROR", expired).to_string();
                self.fake.shown().emit(INGRESSES, &lost);
            }
            1 => self.fake.add_fault(INGRESSES, "limit=", Fault::Status(500, 0)),
            2 => self.fake.add_fault(INGRESSES, "watch=1", Fault::Status(410, 0)),
            _ => self
                .fake
                .add_fault(INGRESSES, "watch=1", Fault::Cut("{\"type\": ".to_owned())),
        }
    }

    /// The addresses that its objects ask for at a host.
    fn at(&self, host: &str) -> Vec<String> {
        let of_host = self.model.values().filter(|(of, _)| *of == host);
        let mut addresses: Vec<String> = of_host.map(|(_, address)| address.clone()).collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }
}

impl Running {
    fn start(folder: &Arc<TempDir>, clusters: &[One]) -> Self {
        let sources = clusters.iter().map(|one| one.id.clone()).collect();
        let fixture = Fixture::watching(Arc::clone(folder), desired(vec![], vec![]), sources);
        let stop = CancellationToken::new();
        let tasks = clusters.iter().map(|one| {
            let kubeconfig = folder.path().join(one.id.key().replace('/', "-"));
            std::fs::write(&kubeconfig, one.fake.kubeconfig()).expect("written");
            let settings = KubernetesSource {
                kubeconfig: Some(kubeconfig.into()),
                targets: vec!["192.0.2.54".to_owned()],
                watch: Some(vec![WatchedKind::Ingress]),
                ..publishing()
            };
            let world = KubernetesWorld::new(settings, None, Arc::default());
            let status = Arc::new(Status::new(one.id.clone()));
            let pace = WatcherSettings {
                min_pause: Duration::from_millis(5),
                max_pause: Duration::from_millis(20),
                ..WatcherSettings::default()
            };
            let handle = fixture.handle();
            let watcher = Watcher::new(one.id.clone(), world, handle, status, SyncRequests::default(), pace);
            tokio::spawn(watcher.run(stop.clone()))
        });
        let tasks = tasks.collect();
        Self { fixture, tasks, stop }
    }

    /// Ends it wherever it is.
    async fn kill(mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.fixture.stop().await;
    }

    fn serves(&self, owner: &str) -> Vec<String> {
        let mut values = self.fixture.values(&format!("{owner}."), RecordType::A);
        values.sort();
        values
    }
}

async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let mut clusters = [One::new("first", 0).await, One::new("second", 1).await];
    let mut running = Running::start(&folder, &clusters);
    let kept = ["first", "second"].map(|name| format!("{name}.{KEPT}"));
    for host in &kept {
        let is_so = |fixture: &Fixture| fixture.values(&format!("{host}."), RecordType::A) == ["192.0.2.54"];
        running.fixture.eventually(host, is_so).await;
    }
    for step in 0..STEPS {
        let one = random.random_range(0..clusters.len());
        match random.random_range(0..10) {
            0 => {
                running.kill().await;
                // It changes while nobody looks, too.
                clusters[one].change(&mut random);
                running = Running::start(&folder, &clusters);
            }
            1 | 2 => clusters[one].go_wrong(&mut random),
            _ => clusters[one].change(&mut random),
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..15))).await;
        for host in &kept {
            assert_eq!(running.serves(host), ["192.0.2.54"], "seed {seed}, step {step}: {host}");
        }
    }
    for host in HOSTS {
        let (first, second) = (clusters[0].at(host), clusters[1].at(host));
        let wanted = if first.is_empty() { second } else { first };
        let is_so = |_: &Fixture| running.serves(host) == wanted;
        let what = format!("seed {seed}: {host} {wanted:?}");
        running.fixture.eventually(&what, is_so).await;
    }
    running.stop.cancel();
    running.kill().await;
}

#[tokio::test]
async fn what_two_clusters_say_last_is_served_whatever_happens_on_the_way() {
    for seed in 0..SEEDS {
        run(seed).await;
    }
}
