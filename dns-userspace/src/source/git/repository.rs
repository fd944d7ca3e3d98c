//! The bare clone of a repository: brought up to date, and read commit by commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::super::WorldError;
use super::program::{LOCAL, Program, REMOTE};
use crate::config::{GitSource, Signers};
use crate::host::replace::replace;

/// What was fetched last.
const HEAD: &str = "refs/hotdns/head";
/// Octets of the list of a commit's files.
const MOST_OF_LIST: u64 = 64 << 20;
/// Octets of files that are read at a time.
const MOST_OF_FILES: u64 = 512 << 20;
/// The largest file that is read, in octets.
pub(super) const MOST_OF_FILE: u64 = 256 << 20;

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) id: Arc<str>,
    /// Who made it, and the first line of what they say of it.
    pub(super) comment: Arc<str>,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) id: Arc<str>,
    pub(super) octets: u64,
}

/// Brings the clone up to date; the commit that the branch has. A clone that is damaged, as by a crash, is made anew.
pub(super) async fn fetch(settings: &GitSource) -> Result<Commit, WorldError> {
    match fetch_into_clone(settings).await {
        Err(WorldError(error)) if error.contains(&*settings.clone.to_string_lossy()) || error.contains("corrupt") => {
            warn!("{} is made anew: {error}", settings.clone.display());
            let removed = tokio::fs::remove_dir_all(&settings.clone).await;
            removed.map_err(|error| WorldError(format!("{} cannot be removed: {error}", settings.clone.display())))?;
            fetch_into_clone(settings).await
        }
        fetched => fetched,
    }
}

async fn fetch_into_clone(settings: &GitSource) -> Result<Commit, WorldError> {
    let git = Program::of(settings)?;
    prepare(settings, &git)?;
    if !settings.clone.join("HEAD").is_file() {
        git.text(&["init", "--quiet", "--bare"], LOCAL).await?;
    }
    let from = match &settings.branch {
        Some(branch) => format!("+refs/heads/{branch}:{HEAD}"),
        None => format!("+HEAD:{HEAD}"),
    };
    let fetch = [
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-recurse-submodules",
        "--end-of-options",
        &settings.url,
        &from,
    ];
    let fetched = git.text(&fetch, REMOTE).await;
    fetched.map_err(|WorldError(error)| WorldError(told(&error, settings)))?;
    let shown = git.text(&["log", "-1", "--format=%H%n%an: %s", HEAD], LOCAL).await?;
    let (id, comment) = shown.split_once('\n').unwrap_or((&shown, ""));
    Ok(Commit {
        id: id.into(),
        comment: comment.chars().take(200).collect::<String>().into(),
    })
}

/// What git says where a branch is missing is of little help.
fn told(error: &str, settings: &GitSource) -> String {
    match &settings.branch {
        Some(branch) if error.contains("couldn't find remote ref") => {
            format!("{} has no branch `{branch}`: was it deleted or renamed?", settings.url)
        }
        _ => error.to_owned(),
    }
}

/// Git's settings for this source alone, in the place of those of a user.
fn prepare(settings: &GitSource, git: &Program) -> Result<(), WorldError> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let url = &settings.url;
    let mut text = String::from(
        "# Written by hotdns.\n[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n[gc]\n\tautoDetach = false\n\
         [maintenance]\n\tautoDetach = false\n[protocol \"ext\"]\n\tallow = never\n",
    );
    // A repository of another user is read when it is named, and no other.
    let path = url.strip_prefix("file://").unwrap_or(url);
    if path.starts_with('/') {
        for folder in [path.to_owned(), format!("{}/.git", path.trim_end_matches('/'))] {
            text.push_str(&format!("[safe]\n\tdirectory = {}\n", quoted(&folder)));
        }
    }
    if let Some(Signers {
        allowed_signers: Some(file),
        ..
    }) = &settings.signers
    {
        let file = quoted(&file.to_string_lossy());
        text.push_str(&format!("[gpg \"ssh\"]\n\tallowedSignersFile = {file}\n"));
    }
    let path = git.settings();
    if std::fs::read(path).is_ok_and(|known| known == text.as_bytes()) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| replace(path, text.as_bytes()))
        .map_err(|error| WorldError(format!("{} cannot be written: {error}", path.display())))
}

