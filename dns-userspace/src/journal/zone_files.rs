//! Zone files that edits change: the place where the records of a zone with `store: file` are kept.
//!
//! ```text
//! plan ─ which zones of files differ ─► is the file what is served? ─► its new text, read again ─► replaced whole
//!                                        │ no: somebody has edited it, and that comes first
//! ```
//!
//! Nothing is remembered of a file but its path: before each write it is read and compared with what is served. So what
//! a person wrote is never written over.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use imbl::OrdSet;

use crate::host::replace::replace;
use crate::host::stamp::FileStamp;
use crate::model::name::{Name, NameKey};
use crate::model::record::{RecordType, RrSet};
use crate::store::{Change, Refusal, StoredZone, ZoneOfFile};
use crate::zonefile::{Content, Editable, LoadError, NotRewritten, Wanted, content_of, render};

/// A zone file that edits change.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// The zone.
    pub apex: Name,
    /// Where its file is.
    pub path: PathBuf,
    /// The file as the configuration writes it.
    pub shown_as: Arc<str>,
    /// What the file was when it was read; `None` where it was not read this time.
    pub stamp: Option<FileStamp>,
    /// Whether it is in the folder of zones.
    pub is_in_folder: bool,
}

/// All of them, and where new ones go.
#[derive(Debug, Clone, Default)]
pub struct StoredFiles {
    /// The files.
    pub files: Vec<StoredFile>,
    /// The folder into which zones that are made go, and how the configuration writes it.
    pub folder: Option<(PathBuf, Arc<str>)>,
}

impl StoredFiles {
    /// The zones.
    pub fn zones(&self) -> Vec<StoredZone> {
        let zones = self.files.iter().map(|file| StoredZone {
            apex: file.apex.clone(),
            is_in_folder: file.is_in_folder,
        });
        zones.collect()
    }

    /// Whether zones that are made become files.
    pub fn makes_files(&self) -> bool {
        self.folder.is_some()
    }
}

/// Why a file was not written. Nothing has changed then.
#[derive(Debug)]
pub enum NotWritten {
    /// What it says, or would have to say.
    Refused(Refusal),
    /// The file system.
    Io(String),
}

/// The zone files that edits change.
pub struct ZoneFiles {
    files: BTreeMap<NameKey, Place>,
    folder: Option<(PathBuf, Arc<str>)>,
    /// Said to those who hand in edits.
    known: Arc<KnownZoneFiles>,
}

/// What those who hand in edits know of zone files that edits change.
#[derive(Debug, Default)]
pub struct KnownZoneFiles {
    are_there: AtomicBool,
    zones: ArcSwap<OrdSet<NameKey>>,
}

impl KnownZoneFiles {
    /// Whether edits may change zone files.
    pub fn are_there(&self) -> bool {
        self.are_there.load(Ordering::Relaxed)
    }

    /// Whether edits of this zone change its file.
    pub fn has(&self, apex: &NameKey) -> bool {
        self.zones.load().contains(apex)
    }
}

#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    shown_as: Arc<str>,
}

/// A file that was written, as it was before.
#[derive(Default)]
pub struct WrittenFile(Option<(NameKey, Place, Option<Vec<u8>>)>);

impl ZoneFiles {
    /// None yet.
    pub fn new(known: Arc<KnownZoneFiles>) -> Self {
        Self {
            files: BTreeMap::new(),
            folder: None,
            known,
        }
    }

