//! A client of the API that changes names of its own, and asks for each as soon as the change is acknowledged.

use std::net::Ipv4Addr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Shared;
use super::world::SERVER;
use crate::bench::change::{Api, Resolver};
use crate::frames::wire_name;
use crate::net::Namespace;

/// Names of each client.
const NAMES: usize = 40;

/// One name and what was acknowledged last.
struct Name {
    text: String,
    wire: Vec<u8>,
    address: Option<Ipv4Addr>,
}

/// Changes and asks until everything ends. Runs inside the server's namespace, where the API is.
pub(super) fn edit(number: u64, seed: u64, client: &Namespace, shared: &Shared) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed ^ ((number + 1) << 32));
    let (mut api, mut starts) = (Api::new(), 0);
    let mut resolver = Resolver::new(client, SERVER)?;
    let mut names: Vec<Name> = (0..NAMES)
        .map(|name| {
            // In a zone, below a name of it, and in none.
            let text = match name % 4 {
                0 => format!("c{number}n{name}.overlay.example."),
                1 => format!("c{number}n{name}.deep.er.a.test."),
                _ => format!("c{number}n{name}.a.test."),
            };
            Name {
                wire: wire_name(&text),
                text,
                address: None,
            }
        })
        .collect();
    while !shared.is_over() {
        // The server goes down between two of these, never within one.
        let _up = shared.up.read().unwrap_or_else(PoisonError::into_inner);
        // Connections to the one before are of no use.
        let now = shared.starts.load(Ordering::SeqCst);
        if now != starts {
            (api, starts) = (Api::new(), now);
        }
        let at = rng.random_range(0..NAMES);
        let name = &mut names[at];
        let is_to_go = name.address.is_some() && rng.random_bool(0.3);
        if is_to_go {
            api.delete(&name.text)?;
            name.address = None;
        } else {
            let address = Ipv4Addr::from(rng.random_range(0x0B00_0000..0x0C00_0000));
            api.put(&name.text, address)?;
            name.address = Some(address);
        }
        shared.changes.fetch_add(1, Ordering::Relaxed);
        compare(&mut resolver, &names[at], shared).context("right after the change was acknowledged")?;
        // One that others may have disturbed.
        let other = rng.random_range(0..NAMES);
        compare(&mut resolver, &names[other], shared).context("some time after the change was acknowledged")?;
        thread::sleep(Duration::from_millis(rng.random_range(0..10)));
    }
    Ok(())
}

fn compare(resolver: &mut Resolver<'_>, name: &Name, shared: &Shared) -> Result<()> {
    let outcome = match name.address {
        Some(address) => resolver.expect(&name.wire, address),
        None if name.text.ends_with(".example.") => resolver.expect_refusal(&name.wire),
        None => resolver.expect_absence(&name.wire),
    };
    shared.answers.fetch_add(2, Ordering::Relaxed);
    outcome.with_context(|| format!("{}, which should have {:?}", name.text, name.address))
}
