//! What the process may do that others may not (capabilities(7)): all that was given at start, and afterwards what is
//! needed.
//!
//! Capabilities are each thread's own, and new threads have those of the thread that made them. So each thread gives up
//! its own:
//!
//! | thread | when | keeps |
//! |---|---|---|
//! | of the runtime | as it begins | what `Needs` says |
//! | the writer, which a thread of the runtime makes | | the same |
//! | of the query log and of dnstap | as it begins | to open files and sockets; the one that reads answers: nothing |
//! | workers of sockets | once they have their priority | nothing |
//! | the first one, which binds addresses and starts all others | when the server is ready | what `Needs` says |
//!
//! What is given up cannot be had again, by a program that is executed neither (`PR_SET_NO_NEW_PRIVS`).
//!
//! Other systems than Linux have no capabilities: a process has there what its user has.

#[cfg(target_os = "linux")]
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

/// For what capabilities are needed after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// XDP: new programs are loaded, and attached to interfaces, while the server runs.
    pub xdp: bool,
}

#[cfg(target_os = "linux")]
impl Needs {
    /// Those to keep of the ones that there are.
    fn kept(self, permitted: CapabilitySet) -> CapabilitySet {
        // Configuration, zone files and secrets are read again at a reload, whoever's they are, as they were at start;
        // and the database is opened again where it could not be.
        let mut kept = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        if self.xdp {
            // To make maps and load a program for a larger table (BPF, PERFMON), to attach it to an interface that
            // comes and to replace the one before (NET_ADMIN).
            let of_bpf = CapabilitySet::BPF | CapabilitySet::PERFMON;
            kept |= of_bpf | CapabilitySet::NET_ADMIN;
            if !permitted.contains(of_bpf) {
                // What stood for these two before Linux 5.8, and does still.
                kept |= CapabilitySet::SYS_ADMIN;
            }
        }
        kept & permitted
    }
}

/// Leaves this thread, and those that it makes, what is needed after the start.
pub fn keep_what_is_needed(needs: Needs) {
    #[cfg(target_os = "linux")]
    keep(|permitted| needs.kept(permitted));
    #[cfg(not(target_os = "linux"))]
    let Needs { xdp: _ } = needs;
}

/// Leaves this thread nothing.
pub fn keep_nothing() {
    #[cfg(target_os = "linux")]
    keep(|_| CapabilitySet::empty());
}

#[cfg(target_os = "linux")]
fn keep(kept: impl FnOnce(CapabilitySet) -> CapabilitySet) {
    let result = capabilities(None).and_then(|sets| {
        let kept = kept(sets.permitted);
        set_no_new_privs(true)?;
        let sets = CapabilitySets {
            effective: kept & sets.effective,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)
    });
    if let Err(error) = result {
        tracing::warn!(%error, "capabilities that are not needed cannot be given up");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_there_and_is_needed() {
        let all = CapabilitySet::all();
        let files = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        let of_xdp = CapabilitySet::NET_ADMIN | CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert_eq!(Needs { xdp: false }.kept(all), files);
        assert_eq!(Needs { xdp: true }.kept(all), files | of_xdp);
        let given = of_xdp | CapabilitySet::NET_BIND_SERVICE | CapabilitySet::SYS_NICE;
        assert_eq!(Needs { xdp: true }.kept(given), of_xdp);
        let old = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
        assert_eq!(Needs { xdp: true }.kept(old), old);
        assert_eq!(Needs { xdp: false }.kept(old), CapabilitySet::empty());
        assert_eq!(Needs { xdp: true }.kept(CapabilitySet::empty()), CapabilitySet::empty());
    }

    #[test]
    fn a_thread_that_keeps_nothing_has_nothing() {
        std::thread::spawn(|| {
            keep_nothing();
            let sets = capabilities(None).expect("capget");
            assert!(sets.permitted.is_empty() && sets.effective.is_empty() && sets.inheritable.is_empty());
        })
        .join()
        .expect("no panic");
    }
}
