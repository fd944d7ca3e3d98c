//! The secrets of DNS cookies, and the clock that goes with them (RFC 7873 §7.1, RFC 9018 §4 and §5).
//!
//! ```text
//! file, or random ─► secrets: current, previous ─┬─► CookieSource of each query on sockets
//! once a second ───► seconds ────────────────────┴─► the XDP program's map
//! ```
//!
//! Without a file the secret is drawn at start and again each day; the one before stays good until the next. With a
//! file, which several servers may share, its first line makes cookies and its second is good as well: whoever changes
//! the secret writes the new one into the second line everywhere, then swaps the lines, then takes the old one out
//! (RFC 9018 §5).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::host::files;
use crate::message::CookieSource;

/// How long a secret that was drawn makes cookies (RFC 7873 §7.1: a day is good, 36 days is the most).
const ROTATE_AFTER: Duration = Duration::from_secs(86_400);

/// Octets of a secret.
pub const SECRET_BYTES: usize = 16;

/// One secret.
pub type Secret = [u8; SECRET_BYTES];

/// The secrets in force.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secrets {
    /// Makes cookies.
    pub current: Secret,
    /// Its cookies are good, too.
    pub previous: Secret,
}

/// Why a file has no secrets to give; shown as what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// No such file, or no permission.
    #[error(
        "cannot be read ({0}): create it, for example with `openssl rand -hex 16`, readable for the server's user alone"
    )]
    Unreadable(#[from] std::io::Error),
    /// Other than one or two lines of 32 hexadecimal digits.
    #[error(
        "line {line} is no secret: put one or two lines of 32 hexadecimal digits into it, for example from `openssl \
         rand -hex 16`"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
}

/// Why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum CookiesError {
    /// The file has none to give.
    #[error("edns.cookie_secret_file {}: {reason}", file.display())]
    File {
        /// Its path.
        file: PathBuf,
        /// What is wrong with it.
        reason: SecretsError,
    },
    /// The operating system gives no random octets.
    #[error("no randomness for the secret of DNS cookies: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// The secrets and the time, as all planes see them.
pub struct Cookies {
    /// `None`: secrets are drawn.
    file: ArcSwapOption<PathBuf>,
    secrets: ArcSwap<Secrets>,
    seconds: AtomicU32,
}

impl Secrets {
    /// Reads a file of one or two lines of 32 hexadecimal digits.
    pub fn read(file: &Path) -> Result<Self, SecretsError> {
        Self::parse(&files::read_text(file, files::MOST_OF_A_SECRET)?)
    }

    fn parse(text: &str) -> Result<Self, SecretsError> {
        let secret = |(at, line): (usize, &str)| {
            let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(line.trim().as_bytes());
            let octets = decoded.ok().and_then(|octets| Secret::try_from(octets).ok());
            octets.ok_or(SecretsError::Malformed { line: at + 1 })
        };
        let mut lines = text.lines().enumerate();
        let current = secret(lines.next().unwrap_or_default())?;
        let previous = lines.next().map_or(Ok(current), secret)?;
        match lines.next() {
            None => Ok(Self { current, previous }),
            Some((at, _)) => Err(SecretsError::Malformed { line: at + 1 }),
        }
    }

    fn random() -> Result<Secret, getrandom::Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Ok(secret)
    }
}

impl Cookies {
    /// The secrets of `file`, or random ones.
    pub fn new(file: Option<&Path>) -> Result<Self, CookiesError> {
        let secrets = match file {
            Some(file) => Secrets::read(file).map_err(|reason| CookiesError::File {
                file: file.to_owned(),
                reason,
            })?,
            None => Secrets {
                current: Secrets::random()?,
                previous: Secrets::random()?,
            },
        };
        let cookies = Self {
            file: ArcSwapOption::new(file.map(|file| Arc::new(file.to_owned()))),
            secrets: ArcSwap::from_pointee(secrets),
            seconds: AtomicU32::new(0),
        };
        cookies.tick();
        Ok(cookies)
    }