/// An error where the commit has no signature of those who may sign.
pub(super) async fn verify(settings: &GitSource, commit: &Commit) -> Result<(), String> {
    if settings.signers.is_none() {
        return Ok(());
    }
    let verified = async {
        let git = Program::of(settings)?;
        git.text(&["verify-commit", &commit.id], LOCAL).await
    };
    match verified.await {
        Ok(_) => Ok(()),
        Err(WorldError(reason)) => Err(format!(
            "it has no signature of somebody whom `verify_signatures` lists ({reason})"
        )),
    }
}

/// The files of a commit at or below `path`, by their paths below it. Links and submodules are none.
pub(super) async fn files(settings: &GitSource, commit: &Commit) -> Result<BTreeMap<Arc<str>, Blob>, WorldError> {
    let git = Program::of(settings)?;
    let mut list = vec!["ls-tree", "-r", "-l", "-z", "--full-tree", &*commit.id];
    if !settings.path.is_empty() {
        list.extend(["--", &*settings.path]);
    }
    let octets = git.run(&list, Vec::new(), MOST_OF_LIST, LOCAL).await?;
    let entries = octets.split(|octet| *octet == 0);
    Ok(entries.filter_map(|entry| file(entry, &settings.path)).collect())
}

/// `100644 blob ID  OCTETS\tPATH`.
fn file(entry: &[u8], below: &str) -> Option<(Arc<str>, Blob)> {
    let text = std::str::from_utf8(entry).ok()?;
    let (about, path) = text.split_once('\t')?;
    let mut words = about.split_ascii_whitespace();
    words.next().filter(|mode| mode.starts_with("100"))?;
    words.next().filter(|kind| *kind == "blob")?;
    let blob = Blob {
        id: words.next()?.into(),
        octets: words.next()?.parse().ok()?,
    };
    let inside = path.strip_prefix(below).map(|path| path.trim_start_matches('/'));
    let name = || path.rsplit('/').next().unwrap_or(path);
    let path = inside.filter(|path| !path.is_empty()).unwrap_or_else(name);
    Some((path.into(), blob))
}

/// The content of these files, in their order.
pub(super) async fn contents(settings: &GitSource, blobs: &[Blob]) -> Result<Vec<Vec<u8>>, WorldError> {
    let sum: u64 = blobs.iter().map(|blob| blob.octets + 200).sum();
    if sum > MOST_OF_FILES {
        return Err(WorldError(format!("its files have more than {MOST_OF_FILES} octets")));
    }
    let git = Program::of(settings)?;
    let asked: String = blobs.iter().map(|blob| format!("{}\n", blob.id)).collect();
    let patience = LOCAL.max(Duration::from_secs(120));
    let octets = git
        .run(&["cat-file", "--batch"], asked.into_bytes(), sum, patience)
        .await?;
    let broken = || WorldError("git cat-file gave something else than was asked for".to_owned());
    let mut rest = &octets[..];
    let mut contents = Vec::with_capacity(blobs.len());
    for blob in blobs {
        // `ID blob OCTETS`, the content, and the end of a line.
        let head = rest.iter().position(|octet| *octet == b'\n').ok_or_else(broken)?;
        let length = usize::try_from(blob.octets).map_err(|_| broken())?;
        let content = rest.get(head + 1..head + 1 + length).ok_or_else(broken)?;
        if !rest[..head].starts_with(blob.id.as_bytes()) {
            return Err(broken());
        }
        contents.push(content.to_vec());
        rest = rest.get(head + 2 + length..).ok_or_else(broken)?;
    }
    Ok(contents)
}
