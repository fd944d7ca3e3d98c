//! `http.auth.basic_file`: users with a password, as `htpasswd -B`, `openssl passwd -6` and `argon2 -e` write them.
//!
//! ```text
//! alice:$2y$10$…             bcrypt
//! bob:$6$…                   SHA-512-crypt
//! eve:$argon2id$v=19$m=…     Argon2
//! ```
//!
//! A check takes a processor some hundredth of a second, on purpose. So what was right is remembered, as a MAC with a
//! key of this process, for as long as the file says the same of the user.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use argon2::{Argon2, Params, PasswordHash};
use ring::hmac;
use sha_crypt::{PasswordVerifier, ShaCrypt};

use crate::host::files;
use crate::host::reread::RereadFiles;

/// The most octets of the file.
const MOST_OCTETS: u64 = 4 << 20;
/// The most memory that a check of Argon2 may take, in KiB, and its most passes.
const MOST_OF_ARGON2: (u32, u32) = (256 << 10, 100);
/// What the password of somebody who is no user is checked against, so that it takes as long.
const NOBODY: &str = "$2y$10$abcdefghijklmnopqrstuuJZBpl2lkmVtnZNQ0pMlSeoB0xRKvY2S";

/// The users, and their file.
pub struct PasswordFile {
    users: RereadFiles<HashMap<String, String>>,
    key: hmac::Key,
    /// Of each user whose password was right: its MAC, and what the file said then.
    known: Mutex<HashMap<String, (hmac::Tag, String)>>,
}

impl PasswordFile {
    /// Reads the users for the first time.
    pub fn load(path: &Path) -> Result<Self, String> {
        let file = path.to_owned();
        let read = move || {
            let text = files::read_text(&file, MOST_OCTETS);
            let text = text.map_err(|error| format!("{} cannot be read ({error})", file.display()))?;
            parse(&text).map_err(|error| format!("{}: {error}", file.display()))
        };
        let users = RereadFiles::load("http.auth.basic_file", vec![path.to_owned()], read)?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| format!("the system gives no randomness: {error}"))?;
        Ok(Self {
            users,
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            known: Mutex::default(),
        })
    }

    /// Whether this password of the user was right before.
    pub fn is_known(&self, user: &str, password: &[u8]) -> bool {
        let users = self.users.current();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((tag, then)), Some(now)) = (known.get(user), users.get(user)) else {
            return false;
        };
        then == now && hmac::verify(&self.key, password, tag.as_ref()).is_ok()
    }

    /// Whether this is the password of the user. Takes long; blocks.
    pub fn check(&self, user: &str, password: &[u8]) -> bool {
        let users = self.users.current();
        let Some(hash) = users.get(user) else {
            let _ = bcrypt::verify(password, NOBODY);
            return false;
        };
        let is_right = match Kind::of(hash) {
            Some(Kind::Bcrypt) => bcrypt::verify(password, hash).unwrap_or(false),
            Some(Kind::ShaCrypt) => ShaCrypt::default().verify_password(password, hash.as_str()).is_ok(),
            // The parameters are those of the hash.
            Some(Kind::Argon2) => Argon2::default().verify_password(password, hash.as_str()).is_ok(),
            None => false,
        };
        if is_right {
            let tag = hmac::sign(&self.key, password);
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|user, (_, then)| users.get(user) == Some(then));
            known.insert(user.to_owned(), (tag, hash.clone()));
        }
        is_right
    }
}

/// How a password is hashed.
enum Kind {
    Bcrypt,
    ShaCrypt,
    Argon2,
}

impl Kind {
    fn of(hash: &str) -> Option<Self> {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| hash.starts_with(prefix));
        if begins(&["$2a$", "$2b$", "$2x$", "$2y$"]) {
            // The cost is read, too.
            hash.parse::<bcrypt::HashParts>().ok().map(|_| Self::Bcrypt)
        } else if begins(&["$argon2"]) {
            is_argon2(hash).then_some(Self::Argon2)
        } else {
            (begins(&["$5$", "$6$"]) && hash.len() > 20).then_some(Self::ShaCrypt)
        }
    }
}

