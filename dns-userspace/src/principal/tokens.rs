//! `http.tokens_file`: bearer tokens with a scope each, hashed.
//!
//! ```yaml
//! tokens:
//!   - id: 4f1c2a9d03be7711
//!     name: acme
//!     sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//!     scope: {names: ["_acme-challenge.*"], types: [TXT]}
//!     created: 2026-11-29T12:00:00Z
//!     expires: 2027-11-29T12:00:00Z
//! ```
//!
//! A token that is made here has 256 random bits, so one SHA-256 is enough: nobody can guess what was hashed. The file
//! is written whole, atomically, and read again when it has changed.
//!
//! Where nodes share an etcd, a token that is made through the API is `shared`: all nodes have it in their files, and
//! one that is deleted is deleted in all of them ([`TokensFile::share`]). Tokens that a person writes into a file are
//! this node's alone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use humantime_serde::re::humantime;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::{Principal, Scope, ScopeError, ScopeText};
use crate::host::files;
use crate::host::replace::replace;
use crate::host::reread::RereadFiles;

/// The most octets of the file.
const MOST_OCTETS: u64 = 16 << 20;
/// The longest name of a token.
const MOST_OF_NAME: usize = 64;
/// What tokens that are made here begin with, so that people and scanners of secrets know them.
const PREFIX: &str = "hotdns_";
/// Their random octets.
const RANDOM: usize = 32;
/// The first line of the file.
const HEAD: &str = "# Tokens of the HTTP API: docs/http-api.md. hotdns writes this file; comments are not kept.\n";

/// The tokens, and their file.
pub struct TokensFile {
    path: PathBuf,
    tokens: RereadFiles<Tokens>,
    /// One change at a time.
    writing: Mutex<()>,
}

/// The tokens of a file.
#[derive(Debug, Default)]
pub struct Tokens {
    list: Vec<Token>,
    by_hash: HashMap<[u8; 32], usize>,
}

#[derive(Debug, Clone)]
struct Token {
    id: String,
    hash: [u8; 32],
    principal: Principal,
    shown: TokenShown,
}

/// A token as the API shows it: all but the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenShown {
    /// What it is deleted by.
    pub id: String,
    /// What it is called in histories and logs, with `token:` before it.
    pub name: String,
    /// What it may do; an empty object is everything.
    pub scope: ScopeText,
    /// When it was made (RFC 3339).
    #[schema(format = DateTime)]
    pub created: Option<String>,
    /// When it ends (RFC 3339); null for never.
    #[schema(format = DateTime)]
    pub expires: Option<String>,
    /// Whether all nodes that share an etcd have it; left out where this node alone has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// A token that is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What it is to be called.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it ends, in seconds of Unix time.
    pub expires: Option<u64>,
}

/// A token that is made and not in the file yet.
#[derive(Debug)]
pub struct FreshToken {
    /// As the API shows it.
    pub shown: TokenShown,
    /// The bearer token itself, which is kept nowhere.
    pub secret: String,
    text: TokenText,
}

impl FreshToken {
    /// As nodes share it: a JSON object, without the secret.
    pub fn to_shared(&self) -> String {
        serde_json::to_string(&self.text).unwrap_or_default()
    }
}

/// What nodes share in the place of a token that was deleted: those that were away meanwhile delete it too.
pub const DELETED: &str = r#"{"deleted":true}"#;

/// What came of the tokens that nodes share.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Tokens of the file, by ID, that are shared and that the others do not know: they are to be told.
    pub unknown: BTreeMap<String, String>,
    /// Tokens that are not taken, and why.
    pub passed_over: Vec<String>,
}

/// Why a token was not made or not deleted. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum MakeTokenError {
    /// Nothing a token can be called.
    #[error("a token's name has 1 to {MOST_OF_NAME} visible characters")]
    BadName,
    /// There is one of that name.
    #[error("there is a token `{0}` already: delete it first, or take another name")]
    Exists(String),
    /// There is none with this ID.
    #[error("there is no token with the ID `{0}`")]
    NotFound(String),
    /// The file has an error.
    #[error("{0}; correct the file first, nothing was changed")]
    Broken(String),
    /// The file cannot be written.
    #[error("http.tokens_file {} cannot be written ({error}); nothing was changed", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The system gives no random octets.
    #[error("the system gives no randomness: {0}")]
    NoRandomness(getrandom::Error),
}

/// The file, as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    tokens: Vec<TokenText>,
}