    /// These are the files from now on. Of the changes those are left out that come from a file which has been written
    /// since it was read: it is read again.
    pub fn take(&mut self, stored: StoredFiles, changes: Vec<Change>) -> Vec<Change> {
        let StoredFiles { files, folder } = stored;
        let mut stale = Vec::new();
        for file in files {
            let key = file.apex.key();
            if file.stamp.is_some_and(|stamp| !stamp.is_still(&file.path)) {
                stale.push(key.clone());
            }
            let place = Place {
                path: file.path,
                shown_as: file.shown_as,
            };
            self.files.insert(key, place);
        }
        self.folder = folder;
        let has_any = !self.files.is_empty() || self.folder.is_some();
        self.known.are_there.store(has_any, Ordering::Relaxed);
        self.known.zones.store(Arc::new(self.files.keys().cloned().collect()));
        let is_stale = |change: &Change| match change {
            Change::PutZone { apex, .. } => stale.contains(&apex.key()),
            _ => false,
        };
        changes.into_iter().filter(|change| !is_stale(change)).collect()
    }

    /// Writes the file of a zone that differs; there is one at most. It is on disk on return.
    pub fn write(&mut self, zones: Vec<ZoneOfFile>) -> Result<WrittenFile, NotWritten> {
        let Some(zone) = zones.into_iter().next() else {
            return Ok(WrittenFile::default());
        };
        let ZoneOfFile { apex, before, after } = zone;
        let key = apex.key();
        let (place, old) = match (before, after) {
            (Some(before), Some(after)) => self.change(&apex, &before, &after)?,
            (None, Some(after)) => self.create(&apex, &after)?,
            (Some(before), None) => self.delete(&apex, &before)?,
            (None, None) => return Ok(WrittenFile::default()),
        };
        Ok(WrittenFile(Some((key, place, old))))
    }

    fn insert(&mut self, key: NameKey, place: Place) {
        self.known.zones.rcu(|zones| zones.update(key.clone()));
        self.files.insert(key, place);
    }

    fn remove(&mut self, key: &NameKey) {
        self.known.zones.rcu(|zones| zones.without(key));
        self.files.remove(key);
    }

    fn place(&self, apex: &Name) -> Result<Place, NotWritten> {
        let place = self.files.get(&apex.key()).cloned();
        place.ok_or_else(|| NotWritten::Io(format!("nobody knows where the file of the zone {apex} is: reload")))
    }

    fn change(
        &self,
        apex: &Name,
        before: &[(Name, Arc<RrSet>)],
        after: &[(Name, Arc<RrSet>)],
    ) -> Result<(Place, Option<Vec<u8>>), NotWritten> {
        let place = self.place(apex)?;
        let file = in_step(&place, apex, before)?;
        let new: BTreeMap<_, _> = by_place(after);
        let old: BTreeMap<_, _> = by_place(before);
        let gone = old.iter().filter(|(at, _)| !new.contains_key(at));
        let gone = gone.map(|((_, rtype), (owner, _))| Wanted {
            owner,
            rtype: *rtype,
            rrset: None,
        });
        let differs = |at: &(NameKey, RecordType), rrset: &RrSet| {
            let known = old.get(at);
            known.is_none_or(|(_, known)| known.ttl != rrset.ttl || known.rdatas != rrset.rdatas)
        };
        let other = new.iter().filter(|(at, (_, rrset))| differs(at, rrset));
        let other = other.map(|((_, rtype), (owner, rrset))| Wanted {
            owner,
            rtype: *rtype,
            rrset: Some(*rrset),
        });
        let changes: Vec<Wanted<'_>> = gone.chain(other).collect();
        let text = file.with(&changes, &content(after)).map_err(|error| {
            NotWritten::Refused(Refusal::ZoneFileFixed {
                apex: apex.clone(),
                file: place.shown_as.to_string(),
                reason: match error {
                    NotRewritten::Made(owner, rtype) => {
                        format!("{owner} {rtype} comes from a line with $INCLUDE or $GENERATE: make the change there")
                    }
                    NotRewritten::Other(reason) => reason,
                },
            })
        })?;
        // Somebody may have saved it in the meantime.
        if std::fs::read(&place.path).is_ok_and(|now| !now.ends_with(file.text())) {
            return Err(changed(&place, apex));
        }
        write(&place.path, &text)?;
        Ok((place, Some(file.text().to_vec())))
    }

