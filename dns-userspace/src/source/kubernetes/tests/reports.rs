//! What objects are told: a condition in the status of our own kinds, and Events.

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use super::watches::{event, ingress};
use super::*;
use crate::config::{DryRun, KubernetesSource, WatchedKind};
use crate::control::tests::fixture::{Fixture, desired, name, value};
use crate::model::record::RecordType;
use crate::model::source::SourceId;
use crate::source::kubernetes::{KubernetesWorld, Leadership, Reporting};
use crate::source::{Status, SyncRequests, Watcher, WatcherSettings};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const SETS: &str = "/apis/hotdns.io/v1alpha1/recordsets";
const SET: &str = "/apis/hotdns.io/v1alpha1/namespaces/demo/recordsets/mail";

/// `Ingress a: NotServed: …` of each Event.
fn events(fake: &Fake) -> Vec<String> {
    let shown = fake.shown();
    let events = shown.objects.iter().filter(|(path, _)| path.contains("/events/"));
    let mut said: Vec<String> = events
        .map(|(_, event)| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let of = &event["regarding"];
            let (kind, name) = (text(&of["kind"]), text(&of["name"]));
            format!("{kind} {name}: {}: {}", text(&event["reason"]), text(&event["note"]))
        })
        .collect();
    said.sort();
    said
}

/// An Ingress of an age that leads to `target`.
fn aged(name: &str, version: &str, host: &str, year: u16, target: &str) -> Value {
    let mut ingress = ingress(name, version, host);
    ingress["metadata"]["creationTimestamp"] = format!("{year}-01-01T00:00:00Z").into();
    ingress["metadata"]["annotations"] = json!({"hotdns.io/target": target});
    ingress
}

#[tokio::test]
async fn both_objects_of_one_name_are_told_and_so_is_what_becomes_served() {
    let fake = Fake::start().await;
    let first = [
        aged("old", "1", "www.peers.test", 2020, "192.0.2.1"),
        aged("young", "2", "www.peers.test", 2021, "lb.example.org"),
        aged("one", "3", "two.peers.test", 2020, "192.0.2.3"),
        aged("other", "4", "two.peers.test", 2021, "192.0.2.4"),
        // Paths of one site: nobody loses anything.
        aged("path", "5", "same.peers.test", 2020, "192.0.2.5"),
        aged("path2", "6", "same.peers.test", 2021, "192.0.2.5"),
        aged("api", "7", "api.peers.test", 2020, "192.0.2.6"),
    ];
    fake.set_list(INGRESSES, "10", first.to_vec().into());
    let set = json!({
        "metadata": {"namespace": "demo", "name": "mail", "uid": "u1", "generation": 1},
        "spec": {"name": "peers.test", "type": "MX", "values": ["10 mail.peers.test."]},
    });
    fake.set_list(SETS, "10", json!([set]));
    fake.shown().change(SET, |object| object["spec"] = set["spec"].clone());
    let folder = Arc::new(TempDir::new().expect("a folder"));
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, fake.kubeconfig()).expect("written");
    let id = SourceId::watched("kubernetes", "home", 0);
    let fixture = Fixture::watching(Arc::clone(&folder), desired(vec![], vec![]), vec![id.clone()]);
    let handle = fixture.handle();
    let put = handle.put(
        name("api.peers.test."),
        RecordType::A,
        None,
        vec![value(RecordType::A, "192.0.2.99")],
    );
    put.await.expect("it is put");
    let settings = KubernetesSource {
        kubeconfig: Some(kubeconfig.into()),
        watch: Some(vec![WatchedKind::Ingress, WatchedKind::RecordSet]),
        report: true,
        ..publishing()
    };
    let reporting = Reporting {
        history: fixture.history(),
        source: id.clone(),
        leadership: Leadership::default(),
        dry_run: DryRun::Off,
    };
    let world = KubernetesWorld::new(settings, Some(reporting), Arc::default());
    let (status, requests) = (Arc::new(Status::new(id.clone())), SyncRequests::default());
    let watcher = Watcher::new(
        id,
        world,
        fixture.handle(),
        status,
        requests,
        WatcherSettings::default(),
    );
    let stop = CancellationToken::new();
    let task = tokio::spawn(watcher.run(stop.clone()));

    let at_first = [
        "Ingress api: NotServed: api.peers.test. A of the API is served",
        "Ingress old: NameShared: www.peers.test. CNAME of Ingress demo/young is left out: www.peers.test. A of \
         Ingress demo/old is served",
        "Ingress one: NameShared: two.peers.test. A has the values of Ingress demo/other too",
        "Ingress other: NameShared: two.peers.test. A has the values of Ingress demo/one too",
        "Ingress young: NotServed: www.peers.test. A of kubernetes home, Ingress demo/old is served",
    ];
    let says = |wanted: Vec<String>| {
        let fake = &fake;
        let fixture = &fixture;
        async move {
            let is_so = |_: &Fixture| events(fake) == wanted;
            fixture
                .eventually(&format!("{wanted:#?}, not {:#?}", events(fake)), is_so)
                .await;
        }
    };
    says(at_first.map(str::to_owned).into()).await;
    fixture
        .eventually("the status says so", |_| {
            let shown = fake.shown();
            let status = &shown.objects[SET]["status"];
            status["conditions"][0]["status"] == "True"
                && status["hostname"] == "peers.test"
                && status["dnsRecordCreated"] == true
                && status["message"] == "it is served"
        })
        .await;

    // The older one goes, one comes, and the API's record goes.
    let emit = |kind: &str, object: Value| fake.shown().emit(INGRESSES, &event(kind, object).to_string());
    emit("DELETED", aged("old", "11", "www.peers.test", 2020, "192.0.2.1"));
    emit("ADDED", aged("new", "12", "new.peers.test", 2022, "192.0.2.7"));
    let handle = fixture.handle();
    let gone = handle.delete(name("api.peers.test."), Some(RecordType::A), None);
    gone.await.expect("it is deleted");
    let mut then: Vec<String> = at_first.map(str::to_owned).into();
    then.extend(
        [
            "Ingress api: Served: api.peers.test. A 192.0.2.6, TTL 300, is served",
            "Ingress new: Served: new.peers.test. A 192.0.2.7, TTL 300, is served",
            "Ingress young: Served: www.peers.test. CNAME lb.example.org., TTL 300, is served",
        ]
        .map(str::to_owned),
    );
    then.sort();
    says(then).await;
    stop.cancel();
    task.await.expect("ended in order");
}