/// One token, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenText {
    id: Option<String>,
    name: String,
    sha256: String,
    #[serde(default)]
    scope: ScopeText,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// Whether all nodes that share an etcd have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
}

impl TokensFile {
    /// Reads the tokens for the first time. A file that is not there has none: the API can make it.
    pub fn load(path: &Path) -> Result<Self, String> {
        let file = path.to_owned();
        let was_there = std::sync::atomic::AtomicBool::new(false);
        let read = move || {
            let result = read_text(&file);
            let is_missing = matches!(&result, Err(error) if error.kind() == std::io::ErrorKind::NotFound);
            if is_missing && !was_there.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(Tokens::default());
            }
            was_there.store(true, std::sync::atomic::Ordering::Relaxed);
            let text = result.map_err(|error| format!("{} cannot be read ({error})", file.display()))?;
            parse_tokens(&text).map_err(|error| format!("{}: {error}", file.display()))
        };
        Ok(Self {
            path: path.to_owned(),
            tokens: RereadFiles::load("http.tokens_file", vec![path.to_owned()], read)?,
            writing: Mutex::new(()),
        })
    }

    /// Who holds this token, if it is one that has not ended.
    pub fn holder(&self, secret: &[u8]) -> Option<Principal> {
        let tokens = self.tokens.current();
        let hash = hash_of(secret);
        let token = &tokens.list[*tokens.by_hash.get(&hash)?];
        // What the map compares in a time that depends on the octets is a hash that nobody can choose.
        let is_same: bool = token.hash.ct_eq(&hash).into();
        let has_ended = token.principal.expires().is_some_and(|expires| expires <= now());
        (is_same && !has_ended).then(|| token.principal.clone())
    }

    /// All tokens, in the order of the file.
    pub fn list(&self) -> Vec<TokenShown> {
        let tokens = self.tokens.current();
        tokens.list.iter().map(|token| token.shown.clone()).collect()
    }

    /// Makes a token; it is in the file on return. The second value is the secret.
    #[cfg(test)]
    pub(crate) fn make(&self, wish: &Wish) -> Result<(TokenShown, String), MakeTokenError> {
        let fresh = self.draw(wish, false)?;
        self.keep(&fresh)?;
        Ok((fresh.shown, fresh.secret))
    }

    /// Makes a token that is to be kept, here or by all nodes: `shared` says which.
    pub fn draw(&self, wish: &Wish, shared: bool) -> Result<FreshToken, MakeTokenError> {
        if !is_name(&wish.name) {
            return Err(MakeTokenError::BadName);
        }
        if self.list().iter().any(|token| token.name == wish.name) {
            return Err(MakeTokenError::Exists(wish.name.clone()));
        }
        let mut random = [0; RANDOM + 8];
        getrandom::fill(&mut random).map_err(MakeTokenError::NoRandomness)?;
        let (id, random) = random.split_at(8);
        let secret = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(random));
        let text = TokenText {
            id: Some(HEXLOWER.encode(id)),
            name: wish.name.clone(),
            sha256: HEXLOWER.encode(&hash_of(secret.as_bytes())),
            scope: ScopeText::from(&wish.scope),
            created: Some(shown_time(now())),
            expires: wish.expires.map(shown_time),
            shared,
        };
        Ok(FreshToken {
            shown: show(id_of(&text), &text),
            secret,
            text,
        })
    }

    /// Keeps a token that was made; it is in the file on return. Blocks.
    pub fn keep(&self, fresh: &FreshToken) -> Result<(), MakeTokenError> {
        let text = &fresh.text;
        self.change(|tokens| {
            // It may have come back from the other nodes already.
            if tokens.contains(text) {
                return Ok(false);
            }
            if tokens.iter().any(|token| token.name == text.name) {
                return Err(MakeTokenError::Exists(text.name.clone()));
            }
            tokens.push(text.clone());
            Ok(true)
        })
    }

    /// Deletes a token; it is gone from the file on return. Blocks.
    pub fn delete(&self, id: &str) -> Result<(), MakeTokenError> {
        self.change(|tokens| {
            let before = tokens.len();
            tokens.retain(|token| id_of(token) != id);
            if tokens.len() == before {
                return Err(MakeTokenError::NotFound(id.to_owned()));
            }
            Ok(true)
        })
    }

    /// Takes in what nodes share: by ID, a token as [`FreshToken::to_shared`] has it, or [`DELETED`]. A token that
    /// this file has otherwise, by its name or its secret, is passed over. Blocks.
    pub fn share(&self, all: &BTreeMap<String, String>) -> Result<Taken, MakeTokenError> {
        let mut taken = Taken::default();
        self.change(|tokens| {
            let before = tokens.clone();
            let is_gone = |token: &TokenText| all.get(&id_of(token)).is_some_and(|text| text == DELETED);
            tokens.retain(|token| !(token.shared && is_gone(token)));
            for (id, text) in all.iter().filter(|(_, text)| *text != DELETED) {
                let read = shared_token(id, text).map_err(|reason| format!("the token with the ID `{id}`: {reason}"));
                let took = read.and_then(|new| take(tokens, new));
                taken.passed_over.extend(took.err());
            }
            let is_unknown = |token: &&TokenText| token.shared && !all.contains_key(&id_of(token));
            let own = tokens.iter().filter(is_unknown);
            taken.unknown = own
                .map(|token| (id_of(token), serde_json::to_string(token).unwrap_or_default()))
                .collect();
            Ok(*tokens != before)
        })?;
        Ok(taken)
    }

    /// Changes what is in the file now, whoever wrote it last. `edit` says whether something differs.
    fn change(
        &self,
        edit: impl FnOnce(&mut Vec<TokenText>) -> Result<bool, MakeTokenError>,
    ) -> Result<(), MakeTokenError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.path.display();
        let text = match read_text(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(MakeTokenError::Broken(format!("{shown} cannot be read ({error})"))),
        };
        // Whatever is wrong with it is not overwritten.
        let broken = |error| MakeTokenError::Broken(format!("{shown}: {error}"));
        parse_tokens(&text).map_err(broken)?;
        let mut file = parse_file(&text).map_err(broken)?;
        if !edit(&mut file.tokens)? {
            return Ok(());
        }
        let text = serde_saphyr::to_string(&file).map_err(|error| broken(error.to_string()))?;
        replace(&self.path, format!("{HEAD}{text}").as_bytes()).map_err(|error| MakeTokenError::Unwritable {
            path: self.path.clone(),
            error,
        })?;
        self.tokens.refresh();
        Ok(())
    }
}