    fn create(&mut self, apex: &Name, after: &[(Name, Arc<RrSet>)]) -> Result<(Place, Option<Vec<u8>>), NotWritten> {
        let Some((folder, shown_as)) = &self.folder else {
            return Err(NotWritten::Io("there is no `zone_folder`".to_owned()));
        };
        let name = apex.to_string().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(NotWritten::Refused(Refusal::ZoneFileFixed {
                apex: apex.clone(),
                file: format!("{shown_as}/{name}.zone"),
                reason: "a file cannot have this name".to_owned(),
            }));
        }
        let place = Place {
            path: folder.join(format!("{name}.zone")),
            shown_as: format!("{shown_as}/{name}.zone").into(),
        };
        if place.path.exists() {
            return Err(changed(&place, apex));
        }
        std::fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
        write(&place.path, render(apex, &content(after)).as_bytes())?;
        // Nothing in it is secret, and people edit it.
        let _ = std::fs::set_permissions(&place.path, Permissions::from_mode(0o644));
        self.insert(apex.key(), place.clone());
        Ok((place, None))
    }

    fn delete(&mut self, apex: &Name, before: &[(Name, Arc<RrSet>)]) -> Result<(Place, Option<Vec<u8>>), NotWritten> {
        let place = self.place(apex)?;
        let file = in_step(&place, apex, before)?;
        remove(&place.path).map_err(|error| cannot(&place.path, &error))?;
        self.remove(&apex.key());
        Ok((place, Some(file.text().to_vec())))
    }
}

impl WrittenFile {
    /// Makes the file what it was, as far as that is possible.
    pub fn take_back(self, files: &mut ZoneFiles) {
        let Some((key, place, old)) = self.0 else { return };
        let restored = match &old {
            Some(text) => replace(&place.path, text),
            None => remove(&place.path),
        };
        if let Err(error) = restored {
            tracing::error!(
                "{} was written, but the change was not made, and it cannot be made what it was: {error}",
                place.path.display()
            );
        }
        match old {
            Some(_) => files.insert(key, place),
            None => files.remove(&key),
        }
    }
}

/// The file, if it says what is served.
fn in_step(place: &Place, apex: &Name, served: &[(Name, Arc<RrSet>)]) -> Result<Editable, NotWritten> {
    let read = Editable::read(&place.path, apex, Arc::clone(&place.shown_as));
    let file = read.map_err(|error| {
        NotWritten::Refused(Refusal::ZoneFileBroken {
            apex: apex.clone(),
            error: match error {
                LoadError::Unreadable(error) => format!("{} cannot be read: {error}", place.shown_as),
                LoadError::Errors(errors) => errors.first().map_or_else(String::new, ToString::to_string),
            },
        })
    })?;
    match file.content() == content(served) {
        true => Ok(file),
        false => Err(changed(place, apex)),
    }
}

fn content(rrsets: &[(Name, Arc<RrSet>)]) -> Content {
    content_of(rrsets.iter().map(|(owner, rrset)| (owner, &**rrset)))
}

fn by_place(rrsets: &[(Name, Arc<RrSet>)]) -> BTreeMap<(NameKey, RecordType), (&Name, &RrSet)> {
    let each = rrsets.iter();
    each.map(|(owner, rrset)| ((owner.key(), rrset.rtype), (owner, &**rrset)))
        .collect()
}

fn changed(place: &Place, apex: &Name) -> NotWritten {
    NotWritten::Refused(Refusal::ZoneFileChanged {
        apex: apex.clone(),
        file: place.shown_as.to_string(),
    })
}

