//! Tokens of the HTTP API that all nodes have: each below `tokens/`, under its ID, as the principal's room writes it.
//!
//! ```text
//! made at a node ─ put ─► etcd ─ watch ─► every node ─► its `http.tokens_file`
//! ```
//!
//! Each node keeps them in a file of its own, so that tokens are good while etcd is away. One that is deleted stays
//! here as a mark: a node that was away deletes it when it comes back. What a node has and etcd lacks, because etcd was
//! restored or is new, that node writes again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::client::{CallError, Client, Transacted, base64};
use super::layout::{Layout, Place};
use super::{Line, WITHIN};
use crate::journal::nodes::NodeLink;

/// Tokens by their IDs, each as it is kept.
pub type TokenTexts = BTreeMap<String, String>;

/// Why a token was not written to etcd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// etcd is not reached, or not to be written: nothing was done.
    #[error("etcd is away: {0}")]
    Away(String),
    /// etcd has not answered: nobody knows whether it was done.
    #[error("{0}")]
    Unknown(String),
}

/// The tokens that nodes share.
#[derive(Clone)]
pub struct SharedTokens {
    line: Arc<Line>,
}

impl SharedTokens {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Self { line }
    }

    /// All of them, whenever they differ; `None` until they are read.
    pub fn follow(&self) -> watch::Receiver<Option<TokenTexts>> {
        self.line.tokens.subscribe()
    }

    /// Writes a token, or the mark that it is deleted.
    pub async fn put(&self, id: &str, text: &str) -> Result<(), ShareError> {
        let client = self.client()?;
        let body = json!({"key": base64(self.line.layout.token(id)), "value": base64(text)});
        let put: Result<Value, CallError> = client.call("kv/put", &body, WITHIN).await;
        put.map(drop).map_err(failed)
    }

    /// Writes a token that etcd lacks; nothing where it knows something of it.
    pub async fn restore(&self, id: &str, text: &str) -> Result<(), ShareError> {
        let client = self.client()?;
        let key = base64(self.line.layout.token(id));
        let body = json!({
            "compare": [{"target": "CREATE", "result": "EQUAL", "key": key, "create_revision": "0"}],
            "success": [{"request_put": {"key": key, "value": base64(text)}}],
        });
        let put: Result<Transacted, CallError> = client.call("kv/txn", &body, WITHIN).await;
        put.map(drop).map_err(failed)
    }

    /// The member that is connected. What is doubted is not written to.
    fn client(&self) -> Result<Arc<Client>, ShareError> {
        let link = self.line.nodes.state().link;
        let client = self.line.client.load_full();
        match (link, client) {
            (NodeLink::Connected(_), Some(client)) => Ok(client),
            (link, _) => {
                let reason = link.reason().map_or("it was not reached yet", |reason| reason);
                Err(ShareError::Away(reason.to_owned()))
            }
        }
    }
}

fn failed(error: CallError) -> ShareError {
    match error {
        CallError::Unknown(reason) => ShareError::Unknown(reason),
        error => ShareError::Away(error.to_string()),
    }
}

/// Reads all tokens; the revision of the list.
pub(super) async fn list(line: &Line, client: &Client) -> Result<u64, CallError> {
    let (start, end) = line.layout.part("tokens/");
    let list = client.range(&start, Some(&end), (None, 0), WITHIN).await?;
    let read = list.kvs.iter().filter_map(|kv| {
        let id = id_of(&line.layout, &kv.key)?;
        Some((id, String::from_utf8(kv.value.clone()).ok()?))
    });
    let read: TokenTexts = read.collect();
    line.tokens.send_if_modified(|known| {
        let differs = known.as_ref() != Some(&read);
        *known = Some(read);
        differs
    });
    Ok(list.header.revision)
}

/// A token was put, or its key deleted.
pub(super) fn note(line: &Line, id: String, text: Option<&[u8]>) {
    let text = text.and_then(|text| String::from_utf8(text.to_vec()).ok());
    line.tokens.send_if_modified(|known| {
        let all = known.get_or_insert_default();
        match text {
            Some(text) => all.insert(id, text.clone()).as_ref() != Some(&text),
            None => all.remove(&id).is_some(),
        }
    });
}

fn id_of(layout: &Layout, key: &[u8]) -> Option<String> {
    match layout.place(key)? {
        Place::Token(id) => Some(id),
        _ => None,
    }
}
