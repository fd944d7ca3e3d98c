use super::*;
use crate::model::record::{Handling, Order, Wildcard};
use crate::model::source::{Origin, SourceId};

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

fn address(last: u8) -> Arc<RrSet> {
    Arc::new(RrSet {
        rtype: RecordType::A,
        ttl: 300,
        rdatas: [[192, 0, 2, last], [192, 0, 2, 1]].into(),
        origin: Origin::api(),
        handling: Handling::default(),
    })
}

fn served(serial: u32) -> ServedSerial {
    ServedSerial {
        apex: name("Example.com."),
        serial,
        fingerprint: u64::MAX - 1,
        version: 0,
    }
}

/// A database that can be read.
fn open(folder: &Path) -> (Storage, Stored) {
    let (storage, stored) = Storage::open(folder).expect("a good database");
    (storage, stored.expect("read"))
}

fn connection(storage: &Storage) -> &Connection {
    match &storage.state {
        State::Open(open) => &open.connection,
        State::Closed(trouble) => panic!("{}", trouble.reason),
    }
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, stored) = open(folder.path());
    assert!(stored.rrsets.is_empty() && storage.unavailable().is_none());
    let puts: Vec<_> = [("b.x.", 9), ("WWW.x.", 8), ("gone.x.", 7)]
        .map(|(owner, last)| Entry::Put(None, name(owner), address(last)))
        .into();
    storage.write(&puts, &[served(7)]).expect("written");
    storage
        .write(
            &[
                Entry::Put(None, name("www.x."), address(5)),
                Entry::Delete(SourceId::api(), None, name("GONE.x.").key(), RecordType::A),
            ],
            &[served(4_000_000_000)],
        )
        .expect("written");
    drop(storage);

    let (_storage, stored) = open(folder.path());
    let found: Vec<_> = stored
        .rrsets
        .iter()
        .map(|(_, owner, rrset)| (owner.to_string(), rrset.clone()))
        .collect();
    assert_eq!(
        found,
        [
            ("b.x.".to_owned(), (*address(9)).clone()),
            ("www.x.".to_owned(), (*address(5)).clone())
        ]
    );
    assert_eq!(stored.serials, [served(4_000_000_000)]);
    assert_eq!(stored.serials[0].apex.to_string(), "Example.com.");
}

#[test]
fn a_second_opener_is_refused_until_the_first_lets_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut first, _) = open(folder.path());
    let (mut second, stored) = Storage::open(folder.path()).expect("no start-up error");
    assert!(second.unavailable().expect("held").contains("another process holds"));
    assert!(stored.is_none(), "nobody knows what it holds");
    assert!(second.reopen().is_none());
    let change = [Entry::Put(None, name("a.x."), address(2))];
    assert!(matches!(second.write(&change, &[]), Err(WriteError::Unavailable(_))));
    first.write(&change, &[]).expect("the holder writes");
    drop(first);
    assert_eq!(second.reopen().expect("free now").rrsets.len(), 1);
    second.write(&change, &[]).expect("the new holder writes");
    assert!(second.reopen().is_none(), "it is open");
}

#[test]
fn a_folder_that_cannot_be_made_is_no_start_up_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let (storage, stored) = open(&file.join("below"));
    assert!(stored.rrsets.is_empty(), "there is certainly none");
    assert!(storage.unavailable().expect("no folder").contains("cannot create"));
}

#[test]
fn damage_refuses_start_up_and_deletes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE_NAME);
    std::fs::write(&path, "not a database, but long enough to look at it".repeat(40)).expect("garbage");
    let before = std::fs::read(&path).expect("readable");
    assert!(matches!(
        Storage::open(folder.path()),
        Err(StorageError::Damaged { .. })
    ));
    assert_eq!(std::fs::read(&path).expect("still there"), before);
}

