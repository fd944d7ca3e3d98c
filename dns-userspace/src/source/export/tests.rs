use std::path::Path;

use super::*;
use crate::config::TextSettings;

const ZONE: &str = "$ORIGIN example.com.\n$TTL 86400\n; SOA Records\n@\t\tIN\tSOA\thydrogen.ns.hetzner.com. \
                    dns.hetzner.com. 2026113001 86400 10800 3600000 3600\n; NS Records\n@\tIN\tNS\t\
                    hydrogen.ns.hetzner.com.\n; A Records\nwww\tIN\tA\t192.0.2.1\n";

fn export(path: &Path) -> Export {
    Export::new(ExportSource {
        path: path.into(),
        texts: TextSettings {
            zones: Vec::new(),
            ttl: 300,
        },
        expire: None,
    })
}

#[tokio::test]
async fn a_folder_is_read_and_only_what_changes_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("example.com.txt");
    std::fs::create_dir(folder.path().join("more")).expect("a folder");
    std::fs::write(&file, ZONE).expect("written");
    std::fs::write(
        folder.path().join("more/b.zone"),
        ZONE.replace("example.com", "example.net"),
    )
    .expect("written");
    std::fs::write(folder.path().join("README.md"), "no zone").expect("written");
    let mut export = export(folder.path());
    let objects = export.list().await.expect("two zones").objects;
    let keys: Vec<&str> = objects.iter().map(|object| &*object.key).collect();
    assert_eq!(keys, ["example.com.txt", "more/b.zone"]);
    assert_eq!(objects[0].claims.as_ref().expect("claims").len(), 3);
    assert!(!export.has_changed());

    let first = Arc::clone(&export.read["more/b.zone"].1);
    std::fs::write(&file, ZONE.replace("192.0.2.1", "192.0.2.22")).expect("written");
    assert!(export.has_changed());
    export.list().await.expect("two zones");
    assert!(Arc::ptr_eq(&first, &export.read["more/b.zone"].1), "it was read again");

    // What is broken, or away, is an error: what was said last stays.
    std::fs::write(&file, format!("{ZONE}x IN A nonsense\n")).expect("written");
    let error = export.list().await.expect_err("no address");
    assert!(error.0.contains("example.com.txt:9:8: "), "{error}");
    std::fs::remove_dir_all(folder.path()).expect("removed");
    let error = export.list().await.expect_err("no folder");
    assert!(error.0.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn one_file_is_read_whatever_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("export");
    std::fs::write(&file, ZONE).expect("written");
    assert_eq!(export(&file).list().await.expect("a zone").objects.len(), 1);
}