/// Whether this is a whole hash of Argon2, with parameters that a check can be made with.
fn is_argon2(hash: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(hash) else {
        return false;
    };
    let (most_memory, most_passes) = MOST_OF_ARGON2;
    let is_bearable = |params: Params| params.m_cost() <= most_memory && params.t_cost() <= most_passes;
    parsed.salt.is_some() && parsed.hash.is_some() && Params::try_from(&parsed).is_ok_and(is_bearable)
}

fn parse(text: &str) -> Result<HashMap<String, String>, String> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let (number, line) = (number + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line is not shown: it may be a password.
        let Some((user, hash)) = line.split_once(':').filter(|(user, _)| !user.is_empty()) else {
            return Err(format!("line {number} is not USER:HASH"));
        };
        if Kind::of(hash).is_none() {
            return Err(format!(
                "line {number}: the password of `{user}` is hashed in a way that is not known or not safe: write it \
                 with `htpasswd -B` (bcrypt), `openssl passwd -6` (SHA-512) or `argon2 SALT -id -e` (at most 256 MiB)"
            ));
        }
        if users.insert(user.to_owned(), hash.to_owned()).is_some() {
            return Err(format!("line {number}: the user `{user}` is there twice"));
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_all_kinds_are_checked_and_then_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        let alice = bcrypt::hash("wonder", 4).expect("hashed").replace("$2b$", "$2y$");
        // openssl passwd -6 -salt saltstring builder
        let bob = openssl("builder");
        let eve = argon2("apple", 64);
        std::fs::write(&path, format!("# users\nalice:{alice}\n\nbob:{bob}\neve:{eve}\n")).expect("written");
        let file = PasswordFile::load(&path).expect("good");
        for (user, password) in [("alice", "wonder"), ("bob", "builder"), ("eve", "apple")] {
            assert!(!file.is_known(user, password.as_bytes()));
            assert!(!file.check(user, b"wrong") && !file.is_known(user, b"wrong"));
            assert!(file.check(user, password.as_bytes()) && file.is_known(user, password.as_bytes()));
            assert!(!file.is_known(user, b"wrong"));
        }
        assert!(!file.check("carol", b"wonder"));
        // Another password, or no user any more.
        std::fs::write(&path, format!("bob:{alice}")).expect("written");
        file.users.refresh();
        assert!(!file.is_known("alice", b"wonder") && !file.is_known("bob", b"builder"));
        assert!(file.check("bob", b"wonder"));
    }

    fn argon2(password: &str, memory: u32) -> String {
        use argon2::{Algorithm, PasswordHasher, Version};
        let params = Params::new(memory, 1, 1, None).expect("parameters");
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: PasswordHash = hasher
            .hash_password_with_salt(password.as_bytes(), b"saltsalt")
            .expect("hashed");
        hash.to_string()
    }

    #[test]
    fn a_hash_that_would_take_too_much_memory_is_none() {
        let good = argon2("apple", 64);
        assert!(good.starts_with("$argon2id$v=19$m=64,t=1,p=1$") && Kind::of(&good).is_some());
        for wrong in [
            good.replace("m=64", "m=300000"),
            good.replace("t=1,", "t=4000000,"),
            good.replace("m=64", "m=x"),
            good[..30].to_owned(),
        ] {
            assert!(Kind::of(&wrong).is_none(), "{wrong}");
        }
    }

    fn openssl(password: &str) -> String {
        let made = std::process::Command::new("openssl")
            .args(["passwd", "-6", "-salt", "saltstring", password])
            .output();
        let made = made.expect("openssl is there, as the other tests need it");
        String::from_utf8(made.stdout).expect("text").trim().to_owned()
    }

    #[test]
    fn what_is_wrong_is_named_and_not_shown() {
        for (text, part) in [
            ("s3cret", "line 1 is not USER:HASH"),
            ("\nalice:s3cret", "line 2: the password of `alice`"),
            ("alice:$apr1$s3cret", "htpasswd -B"),
            ("alice:{SHA}s3cret", "htpasswd -B"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part) && !error.contains("s3cret"), "{error}");
        }
        assert!(
            bcrypt::verify("x", NOBODY).is_ok(),
            "a check against nobody takes its time"
        );
    }
}