#[test]
fn damage_beside_the_records_leaves_them_served_and_takes_no_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    storage
        .write(&[Entry::Put(None, name("b.x."), address(9))], &[])
        .expect("written");
    storage.write(&[Entry::History(row(1, 100_000))], &[]).expect("written");
    drop(storage);
    // The last page is one of the many that the history's row goes on in; each begins with the number of the next.
    let path = folder.path().join(FILE_NAME);
    let mut octets = std::fs::read(&path).expect("read");
    let last = octets.len() - 4096;
    octets[last..last + 4].copy_from_slice(&[0xFF; 4]);
    std::fs::write(&path, octets).expect("written");

    let (mut storage, stored) = open(folder.path());
    assert_eq!(stored.rrsets.len(), 1);
    let trouble = storage.trouble().expect("damaged");
    assert_eq!(trouble.state, StorageState::ReadOnly, "{trouble:?}");
    assert!(trouble.reason.contains("is damaged"), "{trouble:?}");
    let refused = storage.write(&[Entry::Put(None, name("c.x."), address(9))], &[]);
    assert!(matches!(refused, Err(WriteError::Unavailable(reason)) if reason.contains("is damaged")));
    assert!(storage.reopen().is_none());
}

#[test]
fn rows_that_cannot_be_ours_are_damage() {
    for sql in [
        "UPDATE rrsets SET rdatas = x'0004C000'",
        "UPDATE rrsets SET rdatas = x''",
        "UPDATE rrsets SET owner = 'other.x.'",
        "UPDATE rrsets SET rtype = 255",
        "UPDATE rrsets SET ttl = -1",
        "DROP TABLE served_serials",
        "DELETE FROM schema_version",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut storage, _) = open(folder.path());
        storage
            .write(&[Entry::Put(None, name("a.x."), address(2))], &[])
            .expect("written");
        drop(storage);
        let connection = Connection::open(folder.path().join(FILE_NAME)).expect("opened");
        connection.execute_batch(sql).expect("changed");
        drop(connection);
        match Storage::open(folder.path()) {
            Err(StorageError::Damaged { .. }) => {}
            Err(other) => panic!("{sql}: {other}"),
            Ok(_) => panic!("{sql}: opened"),
        }
    }
}

#[test]
fn another_programs_and_a_newer_database_are_named_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE_NAME);
    let connection = Connection::open(&path).expect("opened");
    connection.execute_batch("CREATE TABLE theirs (x)").expect("made");
    drop(connection);
    assert!(matches!(
        Storage::open(folder.path()),
        Err(StorageError::Foreign { .. })
    ));

    std::fs::remove_file(&path).expect("removed");
    drop(open(folder.path()));
    let connection = Connection::open(&path).expect("opened");
    connection
        .execute_batch("UPDATE schema_version SET version = 99")
        .expect("changed");
    drop(connection);
    assert!(matches!(
        Storage::open(folder.path()),
        Err(StorageError::Newer { found: 99, .. })
    ));
}

#[test]
fn a_full_disk_changes_nothing_and_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    // SQLite answers SQLITE_FULL past this many pages, as it does on a full disk.
    let pages: i64 = connection(&storage)
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .expect("counted");
    let limit = |connection: &Connection, pages: i64| {
        connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .expect("limited");
    };
    limit(connection(&storage), pages);
    let many: Vec<_> = (0..2000)
        .map(|i| Entry::Put(None, name(&format!("n{i}.x.")), address(2)))
        .collect();
    let error = storage.write(&many, &[]).expect_err("full");
    assert!(
        matches!(&error, WriteError::Unavailable(reason) if reason.contains("full")),
        "{error}"
    );
    limit(connection(&storage), 1_000_000);
    storage.write(&many[..1], &[]).expect("room again");
    drop(storage);
    let (_storage, stored) = open(folder.path());
    assert_eq!(stored.rrsets.len(), 1, "nothing of the failed write");
}

