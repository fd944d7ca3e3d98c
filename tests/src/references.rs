//! hotdns beside NSD, Knot DNS and BIND: the same zone files, the same queries, replies that say the same.
//!
//! ```text
//!  seed ─► World (zones) ─┬─ zone files ─► hotdns, NSD, Knot, BIND ─┐
//!                         └─ questions ──────► UDP, TCP ────────────┴─► Judge ─► equal, excepted, different
//! ```
//!
//! Minimal responses are switched on everywhere. Equal must be: RCODE, AA, TC, the answer, the authority of negative
//! answers and referrals, the glue that a referral needs. Other additional records need only be what a zone holds.
//! Where the other servers do not agree with each other the RFC decides; `docs/differences.md` has each such case, and
//! [`exceptions::Exception`] its name.

pub mod exceptions;
pub mod judge;
pub mod peers;
pub mod reply;
pub mod worlds;
