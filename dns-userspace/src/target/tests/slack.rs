//! A webhook against a server that takes what Slack takes.

use std::sync::Mutex;

use super::super::slack::Slack;
use super::replies::{Replies, Reply};
use super::*;
use crate::config::SlackConfig;
use crate::source::Mark;

fn target(folder: &tempfile::TempDir, url: &str) -> Slack {
    let path = folder.path().join("webhook");
    std::fs::write(&path, format!("{url}/services/T0/B0/SECRET\n")).expect("written");
    Slack::new(SlackConfig {
        name: "ops".into(),
        url: path.into(),
        zones: Vec::new(),
        max_rate: 60_000 / 60,
    })
}

#[test]
fn changes_of_marked_objects_are_told_and_kept_until_they_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let status = Arc::new(Mutex::new(200));
    let server = Replies::start({
        let status = Arc::clone(&status);
        move |_| Reply::new(*status.lock().expect("not poisoned"), "ok")
    });
    let mut target = target(&folder, &server.url);
    let around = around();
    let one = ["a.talos00. 300 A 192.168.1.54"];
    target
        .write(&wanted(&one), &around)
        .expect("nothing is told of what is there");
    target
        .write(&wanted(&["a.talos00. 60 A 192.168.1.54"]), &around)
        .expect("not marked");
    assert!(server.asked().is_empty());

    let mark = Mark {
        notifies: true,
        remediates: false,
    };
    around.sources.marks().set("kubernetes/prod", "Ingress demo/web", mark);
    *status.lock().expect("not poisoned") = 500;
    let two = ["a.talos00. 60 A 192.168.1.55", "b.talos00. 60 A 192.168.1.54"];
    let error = target.write(&wanted(&two), &around).expect_err("away");
    assert!(error.contains("HTTP 500") && !error.contains("SECRET"), "{error}");
    *status.lock().expect("not poisoned") = 200;
    target.write(&wanted(&two), &around).expect("taken");
    target.write(&wanted(&[]), &around).expect("taken");
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[1].line, "POST /services/T0/B0/SECRET");
    let texts: Vec<serde_json::Value> = asked
        .iter()
        .map(|asked| serde_json::from_str(&asked.body).expect("JSON"))
        .collect();
    let text = texts[1]["text"].as_str().expect("a text");
    assert!(
        text.contains("updated: `a.talos00 60 A 192.168.1.55`, was `a.talos00 60 A 192.168.1.54`")
            && text.contains("created: `b.talos00 60 A 192.168.1.54` of Ingress demo/web (kubernetes/prod)"),
        "{text}"
    );
    assert!(
        texts[2]["text"]
            .as_str()
            .is_some_and(|text| text.matches("deleted: ").count() == 2)
    );
}

#[test]
fn an_error_does_not_show_the_url() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut target = target(&folder, "http://127.0.0.1:1");
    let around = around();
    let mark = Mark {
        notifies: true,
        remediates: false,
    };
    around.sources.marks().set("kubernetes/prod", "Ingress demo/web", mark);
    target.write(&wanted(&[]), &around).expect("nothing to tell");
    let error = target
        .write(&wanted(&["a.talos00. 60 A 192.168.1.55"]), &around)
        .expect_err("nobody is there");
    assert!(error.contains("no connection") && !error.contains("SECRET"), "{error}");
}
