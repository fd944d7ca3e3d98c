//! Why a command was refused. Nothing has changed then.

use crate::model::name::Name;
use crate::model::record::RecordType;
use crate::principal::Forbidden;
use crate::store::{Refusal, Refused};

/// A command's failure, with what a person needs to know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// An edit of a change set cannot be made.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The principal may not.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Every value is there already.
    #[error("{owner} {rtype} has every one of these values already")]
    Exists {
        /// The owner.
        owner: Name,
        /// The type.
        rtype: RecordType,
    },
    /// The database cannot be written at present.
    #[error("{0}; nothing was changed")]
    StorageLocked(String),
    /// etcd, which many nodes share, cannot be written at present.
    #[error("{0}; nothing was changed")]
    StorageUnavailable(String),
    /// Other nodes have written all the time that was waited for.
    #[error("other nodes have written first each time; nothing was changed: send it again")]
    Overtaken,
    /// The change is larger than etcd takes at once.
    #[error(
        "{0}; nothing was changed: make it in smaller parts, or start etcd with a larger `--max-request-bytes` and \
         `--max-txn-ops`"
    )]
    TooLarge(String),
    /// etcd has not answered whether the change is made.
    #[error("it is not known whether the change was made: {0}; look before you send it again")]
    OutcomeUnknown(String),
    /// The records in the database are not read yet, so that nobody knows what a change would change.
    #[error("{0}")]
    NotReady(String),
    /// The configuration file has errors.
    #[error("the configuration was not reloaded, nothing was changed: {}", .0.join("; "))]
    ReloadFailed(Vec<String>),
    /// A fault of the server.
    #[error("{0}")]
    Internal(String),
    /// The server is on its way down.
    #[error("the server is stopping")]
    Stopped,
}

impl ControlError {
    /// What is wrong with an edit, if that is why the command failed.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(Refused { refusal, .. }) => Some(refusal),
            _ => None,
        }
    }
}
