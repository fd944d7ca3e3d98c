//! Lists that a web server has: fetched by time, checked, and kept on disk.
//!
//! ```text
//! GET, If-None-Match, If-Modified-Since ─ 304 ─► the copy is as good as new
//!                                       ├ 200 ─► within the size? a list? ─► FOLDER/HASH.list, and HASH.json beside it
//!                                       └ else ─► the last good copy stays, the next try comes after a pause
//! ```
//!
//! A copy that is not what was written (a disk that was full, a hand that changed it) is not read: `HASH.json` has its
//! SHA-256. RFC 9110 §13.1.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::host::{files, replace};

/// For one request, all of it.
const PATIENCE: Duration = Duration::from_secs(120);
/// The file with what is known of a copy.
const MOST_OF_A_NOTE: u64 = 1 << 16;

/// A list at a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteList {
    /// Where it is.
    pub url: Arc<str>,
    /// The folder of the copies.
    pub folder: PathBuf,
    /// The time between two looks.
    pub refresh: Duration,
    /// The largest that is taken.
    pub max_octets: u64,
}

/// What is known of a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    url: String,
    sha256: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// Seconds of Unix time.
    fetched: u64,
}

/// What a fetch has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// The list is what it was.
    Same,
    /// Another one.
    New,
}

impl RemoteList {
    /// The copy's text; `None` where there is none yet.
    pub(super) fn copy(&self) -> io::Result<Option<String>> {
        let Some(note) = self.note() else {
            return Ok(None);
        };
        let octets = files::read(&self.path(), self.max_octets)?;
        if HEXLOWER.encode(digest(&SHA256, &octets).as_ref()) != note.sha256 {
            let problem = "the copy is not what was fetched: it is damaged, and fetched anew";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        text_of(octets).map(Some)
    }

    /// How old the copy is; `None` where there is none.
    pub(super) fn age(&self) -> Option<Duration> {
        let fetched = UNIX_EPOCH + Duration::from_secs(self.note()?.fetched);
        Some(SystemTime::now().duration_since(fetched).unwrap_or_default())
    }

    /// Fetches it, where it has changed. What `check` says no to is not taken.
    pub(super) fn fetch(&self, check: impl FnOnce(&str) -> Result<(), String>) -> Result<Fetched, String> {
        // A copy that cannot be read is fetched whole.
        let before = self.note().filter(|_| matches!(self.copy(), Ok(Some(_))));
        let roots = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .tls_config(roots.build())
            .http_status_as_error(false)
            .build()
            .into();
        let mut request = agent.get(&*self.url);
        if let Some(etag) = before.as_ref().and_then(|note| note.etag.as_ref()) {
            request = request.header("If-None-Match", etag);
        }
        if let Some(time) = before.as_ref().and_then(|note| note.last_modified.as_ref()) {
            request = request.header("If-Modified-Since", time);
        }
        let mut reply = request.call().map_err(|error| error.to_string())?;
        match (reply.status().as_u16(), before) {
            (304, Some(before)) => {
                self.keep_note(&Note {
                    fetched: now(),
                    ..before
                })?;
                Ok(Fetched::Same)
            }
            (200, before) => {
                let header = |name: &str| Some(reply.headers().get(name)?.to_str().ok()?.to_owned());
                let (etag, last_modified) = (header("etag"), header("last-modified"));
                let octets = reply.body_mut().with_config().limit(self.max_octets.saturating_add(1));
                let octets = octets.read_to_vec().map_err(|error| error.to_string())?;
                if octets.len() as u64 > self.max_octets {
                    return Err(format!("it has more than `max_bytes`, {} octets", self.max_octets));
                }
                let note = Note {
                    url: self.url.to_string(),
                    sha256: HEXLOWER.encode(digest(&SHA256, &octets).as_ref()),
                    etag,
                    last_modified,
                    fetched: now(),
                };
                let is_same = before.is_some_and(|before| before.sha256 == note.sha256);
                if !is_same {
                    let text = text_of(octets).map_err(|error| error.to_string())?;
                    check(&text)?;
                    std::fs::create_dir_all(&self.folder).map_err(|error| self.wrong(&self.folder, &error))?;
                    replace::replace(&self.path(), text.as_bytes())
                        .map_err(|error| self.wrong(&self.path(), &error))?;
                }
                self.keep_note(&note)?;
                Ok(if is_same { Fetched::Same } else { Fetched::New })
            }
            (status, _) => Err(format!("HTTP status {status}")),
        }
    }

    fn keep_note(&self, note: &Note) -> Result<(), String> {
        let text = serde_json::to_vec(note).map_err(|error| error.to_string())?;
        let path = self.path().with_extension("json");
        replace::replace(&path, &text).map_err(|error| self.wrong(&path, &error))
    }

    fn note(&self) -> Option<Note> {
        let text = files::read_text(&self.path().with_extension("json"), MOST_OF_A_NOTE).ok()?;
        serde_json::from_str(&text)
            .ok()
            .filter(|note: &Note| note.url == *self.url)
    }

    fn path(&self) -> PathBuf {
        let hash = HEXLOWER.encode(digest(&SHA256, self.url.as_bytes()).as_ref());
        self.folder.join(&hash[..32]).with_extension("list")
    }

    fn wrong(&self, path: &Path, error: &io::Error) -> String {
        format!("{}: {error}", path.display())
    }
}

fn text_of(octets: Vec<u8>) -> io::Result<String> {
    String::from_utf8(octets).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