/// The tokens in the text of a file, or what is wrong with it.
pub fn parse_tokens(text: &str) -> Result<Tokens, String> {
    let mut tokens = Tokens::default();
    let (mut ids, mut names) = (HashSet::new(), HashSet::new());
    for text in parse_file(text)?.tokens {
        let name = text.name.clone();
        let token = token(text).map_err(|error| format!("the token `{name}`: {error}"))?;
        if !names.insert(name.clone()) {
            return Err(format!(
                "the token `{name}` is there twice: give one of them another name"
            ));
        }
        if tokens.by_hash.insert(token.hash, tokens.list.len()).is_some() {
            return Err(format!("the token `{name}` has the secret of another: make a new one"));
        }
        if !ids.insert(token.id.clone()) {
            return Err(format!(
                "the ID `{}` is there twice: give one of the tokens another",
                token.id
            ));
        }
        tokens.list.push(token);
    }
    Ok(tokens)
}

fn parse_file(text: &str) -> Result<FileText, String> {
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    {
        return Ok(FileText::default());
    }
    serde_saphyr::from_str(text).map_err(|error| one_line(&error.to_string()))
}

/// The first line of what the YAML reader says: the others draw the place.
fn one_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

fn token(text: TokenText) -> Result<Token, String> {
    if !is_name(&text.name) {
        return Err(MakeTokenError::BadName.to_string());
    }
    let octets = HEXLOWER_PERMISSIVE.decode(text.sha256.as_bytes()).ok();
    let hash = octets.and_then(|octets| <[u8; 32]>::try_from(octets).ok());
    let hash = hash.ok_or("`sha256` has 64 hexadecimal digits, as from `printf %s SECRET | sha256sum`")?;
    let scope = Scope::try_from(&text.scope).map_err(|error: ScopeError| error.to_string())?;
    let time = |key: &str, text: &Option<String>| text.as_deref().map(|text| parse_time(key, text)).transpose();
    time("created", &text.created)?;
    let expires = time("expires", &text.expires)?;
    let id = id_of(&text);
    Ok(Token {
        principal: Principal::new(format!("token:{}", text.name), scope).until(expires),
        shown: show(id.clone(), &text),
        id,
        hash,
    })
}

/// A token that nodes share, under this ID.
fn shared_token(id: &str, text: &str) -> Result<TokenText, String> {
    let mut read: TokenText = serde_json::from_str(text).map_err(|error| error.to_string())?;
    read.shared = true;
    read.id = Some(id.to_owned());
    token(read.clone()).map(|_| read)
}

