//! What a client may show to say who it is, by the configuration.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{PasswordFile, TokenFile, TokensFile, Verification};

/// The kinds of credentials that are configured. With none, the API is for this machine's own users.
#[derive(Clone, Default)]
pub struct Credentials {
    /// `http.token_file`: its one token may do everything.
    pub token: Option<Arc<TokenFile>>,
    /// `http.tokens_file`.
    pub tokens: Option<Arc<TokensFile>>,
    /// `http.auth.basic_file`: its users may do everything.
    pub passwords: Option<Arc<PasswordFile>>,
    /// `http.auth.jwt`.
    pub jwt: Option<Arc<Verification>>,
    /// `http.auth.header`: whom its proxies name may do everything.
    pub header: Option<TrustedHeader>,
}

/// A header field in which a proxy says who its client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedHeader {
    /// The field, in lower case.
    pub name: Box<str>,
    /// The proxies: from others it means nothing.
    pub from: Arc<[IpNet]>,
}

impl Credentials {
    /// Whether a client has to show something.
    pub fn are_needed(&self) -> bool {
        let Self {
            token,
            tokens,
            passwords,
            jwt,
            header,
        } = self;
        token.is_some() || tokens.is_some() || passwords.is_some() || jwt.is_some() || header.is_some()
    }

    /// Whether one of them is a bearer token.
    pub fn have_bearers(&self) -> bool {
        self.token.is_some() || self.tokens.is_some() || self.jwt.is_some()
    }
}

impl TrustedHeader {
    /// Whether what this client says in it is so.
    pub fn is_from(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.from.iter().any(|prefix| prefix.contains(&client))
    }
}