    /// What is in the file now; `None` where there is no file.
    pub fn read(&self) -> Result<Option<Secrets>, SecretsError> {
        self.file.load().as_deref().map(|file| Secrets::read(file)).transpose()
    }

    /// Makes these the secrets in force.
    pub fn install(&self, secrets: Secrets) {
        self.secrets.store(secrets.into());
    }

    /// Takes secrets from this file from now on, or draws them. Those in force stay good.
    pub fn take_from(&self, file: Option<&Path>, secrets: Secrets) {
        self.file.store(file.map(|file| Arc::new(file.to_owned())));
        self.install(secrets);
    }

    /// Reads the clock. The 32 bits of seconds since 1970 may wrap (RFC 9018 §4.3).
    pub fn tick(&self) {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.seconds.store(since.as_secs() as u32, Ordering::Relaxed);
    }

    /// Draws a new secret where the one that was drawn is `age` old and that is old enough; whether it did.
    pub fn rotate(&self, age: Duration) -> Result<bool, CookiesError> {
        let is_due = self.file.load().is_none() && age >= ROTATE_AFTER;
        if is_due {
            let previous = self.secrets().current;
            let current = Secrets::random()?;
            self.install(Secrets { current, previous });
        }
        Ok(is_due)
    }

    /// The secrets in force.
    pub fn secrets(&self) -> Secrets {
        **self.secrets.load()
    }

    /// What the cookies of a client are made of now.
    pub fn source(&self, client: IpAddr) -> CookieSource {
        CookieSource {
            secret: self.secrets.load().current,
            seconds: self.seconds(),
            client: client.to_canonical(),
        }
    }

    /// The time of the last tick.
    pub fn seconds(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Cookies {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies")
            .field("file", &self.file.load())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const TWO: &str = "DD3BDF9344B678B185A6F5CB60FCA715";

    #[test]
    fn a_file_has_one_or_two_secrets() {
        let one = Secrets::parse(ONE).expect("a secret");
        assert!(one.current == one.previous && one.current[..2] == [0xe5, 0xe9]);
        let two = Secrets::parse(&format!("{ONE}\n{TWO}\n")).expect("two secrets");
        assert!(two.current == one.current && two.previous[..2] == [0xdd, 0x3b]);
        for (text, at) in [
            ("", 1),
            ("\n", 1),
            (&ONE[1..], 1),
            (&format!("{ONE}00"), 1),
            (&format!("{ONE}\n\n"), 2),
            (&format!("{ONE}\n{TWO}\n{ONE}"), 3),
            (&format!("{ONE}\n{}", TWO.replace('D', "G")), 2),
        ] {
            let error = Secrets::parse(text).err();
            assert!(
                matches!(error, Some(SecretsError::Malformed { line }) if line == at),
                "{text:?}: {error:?}"
            );
        }
    }

    #[test]
    fn random_secrets_rotate_and_the_last_one_stays_good() {
        let cookies = Cookies::new(None).expect("randomness");
        let first = cookies.secrets();
        assert!(!cookies.rotate(Duration::from_secs(86_399)).expect("randomness"));
        assert!(cookies.secrets() == first);
        assert!(cookies.rotate(Duration::from_secs(86_400)).expect("randomness"));
        let second = cookies.secrets();
        assert!(second.previous == first.current && second.current != first.current);
    }

    #[test]
    fn secrets_of_a_file_stay_until_they_are_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        assert!(Cookies::new(Some(&file)).is_err());
        std::fs::write(&file, ONE).expect("written");
        let cookies = Cookies::new(Some(&file)).expect("a secret");
        let first = cookies.secrets();
        std::fs::write(&file, TWO).expect("written");
        assert!(!cookies.rotate(Duration::from_secs(1_000_000)).expect("randomness"));
        assert!(cookies.secrets() == first);
        cookies.install(cookies.read().expect("a secret").expect("a file"));
        assert!(cookies.secrets().current[..2] == [0xdd, 0x3b]);
        std::fs::write(&file, "nonsense").expect("written");
        assert!(cookies.read().is_err());
    }
}
