//! The signature of `SHA256SUMS`, made with a key of OpenSSH: every system has `ssh-keygen`, and so nobody needs a
//! keyring to check a release.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::write;
use crate::process;

/// What the signature is for, so that it is good for nothing else.
const NAMESPACE: &str = "file";
/// Who signs, as `ssh-keygen -Y verify -I` names it.
const SIGNER: &str = "hotdns";

/// Signs `SHA256SUMS` in `folder`, writes the public key beside it as `hotdns.signers`, and checks both.
pub(super) fn sign(folder: &Path, key: &Path) -> Result<()> {
    let sums = folder.join("SHA256SUMS");
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key).arg(&sums);
    process::run(&mut sign).with_context(|| format!("{} cannot sign", key.display()))?;
    let public = process::read(Command::new("ssh-keygen").arg("-y").arg("-f").arg(key))?;
    let public: Vec<&str> = public.split_whitespace().take(2).collect();
    let line = format!("{SIGNER} namespaces=\"{NAMESPACE}\" {}\n", public.join(" "));
    write(&folder.join("hotdns.signers"), &line, 0o644)?;
    verify(folder)
}

/// Fails where the signature is not that of the signers.
pub(super) fn verify(folder: &Path) -> Result<()> {
    let sums = fs::File::open(folder.join("SHA256SUMS"))?;
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-I", SIGNER, "-n", NAMESPACE, "-f"]);
    verify.arg(folder.join("hotdns.signers"));
    verify.arg("-s").arg(folder.join("SHA256SUMS.sig"));
    process::run(verify.stdin(sums))
}

/// Signs the checksums with a key that is made for it; a change of one octet is found.
pub(super) fn try_out(folder: &Path) -> Result<()> {
    let key = folder.join("key");
    process::run(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key),
    )?;
    sign(folder, &key)?;
    let sums = folder.join("SHA256SUMS");
    let good = fs::read(&sums)?;
    fs::write(&sums, [&good[..], b"\n"].concat())?;
    let is_good = verify(folder).is_ok();
    fs::write(&sums, good)?;
    for made in ["key", "key.pub", "SHA256SUMS.sig", "hotdns.signers"] {
        fs::remove_file(folder.join(made))?;
    }
    anyhow::ensure!(!is_good, "a signature is good for other checksums");
    Ok(())
}
