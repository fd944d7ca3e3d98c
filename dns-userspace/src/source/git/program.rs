//! The program `git`, run without questions, hooks, helpers or the settings of a user, and not for ever.
//!
//! Git has every way to a repository and is kept by distributions; a library of our own choice would have few of them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use data_encoding::BASE64;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::super::WorldError;
use crate::config::GitSource;
use crate::host::files::{MOST_OF_A_SECRET, read_text};

/// For what a server is asked.
pub(super) const REMOTE: Duration = Duration::from_secs(300);
/// For what is here.
pub(super) const LOCAL: Duration = Duration::from_secs(60);
/// Octets of an error that are shown.
const MOST_OF_ERROR: usize = 600;

/// Variables of our own environment that git does not get: some lead it elsewhere, some are secrets of other sources.
const REMOVED: [&str; 16] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CONFIG_PARAMETERS",
    "GIT_SSH",
    "GIT_PROXY_COMMAND",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "CONSUL_HTTP_TOKEN",
    "NOMAD_TOKEN",
    "DNS_API_TOKEN",
    "HOTDNS_TOKEN",
    "SSH_ASKPASS",
];

/// Git on one bare repository.
#[derive(Debug, Clone)]
pub(super) struct Program {
    folder: PathBuf,
    settings: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// Ends git with all that it has started, unless it has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Program {
    /// For the clone of a source. The token is read anew each time.
    pub(super) fn of(settings: &GitSource) -> Result<Self, WorldError> {
        let mut variables = vec![
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_ASKPASS", "false".to_owned()),
            ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh".to_owned()),
            ("GIT_OPTIONAL_LOCKS", "0".to_owned()),
            ("GIT_SSH_COMMAND", ssh(settings)),
            ("LC_ALL", "C".to_owned()),
        ];
        if let Some(home) = settings.signers.as_ref().map(|signers| &signers.gnupg_home) {
            // Without a keyring there is none, and not that of the user.
            let home = home.as_deref().unwrap_or(Path::new("/dev/null"));
            variables.push(("GNUPGHOME", home.to_string_lossy().into_owned()));
        }
        let is_http = settings.url.starts_with("http://") || settings.url.starts_with("https://");
        if let Some(path) = settings.token_file.as_ref().filter(|_| is_http) {
            let secret = read_text(path, MOST_OF_A_SECRET)
                .map_err(|error| WorldError(format!("{} cannot be read: {error}", path.display())))?;
            let secret = secret.trim();
            let pair = match secret.contains(':') {
                true => secret.to_owned(),
                false => format!("x-access-token:{secret}"),
            };
            // Not as an argument, which every user of this machine sees.
            let header = format!("Authorization: Basic {}", BASE64.encode(pair.as_bytes()));
            variables.extend([
                ("GIT_CONFIG_COUNT", "2".to_owned()),
                ("GIT_CONFIG_KEY_0", "http.extraHeader".to_owned()),
                ("GIT_CONFIG_VALUE_0", header),
                // Another server must not get it.
                ("GIT_CONFIG_KEY_1", "http.followRedirects".to_owned()),
                ("GIT_CONFIG_VALUE_1", "false".to_owned()),
            ]);
        }
        Ok(Self {
            folder: settings.clone.to_path_buf(),
            settings: settings.clone.with_extension("config"),
            variables,
        })
    }

    /// Where git's settings are, in the place of a user's.
    pub(super) fn settings(&self) -> &Path {
        &self.settings
    }

    /// Runs git with these arguments, `input` as its standard input; what it writes, `most` octets of it at most.
    pub(super) async fn run(
        &self,
        arguments: &[&str],
        input: Vec<u8>,
        most: u64,
        patience: Duration,
    ) -> Result<Vec<u8>, WorldError> {
        let mut command = Command::new("git");
        command
            .arg("--git-dir")
            .arg(&self.folder)
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .env("GIT_CONFIG_GLOBAL", &self.settings)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        for name in REMOVED {
            command.env_remove(name);
        }
        let child = command.spawn().map_err(|error| {
            WorldError(match error.kind() {
                ErrorKind::NotFound => "the program `git` is not installed, and `sources.git` needs it: install it \
                                        (Debian and Ubuntu: apt-get install git; Alpine: apk add git)"
                    .to_owned(),
                _ => format!("git cannot be started: {error}"),
            })
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let mut group = Group(group);
        let what = arguments.first().copied().unwrap_or_default();
        let ended = timeout(patience, finish(child, input, most)).await;
        let (octets, errors, is_good) = ended
            .map_err(|_| WorldError(format!("git {what} took longer than {} s", patience.as_secs())))?
            .map_err(|error| WorldError(format!("git {what}: {error}")))?;
        group.0 = None;
        if octets.len() as u64 > most {
            return Err(WorldError(format!("git {what} gave more than {most} octets")));
        }
        match is_good {
            true => Ok(octets),
            false => Err(WorldError(format!("git {what}: {}", shown(&errors)))),
        }
    }

    /// The same for a few words of text.
    pub(super) async fn text(&self, arguments: &[&str], patience: Duration) -> Result<String, WorldError> {
        let octets = self.run(arguments, Vec::new(), 1 << 20, patience).await?;
        Ok(String::from_utf8_lossy(&octets).trim_end().to_owned())
    }
}

/// What it has written, what it says of errors, and whether it ended well.
async fn finish(mut child: Child, input: Vec<u8>, most: u64) -> std::io::Result<(Vec<u8>, Vec<u8>, bool)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin {
            // It may end before it has read all.
            let _ = stdin.write_all(&input).await;
        }
    };
    let read = async move {
        let mut octets = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(most.saturating_add(1)).read_to_end(&mut octets).await?;
        }
        std::io::Result::Ok(octets)
    };
    let errors = async move {
        let mut octets = Vec::new();
        if let Some(stderr) = stderr {
            stderr.take(1 << 16).read_to_end(&mut octets).await?;
        }
        std::io::Result::Ok(octets)
    };
    let ((), octets, errors) = tokio::join!(write, read, errors);
    let (octets, errors) = (octets?, errors?);
    if octets.len() as u64 > most {
        child.start_kill()?;
    }
    let status = child.wait().await?;
    Ok((octets, errors, status.success()))
}

/// What git says of an error, without what it adds for people at a terminal.
fn shown(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.map(|line| {
        let line = line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: "));
        line.unwrap_or_default()
    });
    let told: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let told = match told.is_empty() {
        true => text.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
        false => told.join("; "),
    };
    told.chars().take(MOST_OF_ERROR).collect()
}

/// How ssh is run: it asks nothing.
fn ssh(settings: &GitSource) -> String {
    let mut command = "ssh -o BatchMode=yes -o ConnectTimeout=15".to_owned();
    if let Some(key) = &settings.ssh_key_file {
        command.push_str(&format!(" -o IdentitiesOnly=yes -i {}", quoted(key)));
    }
    if let Some(hosts) = &settings.known_hosts_file {
        let option = format!("UserKnownHostsFile={}", hosts.display());
        command.push_str(&format!(
            " -o StrictHostKeyChecking=yes -o {}",
            quoted(Path::new(&option))
        ));
    }
    command
}

/// A word for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