#[test]
fn a_database_that_can_only_be_read_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE_NAME);
    let (mut storage, _) = open(folder.path());
    storage
        .write(&[Entry::Put(None, name("a.x."), address(2))], &[served(3)])
        .expect("written");
    assert!(
        matches!(read_only(&path), Err(Refusal::Unavailable(_))),
        "a log has to be replayed first"
    );
    drop(storage);
    let stored = read_only(&path).ok().expect("readable");
    assert_eq!((stored.rrsets.len(), stored.serials.len()), (1, 1));
    std::fs::write(&path, "x".repeat(5000)).expect("garbage");
    assert!(matches!(
        read_only(&path),
        Err(Refusal::Content(StorageError::Damaged { .. }))
    ));
}

#[test]
fn orders_and_wildcards_outlive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    let handlings = [
        Handling::new(Order::Rotate, Wildcard::Rfc4592),
        Handling::new(Order::Weighted(Box::from([65535, 0])), Wildcard::OneLabel),
        Handling::default(),
    ];
    let puts: Vec<_> = handlings
        .iter()
        .enumerate()
        .map(|(at, handling)| {
            let rrset = RrSet {
                handling: handling.clone(),
                ..(*address(5)).clone()
            };
            Entry::Put(None, name(&format!("*.{at}.x.")), rrset.into())
        })
        .collect();
    storage.write(&puts, &[]).expect("written");
    drop(storage);
    let (_storage, stored) = open(folder.path());
    assert!(stored.rrsets.iter().map(|(.., rrset)| &rrset.handling).eq(&handlings));
}

#[test]
fn a_database_of_the_first_version_gets_what_it_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE_NAME);
    let (mut storage, _) = open(folder.path());
    storage
        .write(&[Entry::Put(None, name("a.x."), address(2))], &[served(3)])
        .expect("written");
    drop(storage);
    let connection = Connection::open(&path).expect("opened");
    connection
        .execute_batch(
            "CREATE TABLE first (owner_key BLOB NOT NULL, rtype INTEGER NOT NULL, owner TEXT NOT NULL,
                 ttl INTEGER NOT NULL, rdatas BLOB NOT NULL, PRIMARY KEY (owner_key, rtype)) WITHOUT ROWID;
             INSERT INTO first SELECT owner_key, rtype, owner, ttl, rdatas FROM rrsets;
             DROP TABLE rrsets;
             DROP TABLE sources;
             DROP TABLE history;
             ALTER TABLE served_serials DROP COLUMN version;
             ALTER TABLE first RENAME TO api_rrsets;
             UPDATE schema_version SET version = 1;
             PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .expect("as it was");
    drop(connection);
    let stored = read_only(&path).ok().expect("read as it is");
    assert_eq!(stored.rrsets[0].2, *address(2));
    let (mut storage, stored) = open(folder.path());
    assert_eq!((stored.rrsets.len(), stored.serials.len()), (1, 1));
    let ordered = RrSet {
        handling: Handling::new(Order::Random, Wildcard::Rfc4592),
        ..(*address(2)).clone()
    };
    storage
        .write(&[Entry::Put(None, name("a.x."), ordered.clone().into())], &[])
        .expect("written");
    drop(storage);
    let (_storage, stored) = open(folder.path());
    assert_eq!(stored.rrsets[0].2, ordered);
}

