//! A kernel from Debian's packages, kept unpacked under `target/kernels`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, process, workspace};

/// Modules that the guest loads, in this order, where the kernel has them as modules.
const MODULES: &[&str] = &["drivers/net/veth.ko"];

/// An unpacked kernel package.
pub(crate) struct Kernel {
    /// The package's name.
    pub(crate) name: String,
    /// The bootable image.
    pub(crate) vmlinuz: PathBuf,
    /// Modules for the guest.
    pub(crate) modules: Vec<PathBuf>,
}

/// The newest kernel of a series: one that was unpacked before, else downloaded.
pub(crate) fn kernel(series: &str) -> Result<Kernel> {
    let store = workspace::target().join("kernels").join(series);
    if let Some(kernel) = unpacked(&store)? {
        return Ok(kernel);
    }
    let name = newest_package(series)?;
    // Beside its place, then renamed: another run may be doing the same, and half a kernel must not be found.
    let work = workspace::target()
        .join("kernels")
        .join(format!(".{series}.{}", std::process::id()));
    std::fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    process::run(Command::new("apt-get").current_dir(&work).args([
        "-q",
        "-o",
        "APT::Sandbox::User=root",
        "download",
        &name,
    ]))?;
    let archive = entries(&work)?
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "deb"));
    let archive = archive.context("apt-get download left no package")?;
    process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(work.join(&name)))?;
    std::fs::remove_file(&archive).context("cannot remove the downloaded package")?;
    unpack_modules(&work.join(&name))?;
    if std::fs::rename(&work, &store).is_err() {
        // Another run was quicker.
        std::fs::remove_dir_all(&work).context("cannot remove a second download")?;
    }
    unpacked(&store)?.with_context(|| format!("package {name} has no kernel"))
}

fn unpacked(store: &Path) -> Result<Option<Kernel>> {
    if !store.is_dir() {
        return Ok(None);
    }
    for package in entries(store)? {
        let Ok(boot) = entries(&package.join("boot")) else {
            continue;
        };
        let Some(vmlinuz) = boot.into_iter().find(|file| is_named(file, "vmlinuz-")) else {
            continue;
        };
        let mut modules = Vec::new();
        for release in entries(&package.join("lib/modules"))? {
            let present = MODULES.iter().map(|module| release.join("kernel").join(module));
            modules.extend(present.filter(|module| module.is_file()));
        }
        let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(Some(Kernel { name, vmlinuz, modules }));
    }
    Ok(None)
}

/// Newer packages compress modules, which the guest's busybox does not undo.
fn unpack_modules(package: &Path) -> Result<()> {
    for release in entries(&package.join("lib/modules"))? {
        for module in MODULES {
            let compressed = release.join("kernel").join(format!("{module}.xz"));
            if compressed.is_file() {
                process::run(Command::new("xz").arg("--decompress").arg(compressed))?;
            }
        }
    }
    Ok(())
}

fn newest_package(series: &str) -> Result<String> {
    let prefix = format!("linux-image-{series}.");
    let known = || process::read(Command::new("apt-cache").args(["pkgnames", &prefix]));
    let mut names = known().context("no apt-cache: the kernels come from Debian's packages")?;
    if newest(&names).is_none() {
        packages::refresh_lists()?;
        names = known()?;
    }
    match newest(&names) {
        Some(name) => Ok(name.to_owned()),
        None => bail!("apt knows no package {prefix}*-cloud-amd64: enable Debian 12's main and security suites"),
    }
}

/// The signed image with the highest version.
fn newest(names: &str) -> Option<&str> {
    names
        .lines()
        .filter(|name| name.ends_with("-cloud-amd64"))
        .max_by_key(|name| numbers(name))
}

/// The numbers in a name, for comparing versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|symbol: char| !symbol.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn is_named(file: &Path, prefix: &str) -> bool {
    file.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_by_number_and_signed() {
        let names = "linux-image-6.1.0-9-cloud-amd64\nlinux-image-6.1.0-56-cloud-amd64\n\
                     linux-image-6.1.0-57-cloud-amd64-unsigned\nlinux-image-6.1.0-56-cloud-amd64-dbg\n";
        assert_eq!(newest(names), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(newest("linux-image-6.1.0-57-rt-amd64\n"), None);
    }
}