fn write(path: &Path, text: &[u8]) -> Result<(), NotWritten> {
    replace(path, text).map_err(|error| cannot(path, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> NotWritten {
    NotWritten::Io(format!("{} cannot be written: {error}", path.display()))
}

/// Removes a file for good.
fn remove(path: &Path) -> std::io::Result<()> {
    std::fs::remove_file(path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::source::SourceId;
    use crate::zonefile::read_text;

    const ZONE: &str = "; ours\n@ 60 SOA ns1 h 1 2 3 4 5\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n";

    fn rrsets(text: &str) -> Vec<(Name, Arc<RrSet>)> {
        let read = read_text(text.as_bytes(), &apex(), "x".into()).expect("valid");
        let rrsets = read.rrsets.into_iter();
        rrsets.map(|(owner, rrset)| (owner, Arc::new(rrset))).collect()
    }

    fn apex() -> Name {
        Name::parse("x.example.").expect("a name")
    }

    fn stored(path: &Path, stamp: Option<FileStamp>) -> StoredFiles {
        StoredFiles {
            files: vec![StoredFile {
                apex: apex(),
                path: path.to_owned(),
                shown_as: "x.example.zone".into(),
                stamp,
                is_in_folder: true,
            }],
            folder: path.parent().map(|folder| (folder.to_owned(), "zones".into())),
        }
    }

    fn zone(before: Option<&str>, after: Option<&str>) -> Vec<ZoneOfFile> {
        vec![ZoneOfFile {
            apex: apex(),
            before: before.map(rrsets),
            after: after.map(rrsets),
        }]
    }

    #[test]
    fn a_file_is_written_if_it_says_what_is_served_and_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.example.zone");
        std::fs::write(&path, ZONE).expect("written");
        let known: Arc<KnownZoneFiles> = Arc::default();
        let mut files = ZoneFiles::new(Arc::clone(&known));
        files.take(stored(&path, None), Vec::new());
        assert!(known.are_there() && known.has(&apex().key()));
        let next = ZONE.replace("192.0.2.53", "192.0.2.54");
        let written = files.write(zone(Some(ZONE), Some(&next))).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), next);
        written.take_back(&mut files);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), ZONE);

        // Somebody else was faster, or has made an error.
        let error = files
            .write(zone(Some(&next), Some(ZONE)))
            .err()
            .expect("it says something else");
        assert!(
            matches!(error, NotWritten::Refused(Refusal::ZoneFileChanged { .. })),
            "{error:?}"
        );
        std::fs::write(&path, "@ 60 SOA").expect("written");
        let error = files.write(zone(Some(ZONE), Some(&next))).err().expect("an error");
        assert!(
            matches!(error, NotWritten::Refused(Refusal::ZoneFileBroken { .. })),
            "{error:?}"
        );
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "@ 60 SOA");
        std::fs::remove_file(&path).expect("removed");
        let error = files.write(zone(Some(ZONE), Some(&next))).err().expect("no file");
        assert!(
            matches!(error, NotWritten::Refused(Refusal::ZoneFileBroken { .. })),
            "{error:?}"
        );

        let made = files.write(zone(None, Some(ZONE))).expect("made");
        assert!(path.exists() && known.has(&apex().key()));
        made.take_back(&mut files);
        assert!(!path.exists() && !known.has(&apex().key()));
    }

    #[test]
    fn what_was_read_before_a_write_is_not_taken_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.example.zone");
        std::fs::write(&path, ZONE).expect("written");
        let stamp = FileStamp::of(&std::fs::metadata(&path).expect("a file"), ZONE.as_bytes());
        let mut files = ZoneFiles::new(Arc::default());
        let change = Change::PutZone {
            source: SourceId::zone_files(),
            apex: apex(),
            content: Ok(Vec::new()),
        };
        assert_eq!(files.take(stored(&path, Some(stamp)), vec![change.clone()]).len(), 1);
        let next = ZONE.replace("192.0.2.53", "192.0.2.54");
        files.write(zone(Some(ZONE), Some(&next))).expect("written");
        assert!(files.take(stored(&path, Some(stamp)), vec![change]).is_empty());
    }
}