/// The layout of schema version 3, to the letter, with what the program of that time wrote into it.
const VERSION_3: &str = "
    PRAGMA application_id = 1752134756;
    CREATE TABLE schema_version (version INTEGER NOT NULL);
    CREATE TABLE api_rrsets (
        view TEXT NOT NULL,
        owner_key BLOB NOT NULL,
        rtype INTEGER NOT NULL,
        owner TEXT NOT NULL,
        ttl INTEGER NOT NULL,
        rdatas BLOB NOT NULL,
        rr_order INTEGER NOT NULL DEFAULT 0,
        weights BLOB,
        one_label INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (view, owner_key, rtype)
    ) WITHOUT ROWID;
    CREATE TABLE served_serials (
        apex_key BLOB NOT NULL PRIMARY KEY,
        apex TEXT NOT NULL,
        serial INTEGER NOT NULL,
        fingerprint INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO schema_version VALUES (3);
    INSERT INTO api_rrsets VALUES ('', x'78006100', 1, 'a.x.', 300, x'0004C0000202', 0, NULL, 0);
    INSERT INTO api_rrsets VALUES ('', x'78006200', 1, 'B.x.', 60, x'0004C00002010004C0000203', 3, x'00010005', 0);
    INSERT INTO api_rrsets VALUES ('office', x'78002A00', 1, '*.x.', 60, x'0004C0000209', 1, NULL, 1);
    INSERT INTO served_serials VALUES (x'7800', 'x.', 4000000000, -5);
";

#[test]
fn a_database_of_the_program_before_opens_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE_NAME);
    let old = Connection::open(&path).expect("opened");
    old.execute_batch(VERSION_3).expect("made");
    drop(old);
    let shown = |stored: &Stored| {
        let rrsets = stored.rrsets.iter().map(|(view, owner, rrset)| {
            let (order, wildcard) = (rrset.handling.order(), rrset.handling.wildcard());
            let addresses = rrset.rdatas.iter().map(|value| value[3].to_string());
            let addresses: Vec<String> = addresses.collect();
            format!(
                "{view:?} {owner} {} {} {order:?} {wildcard:?}",
                rrset.ttl,
                addresses.join(",")
            )
        });
        let serials = stored.serials.iter();
        let serials =
            serials.map(|served| format!("{} {} {}", served.apex, served.serial, served.fingerprint.cast_signed()));
        rrsets.chain(serials).collect::<Vec<_>>()
    };
    let expected = [
        "None a.x. 300 2 Fixed Rfc4592",
        "None B.x. 60 1,3 Weighted([1, 5]) Rfc4592",
        "Some(\"office\") *.x. 60 9 Rotate OneLabel",
        "x. 4000000000 -5",
    ];
    let as_it_is = read_only(&path).ok().expect("read as it is");
    assert_eq!(shown(&as_it_is), expected);
    for _ in 0..2 {
        let (storage, stored) = open(folder.path());
        assert_eq!(shown(&stored), expected);
        assert_eq!(schema::version(connection(&storage)), Ok(schema::VERSION));
        assert!(stored.watched.is_empty());
    }
}

#[test]
fn what_a_watched_source_said_is_apart_from_the_apis() {
    let watched = |name: &str| SourceId::watched("objects", name, 0);
    let of = |source: &SourceId, last| {
        let origin = Origin::of_object(source.clone(), "thing", Some(7));
        Arc::new(RrSet {
            origin,
            ..(*address(last)).clone()
        })
    };
    let (one, two) = (watched("one"), watched("two"));
    let progress = Progress {
        resume: Some("42".to_owned()),
        synced: 1_700_000_000,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    let entries = [
        Entry::Put(None, name("a.x."), address(1)),
        Entry::Put(None, name("a.x."), of(&one, 2)),
        Entry::Put(None, name("b.x."), of(&one, 3)),
        Entry::Put(None, name("a.x."), of(&two, 4)),
        Entry::Delete(one.clone(), None, name("b.x.").key(), RecordType::A),
        Entry::Progress(one.clone(), progress.clone()),
        Entry::Progress(two.clone(), progress.clone()),
    ];
    storage.append(&entries, &[]).expect("written");
    drop(storage);
    let (mut storage, stored) = open(folder.path());
    assert_eq!(stored.rrsets.len(), 1);
    let layer = &stored.watched["objects/one"];
    assert_eq!(layer.progress, Some(progress));
    let [kept] = &layer.rrsets[..] else { panic!("{layer:?}") };
    assert_eq!((kept.object.as_deref(), kept.since), (Some("thing"), Some(7)));
    assert_eq!(kept.rrset.rdatas, address(2).rdatas);
    storage
        .append(&[Entry::Forget("objects/one".to_owned())], &[])
        .expect("written");
    drop(storage);
    let (_storage, stored) = open(folder.path());
    assert_eq!(stored.watched.keys().collect::<Vec<_>>(), ["objects/two"]);
}

#[test]
fn rrsets_of_a_view_are_apart_from_the_defaults() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    let office = || Some("office".into());
    let puts = [
        Entry::Put(office(), name("a.x."), address(9)),
        Entry::Put(None, name("a.x."), address(2)),
    ];
    storage.write(&puts, &[]).expect("written");
    drop(storage);
    let (mut storage, stored) = open(folder.path());
    let of_default = (None, name("a.x."), (*address(2)).clone());
    let of_view = (office(), name("a.x."), (*address(9)).clone());
    assert_eq!(stored.rrsets, [of_default.clone(), of_view]);
    let delete = Entry::Delete(SourceId::api(), office(), name("a.x.").key(), RecordType::A);
    storage.write(&[delete], &[]).expect("written");
    drop(storage);
    let (_storage, stored) = open(folder.path());
    assert_eq!(stored.rrsets, [of_default]);
}

