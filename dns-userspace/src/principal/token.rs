//! The file that holds the bearer token.
//!
//! It is read at start-up and again with each reload. A file that cannot be read, is empty, or holds what no
//! `Authorization` header can carry is an error both times; after a failed reload the token before stays valid.

use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

use crate::host::files;

/// A token, known to be usable.
#[derive(Clone)]
pub struct Token(Vec<u8>);

/// The file that holds the bearer token, and the token that is valid now.
pub struct TokenFile {
    path: PathBuf,
    current: ArcSwap<Token>,
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such file, or no permission.
    #[error("http.token_file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// Nothing but white space in it.
    #[error("http.token_file {} is empty; write a token of at least 16 random characters into it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// White space, control characters or non-ASCII in the token.
    #[error("http.token_file {}: a token is one line of visible ASCII characters without spaces", path.display())]
    BadCharacters {
        /// The file.
        path: PathBuf,
    },
}

impl TokenFile {
    /// Reads the token for the first time.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let token = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            current: ArcSwap::from_pointee(token),
        })
    }

    /// The token that is in the file now.
    pub fn read(&self) -> Result<Token, TokenError> {
        read(&self.path)
    }

    /// Makes `token` the valid one.
    pub fn install(&self, token: Token) {
        self.current.store(token.into());
    }

    /// Whether that is the valid token; takes as long for a wrong one.
    pub fn is_valid(&self, token: &[u8]) -> bool {
        self.current.load().0.ct_eq(token).into()
    }
}

fn read(path: &Path) -> Result<Token, TokenError> {
    let path = || path.to_owned();
    let content = files::read(&path(), files::MOST_OF_A_SECRET);
    let content = content.map_err(|error| TokenError::Unreadable { path: path(), error })?;
    let token = content.trim_ascii();
    if token.is_empty() {
        return Err(TokenError::Empty { path: path() });
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err(TokenError::BadCharacters { path: path() });
    }
    Ok(Token(token.to_vec()))
}
