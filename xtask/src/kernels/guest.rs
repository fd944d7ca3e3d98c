//! One boot: an initramfs (cpio "newc") with busybox, the probe and its libraries, and QEMU around it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::image::Kernel;
use crate::{process, workspace};

/// How long a boot with the probe may take: QEMU interprets, on machines that may be busy.
const TIME_LIMIT: Duration = Duration::from_secs(300);

const MEMORY: &str = "1024M";

/// What the guest prints at its end, followed by the probe's exit status.
const VERDICT: &str = "kernel_probe ended with status ";

const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin RUST_BACKTRACE=1
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs run /run
for module in /modules/*.ko; do insmod "$module"; done
ip link set lo up
/kernel_probe
echo "kernel_probe ended with status $?"
poweroff -f
"#;

/// Boots `kernel`, runs `probe` in it, shows the console, and fails unless the probe exits with 0.
pub(crate) fn boot(kernel: &Kernel, probe: &Path) -> Result<()> {
    let folder = workspace::target().join("kernels");
    let initramfs = folder.join(format!(".{}.{}.cpio", kernel.name, std::process::id()));
    fs::write(&initramfs, pack(kernel, probe)?).with_context(|| format!("cannot write {}", initramfs.display()))?;
    let outcome = run(kernel, &initramfs);
    fs::remove_file(&initramfs).context("cannot remove the initramfs")?;
    outcome
}

fn run(kernel: &Kernel, initramfs: &Path) -> Result<()> {
    let program = process::find("qemu-system-x86_64").context("no qemu-system-x86_64")?;
    let mut qemu = Command::new(program)
        .args(["-m", MEMORY, "-smp", "1", "-cpu", "max", "-nic", "none", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(&kernel.vmlinuz)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start QEMU")?;
    let console = qemu.stdout.take().context("QEMU has no console")?;

    // The reader's loop ends when QEMU does, so a guest that hangs is ended from the side.
    let (ended, wait) = mpsc::channel::<()>();
    let timed_out = Arc::new(AtomicBool::new(false));
    let watchdog = std::thread::spawn({
        let timed_out = Arc::clone(&timed_out);
        move || {
            if wait.recv_timeout(TIME_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                timed_out.store(true, Ordering::Relaxed);
                // It fails only where QEMU has just ended.
                let _ = qemu.kill();
            }
            qemu.wait()
        }
    });
    let mut verdict = None;
    for line in BufReader::new(console).split(b'\n') {
        let line = String::from_utf8_lossy(&line.context("cannot read the guest's console")?)
            .trim_end()
            .to_owned();
        verdict = line.strip_prefix(VERDICT).map(str::to_owned).or(verdict);
        println!("   {line}");
    }
    drop(ended);
    let Ok(status) = watchdog.join() else {
        bail!("the thread that waits for QEMU panicked")
    };
    match verdict.as_deref() {
        Some("0") => Ok(()),
        Some(other) => bail!("the probe ended with status {other}"),
        None if timed_out.load(Ordering::Relaxed) => bail!("no verdict within {} s", TIME_LIMIT.as_secs()),
        None => bail!(
            "QEMU ended with {:?}, and no verdict of the probe",
            status.context("cannot wait for QEMU")?
        ),
    }
}

fn pack(kernel: &Kernel, probe: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "run", "modules"] {
        archive.folder(folder);
    }
    archive.console();
    archive.file("init", INIT.as_bytes());
    archive.program("bin/busybox", &process::find("busybox").context("no busybox")?)?;
    archive.program("kernel_probe", probe)?;
    for library in libraries(probe)? {
        archive.with_folders(&library)?;
    }
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.program(&format!("modules/{name}"), module)?;
    }
    Ok(archive.finish())
}

/// The shared libraries of a program, its loader included, as `ldd` gives them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let listing = process::read(Command::new("ldd").arg(program))?;
    Ok(library_paths(&listing).map(PathBuf::from).collect())
}

fn library_paths(listing: &str) -> impl Iterator<Item = &str> {
    listing
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

/// A cpio archive in the format "newc", which the kernel unpacks
/// (Documentation/driver-api/early-userspace/buffer-format).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    folders: Vec<String>,
}

impl Archive {
    fn program(&mut self, name: &str, source: &Path) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        self.file(name, &content);
        Ok(())
    }

    /// Puts a file where it is on this machine.
    fn with_folders(&mut self, source: &Path) -> Result<()> {
        let name = source.to_string_lossy().trim_start_matches('/').to_owned();
        for (end, _) in name.match_indices('/') {
            self.folder(&name[..end]);
        }
        self.program(&name, source)
    }

    fn folder(&mut self, name: &str) {
        if !self.folders.iter().any(|known| known == name) {
            self.folders.push(name.to_owned());
            self.entry(name, 0o040_755, (0, 0), &[]);
        }
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, (0, 0), content);
    }

    /// /dev/console, which the kernel opens for init.
    fn console(&mut self) {
        self.entry("dev/console", 0o020_600, (5, 1), &[]);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_headers_names_and_content_at_multiples_of_four() {
        let mut archive = Archive::default();
        archive.folder("a");
        archive.folder("a");
        archive.file("a/b", b"hello");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let headers: Vec<usize> = (0..bytes.len())
            .filter(|&at| bytes[at..].starts_with(b"070701"))
            .collect();
        assert_eq!(headers.len(), 3, "the same folder is written once");
        assert!(headers.iter().all(|at| at % 4 == 0));
        let file = &bytes[headers[1]..headers[2]];
        assert_eq!(&file[54..62], b"00000005", "the file's size");
        assert_eq!(&file[110..114], b"a/b\0");
        assert_eq!(&file[116..121], b"hello");
    }

    #[test]
    fn libraries_are_the_absolute_paths() {
        let listing = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x2)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let found: Vec<&str> = library_paths(listing).collect();
        assert_eq!(
            found,
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
    }
}
