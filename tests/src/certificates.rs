//! Certificates for tests: an authority of our own, and what it signs.

use std::path::Path;

use anyhow::Result;

use crate::net::run;

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// A root certificate in the folder: `root.pem`, and its key `root.key`.
///
/// # Errors
/// `openssl` fails.
pub fn authority(folder: &Path) -> Result<()> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (key, root) = (path("root.key"), path("root.pem"));
    let new = [
        "req",
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=test root",
        "-keyout",
        &key,
        "-out",
        &root,
    ];
    run("openssl", &[&new[..], &NEW_KEY].concat()).map(drop)
}

/// A certificate that this authority signs, `NAME.pem`, and its key `NAME.key`; for these names, such
/// as `DNS:dns.example,IP:127.0.0.2`.
///
/// # Errors
/// `openssl` fails.
pub fn signed(folder: &Path, name: &str, subject: &str, names: &str) -> Result<()> {
    let path = |name: &str| folder.join(name).display().to_string();
    let [key, cert, request, extensions] = ["key", "pem", "csr", "ext"].map(|end| path(&format!("{name}.{end}")));
    let (root, root_key, subject) = (path("root.pem"), path("root.key"), format!("/CN={subject}"));
    let new = ["req", "-new", "-subj", &subject, "-keyout", &key, "-out", &request];
    run("openssl", &[&new[..], &NEW_KEY].concat())?;
    std::fs::write(&extensions, format!("subjectAltName={names}\n"))?;
    let sign = [
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &root,
        "-CAkey",
        &root_key,
        "-CAcreateserial",
    ];
    let more = ["-days", "2", "-extfile", &extensions, "-out", &cert];
    run("openssl", &[&sign[..], &more].concat()).map(drop)
}