#[test]
fn what_cannot_be_read_is_not_taken_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(FILE_NAME)).expect("a folder");
    let (mut storage, stored) = Storage::open(folder.path()).expect("no start-up error");
    assert!(stored.is_none() && storage.is_closed());
    let trouble = storage.trouble().expect("there is some");
    assert_eq!(trouble.state, StorageState::Unavailable);
    assert!(trouble.reason.contains("hotdns.db is a folder"), "{}", trouble.reason);
    std::fs::remove_dir(folder.path().join(FILE_NAME)).expect("moved away");
    assert!(storage.reopen().is_some_and(|stored| stored.rrsets.is_empty()));
    assert_eq!(storage.trouble(), None);
}

#[test]
fn a_write_that_fails_at_any_step_leaves_nothing_behind() {
    use super::faults::Step;
    use rusqlite::ffi;
    let steps = [Step::Begin, Step::Statement, Step::Commit, Step::Rollback];
    let codes = [
        (ffi::SQLITE_FULL, "the disk is full"),
        (ffi::SQLITE_IOERR_WRITE, "disk I/O error"),
        (ffi::SQLITE_IOERR_FSYNC, "disk I/O error"),
        (ffi::SQLITE_CORRUPT, "malformed"),
    ];
    for (step, (code, expected)) in steps.into_iter().flat_map(|step| codes.map(|code| (step, code))) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut storage, _) = open(folder.path());
        let put = |owner: &str| [Entry::Put(None, name(owner), address(2))];
        storage.write(&put("a.x."), &[]).expect("written");
        storage.faults.lock().expect("not poisoned").fail_once(step, code);
        let error = storage.write(&put("b.x."), &[served(2)]).expect_err("as the test asks");
        assert!(error.to_string().contains(expected), "{step:?} {code}: {error}");
        let trouble = storage.trouble().expect("shows").clone();
        if step == Step::Rollback {
            // The connection cannot be used any more.
            assert!(storage.is_closed() && storage.unavailable().is_some());
            assert!(storage.write(&put("c.x."), &[]).is_err());
            assert_eq!(storage.reopen().expect("opened again").rrsets.len(), 1);
        } else {
            assert_eq!(trouble.state, StorageState::Failing, "{step:?} {code}");
            assert_eq!(storage.unavailable(), None, "the next may succeed");
            storage.recover().expect("written again");
        }
        assert_eq!(storage.trouble(), None);
        storage.write(&put("c.x."), &[]).expect("written");
        drop(storage);
        let (_storage, stored) = open(folder.path());
        let owners: Vec<_> = stored.rrsets.iter().map(|(_, owner, _)| owner.to_string()).collect();
        assert_eq!(owners, ["a.x.", "c.x."], "{step:?} {code}");
        assert!(stored.serials.is_empty());
    }
}

