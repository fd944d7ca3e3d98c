//! An open loop in a circuit: queries at a rate of ours, whatever comes back.
//!
//! The kernel runs the generator's program `flood` on live frames (`BPF_PROG_TEST_RUN`), from a thread on each
//! processor; replies are counted by the program at the client's end, so that no client process takes part. Where those
//! threads do not get the time that the rate needs, less is offered: the sample says how much.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aya::programs::Xdp;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::{Circuit, words};
use crate::bench::load::{Load, Returns};
use crate::testrun::TestRun;

/// Between two bursts, where there is time: a call of the kernel costs more than a frame.
const INTERVAL: Duration = Duration::from_micros(500);
/// Frames of one call at most.
const BURST: u64 = 4096;

/// What came of a flood.
#[derive(Clone, Debug)]
pub struct FloodSample {
    /// How long it was measured, after a time to warm up.
    pub elapsed: Duration,
    /// Queries sent in that time.
    pub sent: u64,
    /// Replies in that time.
    pub replies: u64,
    /// Those of them that are not what the load should get.
    pub wrong: u64,
}

impl FloodSample {
    /// Queries in a second.
    pub fn offered(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64()
    }

    /// Right replies in a second.
    pub fn goodput(&self) -> f64 {
        self.replies.saturating_sub(self.wrong) as f64 / self.elapsed.as_secs_f64()
    }
}

impl Circuit {
    /// Sends the load's queries at `rate` a second for `time` and a third of it before, which is not measured. Nothing
    /// may be going round.
    pub fn flood(&mut self, load: &Load, rate: f64, time: Duration) -> Result<FloodSample> {
        let mut configuration = load.configuration(&self.pair, Returns::Replies)?;
        configuration[words::FLAGS] |= words::FLAG_STOPPED;
        self.configure(configuration)?;
        let packet = vec![0; configuration[words::FRAME_LEN] as usize];
        let cpus = self.cpus.clone();
        let sum = |counters: &[[u64; words::STATS_WORDS]], index: usize| -> u64 {
            cpus.iter().map(|cpu| counters[*cpu][index]).sum()
        };
        let stop = AtomicBool::new(false);
        let circuit = &*self;
        let (elapsed, before, after) = thread::scope(|scope| {
            let senders: Vec<_> = circuit
                .cpus
                .iter()
                .map(|&cpu| {
                    let (packet, stop) = (&packet, &stop);
                    let share = rate / circuit.cpus.len() as f64;
                    scope.spawn(move || circuit.send(cpu, packet, share, stop))
                })
                .collect();
            thread::sleep(time / 3);
            let (start, before) = (Instant::now(), circuit.counters());
            thread::sleep(time);
            let (elapsed, after) = (start.elapsed(), circuit.counters());
            stop.store(true, Ordering::Relaxed);
            for sender in senders {
                sender.join().expect("senders do not panic")?;
            }
            anyhow::Ok((elapsed, before?, after?))
        })?;
        let of = |index| sum(&after, index) - sum(&before, index);
        let other_rcodes: u64 = (0..16)
            .filter(|rcode| *rcode != usize::from(load.rcode))
            .map(|rcode| of(words::RCODES + rcode))
            .sum();
        Ok(FloodSample {
            elapsed,
            sent: of(words::SENT),
            replies: of(words::REPLIES),
            wrong: other_rcodes + of(words::MISMATCHED),
        })
    }

    /// One processor's part, until it is told to stop.
    fn send(&self, cpu: usize, packet: &[u8], rate: f64, stop: &AtomicBool) -> Result<()> {
        let program: &Xdp = self
            .programs
            .program("flood")
            .context("the generator's object has no program flood")?
            .try_into()
            .context("flood is not an XDP program")?;
        let descriptor = program.fd().context("flood is not loaded")?;
        self.client.enter(|| {
            let mut here = CpuSet::new();
            here.set(cpu).with_context(|| format!("no processor {cpu}"))?;
            sched_setaffinity(Pid::from_raw(0), &here).context("cannot stay on a processor")?;
            let mut frames = TestRun::new(descriptor.as_fd());
            frames.ingress_ifindex = self.pair.first.index;
            let (start, mut sent) = (Instant::now(), 0);
            while !stop.load(Ordering::Relaxed) {
                let due = (start.elapsed().as_secs_f64() * rate) as u64;
                let burst = due.saturating_sub(sent).min(BURST);
                if burst > 0 {
                    frames.repeat = burst as u32;
                    frames.run_live(packet).context("cannot send live frames")?;
                }
                // What could not be sent in time is left out.
                sent = due;
                if burst < BURST {
                    thread::sleep(INTERVAL);
                }
            }
            Ok(())
        })
    }
}
