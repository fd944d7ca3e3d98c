//! Zone files as NSD, Knot DNS and BIND read them, and every type from its zone file to the wire and to the API.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dns_userspace::model::name::Name;
use dns_userspace::model::rdata::{format_value, parse_value, same_value};
use dns_userspace::model::record::{Rdatas, RecordType};
use dns_userspace::zonefile::{ZoneContent, load};
use serde_json::Value;
use tests::frames::Query;
use tests::net::missing_privileges;
use tests::references::peers::{Peer, Program};
use tests::references::reply::{Record, Reply};
use tests::server::Server;

/// The files: `tests/corpus/zone-files/README.md`.
fn corpus(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/zone-files");
    let entries = fs::read_dir(folder).expect("the corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|own| own == extension));
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    files
}

/// What cannot be installed without root is missing where tests that need root are skipped.
fn is_skipped() -> bool {
    let missing = Program::REFERENCES.into_iter().find(|program| !program.is_installed());
    let (Some(program), Some(reason)) = (missing, missing_privileges()) else {
        return false;
    };
    println!("skipped: {} is not installed, {reason}", program.title());
    true
}

fn apex_of(path: &Path) -> Name {
    let stem = path.file_stem().expect("a name").to_string_lossy();
    format!("{stem}.example.").parse().expect("a name")
}

/// The records as a reply would have them.
fn records(content: &ZoneContent) -> BTreeSet<Record> {
    let mut message = vec![0; 12];
    let mut count = 0u16;
    for (owner, rrset) in &content.rrsets {
        for rdata in &rrset.rdatas {
            count += 1;
            message.extend(owner.as_wire());
            message.extend(rrset.rtype.0.to_be_bytes());
            message.extend(1u16.to_be_bytes());
            message.extend(rrset.ttl.to_be_bytes());
            message.extend((rdata.len() as u16).to_be_bytes());
            message.extend(rdata);
        }
    }
    message[6..8].copy_from_slice(&count.to_be_bytes());
    Reply::read(&message).expect("a message").sections[0].clone()
}

#[test]
fn zone_files_hold_what_nsd_knot_and_bind_read_in_them() {
    let mut zones = Vec::new();
    for path in corpus("zone") {
        let content = load(&path, &apex_of(&path), Arc::from("corpus"));
        let content = content.unwrap_or_else(|errors| panic!("{}", errors[0]));
        zones.push((path, records(&content)));
    }
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    for (path, _) in &mut zones {
        *path = with_absolute_includes(path, folder.path());
    }
    let mut wrong = Vec::new();
    for program in Program::REFERENCES {
        let is_for = |path: &Path| {
            let text = fs::read(path).expect("a zone file");
            !String::from_utf8_lossy(&text).contains(&format!("; not for {}:", program.title()))
        };
        let own: Vec<_> = zones.iter().filter(|(path, _)| is_for(path)).collect();
        let files: Vec<_> = own
            .iter()
            .map(|(path, _)| (apex_of(path).to_string(), path.clone()))
            .collect();
        let peer = Peer::start(program, folder.path(), &files).expect("a server");
        for (path, ours) in own {
            let theirs = peer.transfer(&apex_of(path)).expect("a transfer");
            for (whose, record) in ours.difference(&theirs).map(|record| ("hotdns", record)) {
                wrong.push(format!("{}: {whose} alone: {record}", path.display()));
            }
            for record in theirs.difference(ours) {
                wrong.push(format!("{}: {} alone: {record}", path.display(), program.title()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A copy of a zone file, in which `$INCLUDE` means the same to all: relative files are relative to its folder for us
/// and Knot, to the server's own folder for the others.
fn with_absolute_includes(path: &Path, folder: &Path) -> PathBuf {
    let text = fs::read(path).expect("a zone file");
    let copy = folder.join(path.file_name().expect("a name"));
    let text = match String::from_utf8(text.clone()) {
        Ok(text) => {
            let includes = path.with_file_name("include");
            text.replace("$INCLUDE include", &format!("$INCLUDE {}", includes.display()))
                .into_bytes()
        }
        Err(_) => text,
    };
    fs::write(&copy, text).expect("written");
    copy
}

#[test]
fn bad_zone_files_are_refused_with_line_column_and_text() {
    let mut wrong = Vec::new();
    for path in corpus("bad") {
        let text = fs::read_to_string(&path).expect("a zone file");
        let (place, message) = text
            .strip_prefix("; ")
            .and_then(|text| text.split_once(' '))
            .expect("a place");
        let message = message.lines().next().expect("a message");
        let apex = apex_of(&path);
        match load(&path, &apex, Arc::from("corpus")) {
            Ok(_) => wrong.push(format!("{}: loads", path.display())),
            Err(errors) => {
                let shown = errors[0].to_string();
                if !(shown.contains(&format!(":{place}: ")) && shown.contains(message)) {
                    wrong.push(format!("{}: not {place} {message}, but {shown}", path.display()));
                }
            }
        }
        if !is_skipped() && !is_refused(&path, &apex) {
            wrong.push(format!("{}: others load it", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the checker of NSD or of BIND refuses a zone file.
fn is_refused(path: &Path, apex: &Name) -> bool {
    let search_path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    ["nsd-checkzone", "named-checkzone"].into_iter().any(|program| {
        let mut command = Command::new(program);
        command.env("PATH", &search_path).arg(apex.to_string()).arg(path);
        !command.output().expect("a checker").status.success()
    })
}

/// Zone file → wire → API → presentation: the same octets everywhere.
#[test]
fn every_type_comes_back_as_it_was_written() {
    // One zone is put in the place of another: nearly all records go.
    let server = Server::start("changes: {max_delete_ratio: 1}\n").expect("a server");
    let files = corpus("zone");
    for name in ["types", "generic", "escapes"] {
        let path = files
            .iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == name))
            .expect("a file");
        // The file's names are relative, but for those that name the zone.
        let text = fs::read_to_string(path)
            .expect("a zone file")
            .replace(&format!("{name}.example."), "example.com.");
        server.write("example.com.zone", &text).expect("written");
        let reloaded = server.request("POST", "/api/v1/reload", None).expect("a reply");
        assert_eq!(
            (reloaded.status, &reloaded.json["failed"]),
            (200, &Value::Array(vec![])),
            "{}",
            reloaded.text
        );
        let apex: Name = "example.com.".parse().expect("a name");
        let content = load(&server.path("example.com.zone"), &apex, Arc::from("corpus")).expect("a zone");
        let listed = server
            .request("GET", "/api/v1/records?limit=1000", None)
            .expect("a reply")
            .json;
        // The SOA is served with a serial of its own.
        for (owner, rrset) in content
            .rrsets
            .iter()
            .filter(|(_, rrset)| rrset.rtype != RecordType::SOA)
        {
            let shown = format!("{owner} {}", rrset.rtype);
            is_on_the_wire(&server, owner, rrset.rtype, &rrset.rdatas);
            let found = listed["records"].as_array().expect("records").iter().find(|record| {
                record["name"]
                    .as_str()
                    .is_some_and(|name| name.eq_ignore_ascii_case(&owner.to_string()))
                    && record["type"] == rrset.rtype.to_string()
            });
            let values = found.unwrap_or_else(|| panic!("{shown}: not listed"))["value"].clone();
            let values: Vec<&str> = values
                .as_array()
                .expect("values")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(values.len(), rrset.rdatas.len(), "{shown}");
            for rdata in &rrset.rdatas {
                let same = |value: &&str| parse_value(rrset.rtype, value).is_ok_and(|parsed| *parsed == *rdata);
                assert!(values.iter().any(same), "{shown} {values:?}");
                assert!(
                    values.contains(&&*format_value(rrset.rtype, rdata)),
                    "{shown} {values:?}"
                );
            }
        }
    }
}

/// Asks for an RRset over TCP and compares it, names in lower case.
fn is_on_the_wire(server: &Server, owner: &Name, rtype: RecordType, rdatas: &Rdatas) {
    use std::io::{Read, Write};
    let query = Query::new(owner.as_wire(), rtype.0).build();
    let mut stream = std::net::TcpStream::connect(server.dns).expect("connected");
    stream
        .write_all(&[&(query.len() as u16).to_be_bytes(), &query[..]].concat())
        .expect("sent");
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("a reply");
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).expect("a reply");
    let reply = Reply::read(&message).expect("a message");
    // What is below a cut is a referral's: NS there, and glue.
    let at = if reply.is_referral() {
        &reply.sections[1..]
    } else {
        &reply.sections[..1]
    };
    let found: Vec<&Record> = at.iter().flatten().filter(|record| record.rtype == rtype.0).collect();
    for rdata in rdatas {
        let is_same =
            |record: &&&Record| same_value(rtype, &record.rdata, rdata) || record.rdata.eq_ignore_ascii_case(rdata);
        assert!(found.iter().any(|record| is_same(&record)), "{owner} {rtype}: {reply}");
    }
    assert_eq!(found.len(), rdatas.len(), "{owner} {rtype}: {reply}");
}
