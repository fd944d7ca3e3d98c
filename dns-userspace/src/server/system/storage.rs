//! Where changes are kept: this node's own database, or an etcd that several nodes share.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::super::supervisor::Spawner;
use crate::config::StorageConfig;
use crate::control::ControlHandle;
use crate::journal::{EtcdJournal, EtcdLink, Journal, Nodes, Storage, StorageError, Stored};

/// A journal that is open.
pub(super) struct Opened {
    pub(super) journal: Box<dyn Journal>,
    /// What it held; `None` where that could not be read.
    pub(super) stored: Option<Stored>,
    /// The connection to etcd, where there is one.
    pub(super) link: Option<EtcdLink>,
}

/// Opens it. Blocks.
pub(super) fn open(config: &StorageConfig, runtime: Handle) -> Result<Opened, StorageError> {
    let Some(etcd) = config.etcd.clone() else {
        let (storage, stored) = Storage::open(&config.path)?;
        return Ok(Opened {
            journal: Box::new(storage),
            stored,
            link: None,
        });
    };
    let (journal, stored, link) = EtcdJournal::open(&config.path, etcd, runtime)?;
    Ok(Opened {
        journal: Box::new(journal),
        stored,
        link: Some(link),
    })
}

/// Runs the connection to etcd. The nodes, to be shown.
pub(super) fn follow(link: Option<EtcdLink>, control: &ControlHandle, spawner: &Spawner) -> Option<Arc<Nodes>> {
    let link = link?;
    let nodes = link.nodes();
    let (control, stopping) = (control.clone(), spawner.stopping());
    spawner.spawn("etcd", async move {
        link.run(move || control.wake(), stopping).await;
        Ok(())
    });
    Some(nodes)
}
