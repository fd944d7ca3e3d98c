//! `sources.git`: zone files and record files in a Git repository.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::problem::{ConfigProblem, Findings};
use super::super::section::{CheckedMapping, Text};
use super::Surroundings;
use super::export::{self, POLLS, TextSettings};

/// An instance of `sources.git`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// Where the repository is: a URL, `HOST:PATH` for SSH, or an absolute path.
    pub url: Arc<str>,
    /// The branch; `None` is the one that the repository names as its default.
    pub branch: Option<Arc<str>>,
    /// The folder, or the file, of the repository that is read, without a final `/`; empty for all of it.
    pub path: Arc<str>,
    /// How its files are read.
    pub texts: TextSettings,
    /// The time between two looks at it.
    pub poll: Duration,
    /// A file with a token, or with `USER:PASSWORD`, for a server over HTTP.
    pub token_file: Option<Arc<Path>>,
    /// A private key for SSH.
    pub ssh_key_file: Option<Arc<Path>>,
    /// The host keys that are accepted over SSH.
    pub known_hosts_file: Option<Arc<Path>>,
    /// Whose commits are taken; `None`: everybody's.
    pub signers: Option<Signers>,
    /// The bare clone.
    pub clone: Arc<Path>,
}

/// Whose signatures a commit may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signers {
    /// SSH keys, in the format of ssh-keygen's allowed signers.
    pub allowed_signers: Option<Arc<Path>>,
    /// The folder of a GnuPG keyring.
    pub gnupg_home: Option<Arc<Path>>,
}

pub(super) const KEYS: &[&str] = &[
    "name",
    "url",
    "branch",
    "path",
    "poll",
    "zones",
    "ttl",
    "token_file",
    "ssh_key_file",
    "known_hosts_file",
    "verify_signatures",
];
pub(super) const REMEDY: &str = "commit the change to the repository";
const POLL: Duration = Duration::from_secs(60);
const SIGNER_KEYS: &[&str] = &["allowed_signers", "gnupg_home"];

pub(super) fn read(
    section: &CheckedMapping<'_>,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<Box<GitSource>> {
    let url = section.required_text("url", "url: https://git.example.org/zones.git", findings);
    let branch = section.text("branch", "branch: main", findings);
    let path = section.text("path", "path: zones/", findings);
    let texts = export::texts(section, around, findings);
    let poll = section.duration("poll", "poll: 60s", &POLLS, findings).unwrap_or(POLL);
    let file = |text: Option<Text<'_>>| text.map(|text| around.base.join(text.text).into());
    let token_file = file(section.text("token_file", "token_file: /etc/hotdns/git-token", findings));
    let ssh_key_file = file(section.text("ssh_key_file", "ssh_key_file: /etc/hotdns/id_ed25519", findings));
    let known_hosts_file = file(section.text("known_hosts_file", "known_hosts_file: known_hosts", findings));
    let signers = section.has_value("verify_signatures").then(|| {
        let signers = section.section("verify_signatures", SIGNER_KEYS, findings);
        Signers {
            allowed_signers: file(signers.text("allowed_signers", "allowed_signers: signers", findings)),
            gnupg_home: file(signers.text("gnupg_home", "gnupg_home: /etc/hotdns/gnupg", findings)),
        }
    });
    if let Some(Signers {
        allowed_signers: None,
        gnupg_home: None,
    }) = signers
    {
        let problem = ConfigProblem::MissingKey {
            key: "allowed_signers",
            section: "`verify_signatures`".to_owned(),
            example: "allowed_signers: signers",
        };
        findings.error(section.position("verify_signatures").unwrap_or(section.at), problem);
    }
    let mut refuse = |key: &'static str, text: Text<'_>, reason| {
        let key = section.path(key);
        let shown = text.text.rsplit('@').next().unwrap_or_default().to_owned();
        findings.error(
            text.at,
            ConfigProblem::BadUrl {
                key,
                text: shown,
                reason,
            },
        );
    };
    if let Some(branch) = branch
        && let Some(reason) = why_no_branch(branch.text)
    {
        refuse("branch", branch, reason);
    }
    if let Some(path) = path
        && let Some(reason) = why_no_path(path.text)
    {
        refuse("path", path, reason);
    }
    let url = url?;
    if let Some(reason) = why_no_url(url.text) {
        refuse("url", url, reason);
        return None;
    }
    let name = section.text("name", "name: zones", findings)?;
    let url = match is_path(url.text) {
        true => around.base.join(url.text).to_string_lossy().into(),
        false => url.text.into(),
    };
    Some(Box::new(GitSource {
        url,
        branch: branch.map(|branch| branch.text.into()),
        path: path.map_or("", |path| path.text.trim_matches('/')).into(),
        texts,
        poll,
        token_file,
        ssh_key_file,
        known_hosts_file,
        signers,
        clone: around.state.join("git").join(name.text).into(),
    }))
}

/// Whether text names a folder of this host, and not a URL or `HOST:PATH`.
fn is_path(text: &str) -> bool {
    let before_slash = text.split('/').next().unwrap_or_default();
    !text.contains("://") && !before_slash.contains(':')
}

fn why_no_url(text: &str) -> Option<&'static str> {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    match text {
        "" => Some("it is empty"),
        _ if text.starts_with('-') || text.chars().any(char::is_control) => Some("it cannot be read"),
        _ if is_http && authority.is_some_and(|authority| authority.contains('@')) => {
            Some("it has a user in it: put the token into a file, and its path under `token_file`")
        }
        _ if text.contains("::") && !text.contains("://") => Some("helpers of Git are not run: write a URL or a path"),
        _ => None,
    }
}

/// What Git itself refuses, as far as it matters here (git-check-ref-format(1)).
fn why_no_branch(text: &str) -> Option<&'static str> {
    let is_bad = |letter: char| letter.is_control() || " ~^:?*[\\".contains(letter);
    let bad_form = text.is_empty() || text.starts_with(['-', '/']) || text.contains("..") || text.ends_with('/');
    (bad_form || text.chars().any(is_bad)).then_some("it is no name of a branch: write one such as main")
}

fn why_no_path(text: &str) -> Option<&'static str> {
    let mut parts = text.trim_matches('/').split('/');
    (text.chars().any(char::is_control) || parts.any(|part| matches!(part, "." | "..")))
        .then_some("it is no folder of the repository: write one such as zones/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_told_apart() {
        for path in ["/srv/zones.git", "zones.git", "../zones", "./a:b"] {
            assert!(is_path(path), "{path}");
        }
        for url in ["https://x/y", "git@x:y.git", "ssh://x/y", "file:///x", "git://x/y"] {
            assert!(!is_path(url) && why_no_url(url).is_none(), "{url}");
        }
        for bad in ["--upload-pack=x", "https://me:secret@x/y", "ext::sh -c x", "", "a\nb"] {
            assert!(why_no_url(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn branches_and_folders_are_looked_at() {
        for good in ["main", "release/1.2", "a-b"] {
            assert_eq!(why_no_branch(good), None);
        }
        for bad in ["", "-x", "a..b", "a b", "a:b", "x/"] {
            assert!(why_no_branch(bad).is_some(), "{bad}");
        }
        assert!(why_no_path("../x").is_some() && why_no_path("zones/a").is_none() && why_no_path("/").is_none());
    }
}
