use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::super::polled::Polling;
use super::super::{Change, World};
use super::*;

fn settings(path: &Path) -> HostsSource {
    HostsSource {
        path: path.into(),
        ttl: 60,
        domain: Some(Name::parse("lan.").expect("a name")),
        ptr: true,
    }
}

/// What the objects of a file ask for, a line each.
fn wanted(objects: &BTreeMap<Arc<str>, Object>) -> Vec<String> {
    let lines = objects.values().flat_map(|object| match &object.claims {
        Ok(claims) => claims.iter().map(|claim| line(&object.key, claim)).collect(),
        Err(reason) => vec![format!("{}: {reason}", object.key)],
    });
    lines.collect()
}

fn line(key: &str, claim: &Claim) -> String {
    let value = crate::model::rdata::format_value(claim.rtype, &claim.rdatas[0]);
    format!("{key}: {} {} {} {value}", claim.owner, claim.ttl, claim.rtype)
}

#[test]
fn names_and_addresses_become_records() {
    let text = "\
192.0.2.7\tprinter.office.example printer  # on the second floor
2001:db8::7 printer
192.0.2.7 scanner printer
127.0.0.1 localhost
fe80::1%eth0 router
ff02::1 ip6-allnodes

# nothing
192.0.2.8
";
    let objects = parse(text, &settings(Path::new("hosts")));
    assert_eq!(
        wanted(&objects),
        [
            "192.0.2.7: printer.office.example. 60 A 192.0.2.7",
            "192.0.2.7: printer.lan. 60 A 192.0.2.7",
            "192.0.2.7: scanner.lan. 60 A 192.0.2.7",
            "192.0.2.7: 7.2.0.192.in-addr.arpa. 60 PTR printer.office.example.",
            "2001:db8::7: printer.lan. 60 AAAA 2001:db8::7",
            "2001:db8::7: 7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 PTR \
            printer.lan.",
        ]
    );
}

#[test]
fn a_line_that_cannot_be_read_says_where_and_why() {
    let objects = parse(
        "192.0.2.300 a.\n192.0.2.1 b..c\n192.0.2.2 d\n",
        &settings(Path::new("hosts")),
    );
    let wanted = wanted(&objects);
    assert!(
        wanted.contains(&"192.0.2.2: d.lan. 60 A 192.0.2.2".to_owned()),
        "{wanted:?}"
    );
    let says = |text: &str| wanted.iter().any(|line| line.contains(text));
    assert!(says("line 1: `192.0.2.300` is no IP address"), "{wanted:?}");
    assert!(
        says("192.0.2.1: line 2: the name `b..c` has an empty label"),
        "{wanted:?}"
    );
}

#[tokio::test]
async fn changes_of_the_file_are_told_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hosts");
    std::fs::write(&path, "192.0.2.1 a\n192.0.2.2 b\n192.0.2.3 c\n").expect("written");
    let mut hosts = Polling::new(Hosts::new(settings(&path)));
    assert_eq!(hosts.list().await.expect("read").objects.len(), 3);
    let next = async |hosts: &mut Polling<Hosts>| timeout(Duration::from_secs(5), hosts.next()).await.expect("in time");
    std::fs::write(folder.path().join("new"), "192.0.2.1 a\n192.0.2.2 b b2\n192.0.2.4 d\n").expect("written");
    std::fs::rename(folder.path().join("new"), &path).expect("renamed");
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(match next(&mut hosts).await.expect("an event").change {
            Change::Applied(object) => format!("+{}", object.key),
            Change::Deleted(key) => format!("-{key}"),
            Change::Relist => "all".to_owned(),
        });
    }
    assert_eq!(told, ["-192.0.2.3", "+192.0.2.2", "+192.0.2.4"]);

    // A file that is emptied may be one that is being written: the driver decides.
    std::fs::write(&path, "").expect("written");
    assert!(matches!(
        next(&mut hosts).await.expect("an event").change,
        Change::Relist
    ));
    std::fs::remove_file(&path).expect("removed");
    let error = next(&mut hosts).await.expect_err("away");
    assert!(error.to_string().contains("cannot be read"), "{error}");
}