/// Puts a shared token among those of a file, in the place of the one with its ID.
fn take(tokens: &mut Vec<TokenText>, new: TokenText) -> Result<(), String> {
    let is_same = |token: &TokenText| token.shared && token.id == new.id;
    let clashes = |token: &&TokenText| {
        let is_one =
            token.name == new.name || token.sha256.eq_ignore_ascii_case(&new.sha256) || Some(id_of(token)) == new.id;
        !is_same(token) && is_one
    };
    if let Some(known) = tokens.iter().find(clashes) {
        let (name, other) = (&new.name, &known.name);
        return Err(format!(
            "the token `{name}` of another node: the token `{other}` here has its name, ID or secret"
        ));
    }
    match tokens.iter().position(is_same) {
        Some(place) => tokens[place] = new,
        None => tokens.push(new),
    }
    Ok(())
}

/// A token that a person wrote may have none; then it is the beginning of its hash.
fn id_of(text: &TokenText) -> String {
    let of_hash = || text.sha256.chars().take(16).collect::<String>().to_ascii_lowercase();
    text.id.clone().unwrap_or_else(of_hash)
}

fn show(id: String, text: &TokenText) -> TokenShown {
    TokenShown {
        id,
        name: text.name.clone(),
        scope: text.scope.clone(),
        created: text.created.clone(),
        expires: text.expires.clone(),
        shared: text.shared,
    }
}

fn is_name(name: &str) -> bool {
    let is_visible = |character: char| !character.is_control() && !character.is_whitespace();
    !name.is_empty() && name.len() <= MOST_OF_NAME && name.chars().all(is_visible)
}

/// A time of RFC 3339 in seconds of Unix time.
pub(crate) fn parse_time(key: &str, text: &str) -> Result<u64, String> {
    let wrong = || format!("`{key}` is `{text}`: write a time such as 2027-01-31T12:00:00Z");
    let time = humantime::parse_rfc3339_weak(text).map_err(|_| wrong())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
    Ok(since.as_secs())
}

fn shown_time(seconds: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    humantime::format_rfc3339_seconds(time.unwrap_or(UNIX_EPOCH)).to_string()
}

/// Seconds of Unix time.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn hash_of(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