#[test]
fn a_database_that_was_deleted_or_replaced_takes_no_writes_until_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, aside) = (folder.path().join(FILE_NAME), folder.path().join("aside"));
    let (mut storage, _) = open(folder.path());
    let put = |owner: &str| [Entry::Put(None, name(owner), address(2))];
    storage.write(&put("a.x."), &[]).expect("written");
    for replacement in [None, Some("another file")] {
        std::fs::rename(&path, &aside).expect("moved");
        if let Some(text) = replacement {
            std::fs::write(&path, text).expect("written");
        }
        let refused = storage.write(&put("lost.x."), &[]).expect_err("it would be lost");
        let expected = if replacement.is_some() {
            "was replaced"
        } else {
            "was deleted or moved"
        };
        assert!(refused.to_string().contains(expected), "{refused}");
        assert_eq!(storage.trouble().expect("shows").state, StorageState::Replaced);
        assert!(storage.unavailable().is_some() && storage.recover().is_err());
        std::fs::rename(&aside, &path).expect("back");
        // Its log may have been set aside, and then it has to be opened again.
        while storage.recover().is_err() {
            let stored = storage.reopen().expect("it is there");
            assert!(!stored.rrsets.is_empty(), "what was in the log is kept");
        }
        assert_eq!(storage.trouble(), None);
    }
    storage.write(&put("b.x."), &[]).expect("written");
    drop(storage);
    assert_eq!(open(folder.path()).1.rrsets.len(), 2);
}

#[test]
fn a_log_that_was_deleted_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    let put = |owner: &str| [Entry::Put(None, name(owner), address(2))];
    storage.write(&put("a.x."), &[]).expect("written");
    std::fs::remove_file(folder.path().join("hotdns.db-wal")).expect("there is a log");
    let refused = storage.write(&put("b.x."), &[]).expect_err("a crash would lose it");
    assert!(refused.to_string().contains("log"), "{refused}");
    assert_eq!(
        storage.reopen().expect("opened").rrsets.len(),
        1,
        "it was still in the open log"
    );
    storage.write(&put("b.x."), &[]).expect("written");
    drop(storage);
    assert_eq!(open(folder.path()).1.rrsets.len(), 2);
}

#[test]
fn the_log_of_a_database_is_not_taken_for_its_replacements() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE_NAME);
    let put = |owner: &str| [Entry::Put(None, name(owner), address(2))];
    let (mut storage, _) = open(folder.path());
    storage.write(&put("old.x."), &[]).expect("written");
    drop(storage);
    let backup = std::fs::read(&path).expect("read");
    let (mut storage, _) = open(folder.path());
    storage.write(&put("new.x."), &[]).expect("written");
    std::fs::remove_file(&path).expect("deleted");
    std::fs::write(&path, &backup).expect("another one");
    assert!(storage.recover().is_err());
    // As after a crash: the process ends, and nothing is written any more.
    std::mem::forget(storage);
    let (_storage, stored) = open(folder.path());
    let owners: Vec<_> = stored.rrsets.iter().map(|(_, owner, _)| owner.to_string()).collect();
    assert_eq!(owners, ["old.x."]);
    assert!(
        folder.path().join("hotdns.db-wal.replaced").exists(),
        "nothing is deleted"
    );
}

fn row(version: u64, octets: usize) -> HistoryRow {
    HistoryRow {
        first: version,
        last: version,
        time: version * 1000,
        changes: vec![7; octets],
    }
}

fn lasts(storage: &Storage, after: u64, before: u64, newest_first: bool) -> Vec<u64> {
    let query = HistoryQuery {
        after,
        before,
        newest_first,
        limit: 100,
    };
    storage
        .read_history(query)
        .expect("read")
        .iter()
        .map(|row| row.last)
        .collect()
}

