//! What a client may show to say who it is, by the configuration.

use std::sync::Arc;

use super::{TokenFile, TokensFile};

/// The kinds of credentials that are configured. With none, the API is for this machine's own users.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `http.token_file`: its one token may do everything.
    pub token: Option<Arc<TokenFile>>,
    /// `http.tokens_file`.
    pub tokens: Option<Arc<TokensFile>>,
}

impl Credentials {
    /// Whether a client has to show something.
    pub fn are_needed(&self) -> bool {
        let Self { token, tokens } = self;
        token.is_some() || tokens.is_some()
    }
}
