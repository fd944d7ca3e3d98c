//! What other tests and the benchmarks stand on: namespaces, veth pairs, raw frames, TEST_RUN, and the closed loop.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::EbpfLoader;
use aya::programs::Xdp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::bench::circuit::{Circuit, Frames};
use tests::bench::load::{self, Returns};
use tests::bench::object;
use tests::frames::{Query, UdpFrame, wire_name};
use tests::net::{Namespace, PATIENCE, RawSocket, VethOptions, VethPair, is_skipped, run};
use tests::testrun::{TestRun, Verdict};

fn pair() -> Result<(Namespace, Namespace, VethPair)> {
    let (client, server) = (Namespace::new("client")?, Namespace::new("server")?);
    let pair = VethPair::new((&client, "client"), (&server, "server"), &VethOptions::default())?;
    Ok((client, server, pair))
}

#[test]
fn a_namespace_goes_with_its_value() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("short")?;
    let name = namespace.name().to_owned();
    assert!(run("ip", &["netns", "list"])?.contains(&name));
    assert!(
        !namespace.ip(&["-br", "link"])?.contains("eth"),
        "a new namespace has its loopback interface alone"
    );
    drop(namespace);
    assert!(!run("ip", &["netns", "list"])?.contains(&name));
    Ok(())
}

#[test]
fn a_panic_inside_is_an_error_outside() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let namespace = Namespace::new("panic")?;
    let error = namespace
        .enter::<()>(|| panic!("on purpose"))
        .expect_err("the closure panicked");
    assert!(error.to_string().contains("on purpose"), "{error}");
    Ok(())
}

#[test]
fn both_ends_of_a_pair_reach_each_other() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (client, server, pair) = pair()?;
    for (from, to) in pair.first.addresses.iter().zip(&pair.second.addresses) {
        let receiver = server.enter(|| Ok(UdpSocket::bind((*to, 4000))?))?;
        receiver.set_read_timeout(Some(PATIENCE))?;
        let sender = client.enter(|| Ok(UdpSocket::bind((*from, 4001))?))?;
        sender.send_to(b"hello", (*to, 4000))?;
        let mut buffer = [0; 16];
        let (length, peer) = receiver.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..length], peer.ip()), (b"hello".as_slice(), *from));
    }
    Ok(())
}

#[test]
fn raw_frames_arrive_with_their_tags() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let (client, server, pair) = pair()?;
    let sender = client.enter(|| Ok(RawSocket::open(pair.first.index)?))?;
    let receiver = server.enter(|| Ok(RawSocket::open(pair.second.index)?))?;
    let (from, to) = (pair.first.addresses[0], pair.second.addresses[0]);
    let payload = Query::new(&wire_name("example.com."), 1).build();
    for vlans in [vec![], vec![7], vec![7, 9]] {
        let macs = (pair.first.mac, pair.second.mac);
        let mut frame = UdpFrame::new(macs, (from, 4000).into(), (to, 53).into(), payload.clone());
        frame.vlans = vlans;
        sender.send(&frame.build())?;
        let start = Instant::now();
        loop {
            let received = receiver.receive(PATIENCE)?.context("no frame arrived")?;
            if received == frame.build() {
                break;
            }
            // The kernel has things of its own to say.
            if start.elapsed() > PATIENCE {
                bail!("another frame arrived: {received:02x?}");
            }
        }
    }
    Ok(())
}

#[test]
fn test_run_gives_verdict_and_packet() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut object = EbpfLoader::new().load_file(object::generator()?)?;
    let mut verdict = |name: &str, frame: &UdpFrame| -> Result<_> {
        let program: &mut Xdp = object.program_mut(name).context("no such program")?.try_into()?;
        if program.fd().is_err() {
            program.load()?;
        }
        let fd = program.fd()?;
        Ok(TestRun::new(std::os::fd::AsFd::as_fd(fd)).run(&frame.build())?)
    };
    for (client, server) in [
        ("192.0.2.1:4000", "192.0.2.2:53"),
        ("[2001:db8::1]:4000", "[2001:db8::2]:53"),
    ] {
        for vlans in [vec![], vec![7]] {
            let mut frame = UdpFrame::new(([2; 6], [4; 6]), client.parse()?, server.parse()?, vec![1, 2, 3]);
            frame.vlans = vlans;
            let passed = verdict("pass", &frame)?;
            assert_eq!((passed.verdict, passed.packet), (Verdict::Pass, frame.build()));
            let bounced = verdict("bounce", &frame)?;
            let mut expected = UdpFrame::new(([4; 6], [2; 6]), server.parse()?, client.parse()?, vec![1, 2, 3]);
            expected.vlans = frame.vlans.clone();
            // Swapping addresses and ports leaves every sum as it was.
            assert_eq!((bounced.verdict, bounced.packet), (Verdict::Transmit, expected.build()));
        }
    }
    Ok(())
}

#[test]
fn the_closed_loop_keeps_every_frame() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut circuit = Circuit::new("loop", false)?;
    let _link = circuit.attach_to_server("bounce")?;
    for load in load::all(1000) {
        for frames in [Frames::Full, Frames::Small] {
            let sample = circuit.sample(&load, Returns::Bounced, frames, 32, Duration::from_millis(50))?;
            assert!(sample.replies() > 0, "{}: {sample:?}", load.name);
            assert_eq!(
                (sample.left.iter().sum::<u64>(), sample.mismatched, sample.lost),
                (32, 0, 0),
                "{}: {sample:?}",
                load.name
            );
        }
    }
    Ok(())
}

#[test]
fn an_interrupted_or_killed_benchmark_leaves_nothing_behind() -> Result<()> {
    if is_skipped() {
        return Ok(());
    }
    let mut pids = Vec::new();
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bench"))
            .args(["hot", "--only", "bounce", "--seconds", "3600"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let prefix = format!("hotdns-{}-", child.id());
        let start = Instant::now();
        while !run("ip", &["netns", "list"])?.contains(&prefix) {
            if let Some(status) = child.try_wait()? {
                bail!("ended before it had a namespace: {status}");
            }
            assert!(start.elapsed() < PATIENCE, "no namespace after {PATIENCE:?}");
        }
        kill(Pid::from_raw(child.id() as i32), signal)?;
        child.wait()?;
        pids.push(prefix);
    }
    // What the killed one left was removed by the one after it.
    let left = run("ip", &["netns", "list"])?;
    assert!(!pids.iter().any(|prefix| left.contains(prefix)), "{left}");
    Ok(())
}
