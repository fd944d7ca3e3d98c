//! The cache of a forwarder on disk.

use std::io;
use std::path::Path;

use super::Forwarder;
use super::cache::{Numbering, Restored};

impl Forwarder {
    /// Writes the answers that are kept into a file. How many; none where there is no cache.
    pub fn save_cache(&self, path: &Path) -> io::Result<usize> {
        self.cache
            .as_ref()
            .map_or(Ok(0), |cache| cache.save(path, self.numbering()))
    }

    /// Reads what was written there; `None` where there is no file, or no cache.
    pub fn restore_cache(&self, path: &Path) -> io::Result<Option<Restored>> {
        self.cache
            .as_ref()
            .map_or(Ok(None), |cache| cache.restore(path, &self.numbering()))
    }

    /// Views and sets of servers by their numbers.
    fn numbering(&self) -> Numbering {
        let views = (1..).map_while(|view| self.local.as_ref()?.view_name(view));
        let sets = self.settings.sets.iter().map(|set| {
            let servers: Vec<String> = set.servers.iter().map(ToString::to_string).collect();
            format!("{} {}", set.name, servers.join(" "))
        });
        Numbering {
            views: std::iter::once(String::new())
                .chain(views.map(|view| view.to_string()))
                .collect(),
            sets: sets.collect(),
        }
    }
}
