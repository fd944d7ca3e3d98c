use std::fs;
use std::time::Duration;

use super::super::{ConfigSource, Overrides};
use super::*;

const ZONE: &str = "@ 300 SOA ns host 1 1 1 1 1\n@ 300 NS ns\nns 300 A 192.0.2.1\n";

struct Folder(tempfile::TempDir);

impl Folder {
    /// Two zones, the second with an included file, and one record in the first.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.write("a.zone", ZONE);
        folder.write("b.zone", &format!("{ZONE}$INCLUDE part\n"));
        folder.write("part", "www 300 A 192.0.2.2\n");
        folder.configure("192.0.2.7");
        folder
    }

    fn configure(&self, address: &str) {
        self.write(
            "hotdns.yaml",
            &format!(
                "zones: [{{name: a., file: a.zone}}, {{name: b., file: b.zone}}]\n\
                 records: [{{name: www.a., type: A, value: [{address}]}}]\n"
            ),
        );
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.path().join(file), text).expect("written");
    }

    /// The zones whose files are read, and what is known after it.
    fn read(&self, before: &ReadZones) -> (Vec<String>, ReadZones) {
        // Else the file system's clock may not have gone on since the last write.
        std::thread::sleep(Duration::from_millis(40));
        let source = ConfigSource {
            path: self.0.path().join("hotdns.yaml"),
            overrides: Overrides::default(),
        };
        let read = source.load_changed(before).expect("a good configuration");
        let names = read.zones.iter().map(|zone| zone.zone.apex.to_string()).collect();
        let all = read.zones.len() + read.unchanged.len();
        assert_eq!(all, read.config.zones.len());
        let known = ReadZones::of(&read, before);
        (names, known)
    }
}

#[test]
fn a_zone_is_read_again_where_one_of_its_files_has_changed() {
    let folder = Folder::new();
    let (names, known) = folder.read(&ReadZones::default());
    assert_eq!(names, ["a.", "b."]);
    assert_eq!(folder.read(&known).0, [""; 0]);
    folder.write("a.zone", &ZONE.replace("192.0.2.1", "192.0.2.9"));
    let (names, known) = folder.read(&known);
    assert_eq!(names, ["a."]);
    folder.write("part", "www 300 A 192.0.2.3\n");
    let (names, known) = folder.read(&known);
    assert_eq!(names, ["b."]);
    assert_eq!(folder.read(&known).0, [""; 0]);
}

#[test]
fn a_zone_with_an_error_is_read_each_time() {
    let folder = Folder::new();
    let (_, known) = folder.read(&ReadZones::default());
    folder.write("part", "www 300 A nonsense\n");
    let (names, known) = folder.read(&known);
    assert_eq!(names, ["b."]);
    let (names, known) = folder.read(&known);
    assert_eq!(names, ["b."]);
    folder.write("part", "www 300 A 192.0.2.2\n");
    let (names, known) = folder.read(&known);
    assert_eq!(names, ["b."]);
    assert_eq!(folder.read(&known).0, [""; 0]);
}

#[test]
fn other_records_have_the_zones_read_that_hold_them() {
    let folder = Folder::new();
    let (_, known) = folder.read(&ReadZones::default());
    folder.configure("192.0.2.8");
    let (names, known) = folder.read(&known);
    assert_eq!(names, ["a."]);
    assert_eq!(folder.read(&known).0, [""; 0]);

    // A zone that clashes with a record is read each time, so that each reload reports the clash.
    folder.write("a.zone", &format!("{ZONE}www 300 A 192.0.2.1\n"));
    let (_, known) = folder.read(&known);
    assert_eq!(folder.read(&known).0, ["a."]);
}
