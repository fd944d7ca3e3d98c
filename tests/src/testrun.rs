//! `BPF_PROG_TEST_RUN`: a loaded program runs on a packet of ours, with no network.
//!
//! With `repeat` above 1 the kernel does not restore the packet between runs: a program that answers is then timed on
//! its own reply.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The verdicts of an XDP program (`enum xdp_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The program failed.
    Aborted,
    /// The packet is gone.
    Drop,
    /// The packet goes up.
    Pass,
    /// The packet leaves where it came from.
    Transmit,
    /// The packet goes elsewhere.
    Redirect,
    /// No verdict that the kernel knows.
    Unknown(u32),
}

impl From<u32> for Verdict {
    fn from(value: u32) -> Self {
        match value {
            0 => Self::Aborted,
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Transmit,
            4 => Self::Redirect,
            other => Self::Unknown(other),
        }
    }
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The program's verdict.
    pub verdict: Verdict,
    /// The packet as the program left it.
    pub packet: Vec<u8>,
    /// The time of one run, on average over `repeat` of them.
    pub duration: Duration,
}

/// How a program is run.
#[derive(Clone, Copy, Debug)]
pub struct TestRun<'a> {
    program: BorrowedFd<'a>,
    /// The interface the packet seems to come from, in the calling thread's namespace; 0: none in particular, which
    /// the kernel takes for the loopback interface.
    pub ingress_ifindex: u32,
    /// How often.
    pub repeat: u32,
    /// Octets of metadata that lie before the packet, a multiple of four: they take twice as many of its head room.
    pub metadata: u32,
}

/// `struct xdp_md` (`linux/bpf.h`).
#[repr(C)]
struct XdpMd {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// The member `test` of `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct TestAttributes {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

const BPF_PROG_TEST_RUN: libc::c_long = 10;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 2;
/// Frames that are sent at once.
const LIVE_BATCH: u32 = 64;
const BPF_ENABLE_STATS: libc::c_long = 32;

impl<'a> TestRun<'a> {
    /// Runs this program, once, on packets from no interface in particular.
    pub fn new(program: BorrowedFd<'a>) -> Self {
        Self {
            program,
            ingress_ifindex: 0,
            repeat: 1,
            metadata: 0,
        }
    }

    /// Runs the program on a packet, of at least 14 bytes: the kernel refuses shorter ones.
    pub fn run(&self, packet: &[u8]) -> io::Result<Outcome> {
        // What an XDP program can grow a packet to, and more.
        let mut out = vec![0u8; packet.len() + 4096];
        let metadata = self.metadata as usize;
        let padded = [&vec![0; metadata], packet].concat();
        let packet = if metadata == 0 { packet } else { &padded };
        let mut context = self.context(packet);
        let mut attributes = TestAttributes {
            prog_fd: self.program.as_raw_fd() as u32,
            data_size_in: packet.len() as u32,
            data_size_out: out.len() as u32,
            data_in: packet.as_ptr() as u64,
            data_out: out.as_mut_ptr() as u64,
            repeat: self.repeat,
            ctx_size_in: size_of::<XdpMd>() as u32,
            ctx_in: (&raw mut context) as u64,
            ..TestAttributes::default()
        };
        // SAFETY: every pointer in the attributes is valid for the length beside it, until the call returns.
        unsafe {
            bpf(
                BPF_PROG_TEST_RUN,
                (&raw mut attributes).cast(),
                size_of::<TestAttributes>(),
            )?
        };
        out.truncate(attributes.data_size_out as usize);
        out.drain(..metadata.min(out.len()));
        Ok(Outcome {
            verdict: attributes.retval.into(),
            packet: out,
            duration: Duration::from_nanos(attributes.duration.into()),
        })
    }

    /// The packet as it comes in at the interface.
    fn context(&self, packet: &[u8]) -> XdpMd {
        XdpMd {
            data: self.metadata,
            data_end: packet.len() as u32,
            data_meta: 0,
            ingress_ifindex: self.ingress_ifindex,
            rx_queue_index: 0,
            egress_ifindex: 0,
        }
    }

    /// Runs the program on `repeat` frames that really go where its verdicts say: what it transmits leaves from the
    /// interface they seem to come from. The frames are this packet, or what the program has made of it before.
    pub fn run_live(&self, packet: &[u8]) -> io::Result<()> {
        let mut context = self.context(packet);
        let mut attributes = TestAttributes {
            prog_fd: self.program.as_raw_fd() as u32,
            data_size_in: packet.len() as u32,
            data_in: packet.as_ptr() as u64,
            repeat: self.repeat,
            ctx_size_in: size_of::<XdpMd>() as u32,
            ctx_in: (&raw mut context) as u64,
            flags: LIVE_FRAMES,
            batch_size: LIVE_BATCH,
            ..TestAttributes::default()
        };
        // SAFETY: every pointer in the attributes is valid for the length beside it, until the call returns.
        unsafe {
            bpf(
                BPF_PROG_TEST_RUN,
                (&raw mut attributes).cast(),
                size_of::<TestAttributes>(),
            )?
        };
        Ok(())
    }
}

/// The kernel measures every BPF program's run time until this is dropped (`BPF_ENABLE_STATS`).
pub struct BpfStatistics {
    _descriptor: OwnedFd,
}

impl BpfStatistics {
    /// Turns measuring on.
    pub fn enable() -> io::Result<Self> {
        // BPF_STATS_RUN_TIME is 0.
        let mut kind = 0u32;
        // SAFETY: the attributes are this one word; the descriptor that comes back is ours alone.
        let descriptor =
            unsafe { OwnedFd::from_raw_fd(bpf(BPF_ENABLE_STATS, (&raw mut kind).cast(), size_of::<u32>())?) };
        Ok(Self {
            _descriptor: descriptor,
        })
    }
}

/// # Safety
///
/// `attributes` must be valid for `size` bytes of what `command` reads and writes.
unsafe fn bpf(command: libc::c_long, attributes: *mut libc::c_void, size: usize) -> io::Result<i32> {
    // SAFETY: as promised by the caller.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}
