//! What stands for the maps and constants in tests on the host.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use dns_common::address::{OWN_WORDS, OwnKey, OwnValue};
use dns_common::limit::Limits;
use dns_common::scratch::State;
use dns_common::settings::Settings;

thread_local! {
    /// Our addresses.
    pub static OWN: RefCell<HashMap<[u64; OWN_WORDS], OwnValue>> = RefCell::default();
    /// Whether there are rate limits.
    pub static IS_LIMITED: Cell<bool> = const { Cell::new(false) };
}

static SETTINGS: Settings = Settings::DEFAULT;
static UNLIMITED: Limits = Limits::NONE;
static LIMITED: Limits = {
    let mut limits = Limits::NONE;
    limits.prefix.interval_ns = 1;
    limits
};

/// The settings: port 53.
pub fn settings() -> &'static Settings {
    &SETTINGS
}

/// The rate limits.
pub fn limits() -> &'static Limits {
    if IS_LIMITED.get() { &LIMITED } else { &UNLIMITED }
}

/// What is known of an address and port, if they are ours.
pub fn own(key: &[u64; OWN_WORDS], _room: &mut OwnKey) -> Option<OwnValue> {
    OWN.with_borrow(|own| own.get(key).copied())
}

/// There is none here.
pub fn state() -> Option<&'static mut State> {
    None
}

/// The number as it is.
pub fn forget(room: &mut u64, number: u64) -> u64 {
    *room = number;
    number
}
