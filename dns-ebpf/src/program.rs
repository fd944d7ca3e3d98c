//! The entry point: from a packet to its verdict, and from that to an action and a counter.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::warn;
use dns_common::access::admission;
use dns_common::arrange::needs_arranging;
use dns_common::counters::{QTYPE_CLASSES, RCODE_CLASSES, qtype_class, rcode_class};
use dns_common::decide::{First, is_guarded};
use dns_common::opaque::opaque;
use dns_common::reason::{DropReason, PassReason};
use dns_common::reply::{CACHED, RULED};
use dns_common::wire::flags;

use crate::{Verdict, maps, parse, respond, steps, tap};

/// The program that is attached to interfaces.
#[xdp]
#[inline(always)]
pub fn hotdns(ctx: XdpContext) -> u32 {
    match answer(&ctx) {
        Verdict::NotOurs => xdp_action::XDP_PASS,
        Verdict::Pass(reason) | Verdict::Unread(reason) => {
            if let Some(state) = maps::state() {
                state.counters.passed[reason.index()] += 1;
            }
            if matches!(reason, PassReason::Internal) {
                warn!(
                    &ctx,
                    "a table entry or a kernel helper failed; the query goes to userspace"
                );
            }
            xdp_action::XDP_PASS
        }
        Verdict::Drop(reason) => {
            if let Some(state) = maps::state() {
                state.counters.dropped[reason.index()] += 1;
            }
            if matches!(reason, DropReason::HalfWritten) {
                warn!(&ctx, "an answer could not be finished; the query is dropped");
            }
            xdp_action::XDP_DROP
        }
        Verdict::Answer => xdp_action::XDP_TX,
    }
}

#[inline(always)]
fn answer(ctx: &XdpContext) -> Verdict {
    let Some(mut state) = maps::state() else {
        return Verdict::NotOurs;
    };
    let frame = match parse::parse(ctx, &mut state.own_key) {
        Ok(frame) => frame.forgotten(&mut state.frame),
        Err(Verdict::Unread(reason)) => return charge_unread(ctx, reason),
        Err(verdict) => return verdict,
    };
    let mut admitted = admission::ADMITTED;
    if steps::has_admission() {
        match respond::client(ctx, &frame) {
            Some(client) => admitted = steps::admit(client),
            None => return Verdict::Pass(PassReason::Internal),
        }
        let Some(again) = maps::state() else {
            return Verdict::Pass(PassReason::Internal);
        };
        state = again;
        match admitted {
            admission::OVER_LIMIT => return Verdict::Drop(DropReason::RateLimit),
            admission::DENIED => return Verdict::Drop(DropReason::Access),
            _ => {}
        }
    }
    match steps::scan_and_look(ctx, &frame, &mut state.scratch, admitted) {
        Ok(First::Decided) => {}
        Ok(first) => {
            let Some(client) = respond::client(ctx, &frame) else {
                return Verdict::Pass(PassReason::Internal);
            };
            state.scratch.set_client(client);
            if let Err(reason) = steps::decide(first) {
                return Verdict::Pass(reason);
            }
            let Some(again) = maps::state() else {
                return Verdict::Pass(PassReason::Internal);
            };
            state = again;
            if is_guarded(&state.scratch) {
                let Some(client) = respond::client(ctx, &frame) else {
                    return Verdict::Pass(PassReason::Internal);
                };
                match steps::guard(client) {
                    admission::ADMITTED | admission::REFUSED => {}
                    admission::DENIED => return Verdict::Drop(DropReason::Access),
                    _ => return Verdict::Pass(PassReason::Access),
                }
                let Some(again) = maps::state() else {
                    return Verdict::Pass(PassReason::Internal);
                };
                state = again;
            }
            if needs_arranging(&state.scratch) {
                if let Err(reason) = steps::arrange() {
                    return Verdict::Pass(reason);
                }
                let Some(again) = maps::state() else {
                    return Verdict::Pass(PassReason::Internal);
                };
                state = again;
            }
        }
        // Only queries that can be read are worth an answer over the limit.
        Err(_) if admitted == admission::TRUNCATED => return Verdict::Drop(DropReason::RateLimit),
        Err(reason) => return Verdict::Pass(reason),
    }
    if state.scratch.has_cookie != 0 {
        let client = respond::client(ctx, &frame).ok_or(PassReason::Internal);
        if let Err(reason) = client.and_then(steps::make_cookie) {
            return Verdict::Pass(reason);
        }
        let Some(again) = maps::state() else {
            return Verdict::Pass(PassReason::Internal);
        };
        state = again;
    }
    if let Err(verdict) = respond::respond(ctx, &frame, state) {
        return verdict;
    }
    match admitted {
        admission::TRUNCATED => state.counters.limited += 1,
        admission::REFUSED => state.counters.denied += 1,
        _ => {}
    }
    let extra = state.scratch.reply.extra;
    state.counters.cached += (extra / CACHED & 1) as u64;
    state.counters.ruled += (extra / RULED & 1) as u64;
    // The compiler proves these bounds and drops the checks, which the verifier then misses.
    let qtype = opaque(qtype_class(state.scratch.qtype as u16) as u64) as usize;
    let rcode = opaque(rcode_class(state.scratch.reply.header.flags() & flags::RCODE) as u64) as usize;
    if qtype < QTYPE_CLASSES && rcode < RCODE_CLASSES {
        state.counters.answers[qtype][rcode] += 1;
    }
    // What was not admitted was not looked up: the line is another query's.
    if maps::settings().per_zone != 0 && admitted == admission::ADMITTED {
        maps::count_for_zone(state.scratch.found.zone, rcode);
    }
    if tap::is_due(state) {
        tap::show(ctx, &frame, &state.scratch);
    }
    Verdict::Answer
}

/// What becomes of a packet that is charged and not read. Nothing can be answered, not even truncated.
#[inline(always)]
fn charge_unread(ctx: &XdpContext, reason: PassReason) -> Verdict {
    let Some(client) = maps::state().and_then(|state| parse::unread_client(ctx, &mut state.own_key)) else {
        return Verdict::Pass(reason);
    };
    match steps::admit(client) {
        admission::DENIED => Verdict::Drop(DropReason::Access),
        admission::OVER_LIMIT | admission::TRUNCATED => Verdict::Drop(DropReason::RateLimit),
        _ => Verdict::Pass(reason),
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