#[test]
fn history_is_read_both_ways_and_kept_within_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    for version in 1..=9 {
        storage
            .write(&[Entry::History(row(version, 100))], &[])
            .expect("written");
    }
    let group = HistoryRow {
        first: 10,
        last: 14,
        ..row(14, 100)
    };
    storage.write(&[Entry::History(group.clone())], &[]).expect("written");
    assert_eq!(lasts(&storage, 7, u64::MAX, false), [8, 9, 14]);
    assert_eq!(lasts(&storage, 0, 3, true), [2, 1]);
    assert_eq!(
        lasts(&storage, 8, 12, true),
        [14, 9],
        "the row that has the version is in it"
    );
    assert_eq!(lasts(&storage, 8, 10, true), [9]);
    let query = HistoryQuery {
        after: 13,
        before: u64::MAX,
        newest_first: false,
        limit: 1,
    };
    assert_eq!(storage.read_history(query).expect("read"), [group]);

    let limits = HistoryLimits {
        max_age: Duration::from_secs(10),
        max_bytes: 1 << 20,
    };
    assert!(!storage.prune_history(limits, 14_000));
    assert_eq!(lasts(&storage, 0, u64::MAX, false), [4, 5, 6, 7, 8, 9, 14], "by age");
    let limits = HistoryLimits {
        max_age: Duration::from_secs(1000),
        max_bytes: 250,
    };
    storage.prune_history(limits, 14_000);
    assert_eq!(lasts(&storage, 0, u64::MAX, false), [9, 14], "by size");
    storage.prune_history(HistoryLimits { max_bytes: 0, ..limits }, u64::MAX);
    assert_eq!(lasts(&storage, 0, u64::MAX, false), [14], "the latest stays");
    drop(storage);
    assert_eq!(open(folder.path()).1.version, 14);
}

#[test]
fn a_backup_is_made_while_it_is_open_and_restored_while_it_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup.db");
    let state = folder.path().join("state");
    let (mut storage, _) = open(&state);
    storage
        .write(
            &[Entry::Put(None, name("a.x."), address(2)), Entry::History(row(5, 10))],
            &[served(3)],
        )
        .expect("written");
    storage.copy_to(&backup).expect("copied");
    assert!(
        storage
            .copy_to(&backup)
            .expect_err("it is there")
            .to_string()
            .contains("already")
    );
    storage
        .write(&[Entry::Put(None, name("b.x."), address(2))], &[])
        .expect("written on");
    assert!(matches!(restore(&backup, &state), Err(RestoreError::Held(_))));
    drop(storage);

    let restored = restore(&backup, &state).expect("restored");
    assert_eq!((restored.rrsets, restored.version), (1, 5));
    let (_storage, stored) = open(&state);
    assert_eq!((stored.rrsets.len(), stored.version), (1, 5));
    let before = restored.before.expect("kept");
    assert_eq!(read_only(&before).ok().expect("whole").rrsets.len(), 2);
    let elsewhere = restore(&backup, &folder.path().join("new")).expect("restored");
    assert_eq!(elsewhere.before, None);
    std::fs::write(&backup, "no database").expect("written");
    assert!(matches!(
        restore(&backup, &folder.path().join("new")),
        Err(RestoreError::Backup { .. })
    ));
    assert_eq!(open(&folder.path().join("new")).1.rrsets.len(), 1, "as it was");
}

#[test]
fn a_database_of_version_4_gets_versions_and_a_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut storage, _) = open(folder.path());
    storage
        .write(&[Entry::Put(None, name("a.x."), address(2))], &[served(3)])
        .expect("written");
    drop(storage);
    let connection = Connection::open(folder.path().join(FILE_NAME)).expect("opened");
    connection
        .execute_batch(
            "DROP TABLE history;
             ALTER TABLE served_serials DROP COLUMN version;
             ALTER TABLE rrsets DROP COLUMN version;
             ALTER TABLE rrsets DROP COLUMN locked;
             ALTER TABLE rrsets DROP COLUMN disabled;
             ALTER TABLE rrsets DROP COLUMN note;
             UPDATE schema_version SET version = 4;
             PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .expect("as it was");
    drop(connection);
    let path = folder.path().join(FILE_NAME);
    assert_eq!(read_only(&path).ok().expect("read as it is").rrsets[0].2, *address(2));
    let (mut storage, stored) = open(folder.path());
    assert_eq!((stored.rrsets.len(), stored.version), (1, 0));
    let changed = Arc::new(RrSet {
        origin: Origin::api().at_version(9),
        ..(*address(3)).clone()
    });
    storage
        .write(&[Entry::Put(None, name("a.x."), changed)], &[])
        .expect("written");
    drop(storage);
    let (_storage, stored) = open(folder.path());
    assert_eq!((stored.version, stored.rrsets[0].2.origin.version()), (9, 9));
}