fn read_text(path: &Path) -> std::io::Result<String> {
    files::read_text(path, MOST_OCTETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(name: &str) -> Wish {
        Wish {
            name: name.to_owned(),
            scope: Scope {
                names: vec!["_acme-challenge.*".parse().expect("a pattern")],
                ..Scope::default()
            },
            expires: None,
        }
    }

    #[test]
    fn a_token_that_is_made_is_known_at_once_and_after_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.yaml");
        let file = TokensFile::load(&path).expect("none yet");
        let (shown, secret) = file.make(&wish("acme")).expect("made");
        let holder = file.holder(secret.as_bytes()).expect("known");
        assert_eq!((&**holder.name(), holder.is_unlimited()), ("token:acme", false));
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(
            !text.contains(&secret[PREFIX.len()..]) && text.contains("_acme-challenge.*"),
            "{text}"
        );
        let again = TokensFile::load(&path).expect("good");
        assert!(again.holder(secret.as_bytes()).is_some() && again.holder(b"other").is_none());
        assert_eq!(again.list(), std::slice::from_ref(&shown));
        assert!(matches!(again.make(&wish("acme")), Err(MakeTokenError::Exists(_))));
        again.delete(&shown.id).expect("deleted");
        assert!(again.holder(secret.as_bytes()).is_none() && again.list().is_empty());
        assert!(matches!(again.delete(&shown.id), Err(MakeTokenError::NotFound(_))));
    }

    #[test]
    fn what_nodes_share_is_in_the_file_of_each() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| TokensFile::load(&folder.path().join(name)).expect("none yet");
        let (one, other) = (file("one.yaml"), file("other.yaml"));
        let (own, own_secret) = other.make(&wish("own")).expect("made");
        let fresh = one.draw(&wish("acme"), true).expect("made");
        one.keep(&fresh).expect("kept");
        one.keep(&fresh).expect("as it is already");
        let holds = |file: &TokensFile| file.holder(fresh.secret.as_bytes()).is_some();
        let id = fresh.shown.id.clone();
        // Whom nobody told about it is told by the file.
        let taken = one.share(&BTreeMap::new()).expect("taken");
        assert_eq!(taken.unknown, BTreeMap::from([(id.clone(), fresh.to_shared())]));
        let all = taken.unknown;
        assert_eq!(one.share(&all).expect("taken"), Taken::default());
        assert_eq!(other.share(&all).expect("taken"), Taken::default());
        assert!(holds(&one) && holds(&other) && other.list().iter().any(|token| token.shared && token.id == id));
        assert!(!fresh.to_shared().contains(&fresh.secret));
        // One of a file's own stays, and so does its name.
        let named = |name: &str| BTreeMap::from([("f0".to_owned(), fresh.to_shared().replace("acme", name))]);
        let passed_over = other.share(&named("own")).expect("taken").passed_over;
        assert!(
            passed_over.len() == 1 && passed_over[0].contains("`own`"),
            "{passed_over:?}"
        );
        let broken = BTreeMap::from([("f0".to_owned(), "{}".to_owned())]);
        assert_eq!(other.share(&broken).expect("taken").passed_over.len(), 1);
        // Deleted once, deleted everywhere; what is a file's own is nobody else's to delete.
        let gone = BTreeMap::from([(id, DELETED.to_owned()), (own.id, DELETED.to_owned())]);
        for file in [&one, &other] {
            assert_eq!(file.share(&gone).expect("taken"), Taken::default());
            assert!(!holds(file));
        }
        assert!(other.holder(own_secret.as_bytes()).is_some());
    }

    #[test]
    fn a_token_ends_when_it_is_said_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = TokensFile::load(&folder.path().join("tokens.yaml")).expect("none yet");
        let ends = |expires| Wish { expires, ..wish("a") };
        let (shown, ended) = file.make(&ends(Some(now() - 1))).expect("made");
        assert!(file.holder(ended.as_bytes()).is_none());
        file.delete(&shown.id).expect("deleted");
        let (_, lasting) = file.make(&ends(Some(now() + 100))).expect("made");
        assert!(file.holder(lasting.as_bytes()).is_some());
    }

    #[test]
    fn a_person_may_write_the_file_and_what_is_wrong_is_named() {
        let hash = HEXLOWER.encode(&hash_of(b"s3cret"));
        let good = format!("tokens: [{{name: me, sha256: {hash}}}]");
        let tokens = parse_tokens(&good).expect("good");
        assert_eq!(tokens.list[0].id, hash[..16]);
        for empty in ["", "# nothing\n\n", "tokens: []"] {
            assert!(parse_tokens(empty).expect("good").list.is_empty());
        }
        for (text, part) in [
            ("tokens: [{name: me}]".to_owned(), "sha256"),
            ("tokens: [{name: me, sha256: abc}]".to_owned(), "64 hexadecimal digits"),
            (format!("tokens: [{{name: a b, sha256: {hash}}}]"), "visible characters"),
            (
                format!("tokens: [{{name: me, sha256: {hash}, expires: soon}}]"),
                "`expires` is `soon`",
            ),
            (
                format!("tokens: [{{name: me, sha256: {hash}, scope: {{types: [ANY]}}}}]"),
                "scope.types",
            ),
            (format!("tokens: [{{name: me, sha256: {hash}, scop: {{}}}}]"), "scop"),
            (
                format!("tokens: [{{name: me, sha256: {hash}}}, {{name: me, sha256: {hash}}}]"),
                "twice",
            ),
            (
                format!("tokens: [{{name: a, sha256: {hash}}}, {{name: b, sha256: {hash}}}]"),
                "secret of another",
            ),
            ("tokens: [".to_owned(), ""),
        ] {
            let error = parse_tokens(&text).expect_err(&text);
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn a_broken_file_is_not_overwritten_and_the_last_good_tokens_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.yaml");
        let file = TokensFile::load(&path).expect("none yet");
        let (_, secret) = file.make(&wish("acme")).expect("made");
        std::fs::write(&path, "tokens: [{name: x}]").expect("written");
        file.tokens.refresh();
        assert!(file.holder(secret.as_bytes()).is_some());
        assert!(matches!(file.make(&wish("other")), Err(MakeTokenError::Broken(_))));
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "tokens: [{name: x}]");
        std::fs::remove_file(&path).expect("removed");
        file.tokens.refresh();
        assert!(
            file.holder(secret.as_bytes()).is_some(),
            "a file that vanishes is no file without tokens"
        );
        assert!(TokensFile::load(folder.path()).is_err(), "a folder");
    }
}
