//! Certificates of this server, and their keys: from files that are read again when they change, or made at the start.

mod certificate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) use self::certificate::Certificate;
use self::certificate::fingerprint;
use crate::host::files;
use crate::host::reread::RereadFiles;

/// The most octets of a file of certificates: a long chain has some ten thousand.
const MOST_OCTETS: u64 = 1 << 20;

/// What a server shows its clients.
pub(crate) enum Certificates {
    /// From files.
    Files(RereadFiles<Pair>),
    /// Made at the start; nobody can verify it but by its fingerprint.
    SelfSigned {
        /// What is shown.
        pair: Pair,
        /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` shows it.
        fingerprint: String,
    },
}

/// A chain of certificates, with the key of the first.
pub(crate) struct Pair {
    /// For the handshake.
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
}

impl Certificates {
    /// Reads a chain of certificates, the server's own first, and its key, both PEM; `protocols` are those of ALPN.
    /// `key_name` is what messages call them.
    pub(crate) fn of_files(
        key_name: &'static str,
        cert: &Path,
        key: &Path,
        protocols: &'static [&'static str],
    ) -> Result<Self, String> {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        let paths = vec![cert.clone(), key.clone()];
        let read = move || read(&cert, &key, protocols);
        RereadFiles::load(key_name, paths, read).map(Self::Files)
    }

    /// Makes a certificate for these names and addresses.
    pub(crate) fn self_signed(names: Vec<String>, protocols: &[&str]) -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
        let cert = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(str::to_owned)?;
        Ok(Self::SelfSigned {
            fingerprint: fingerprint(&cert),
            pair: pair(vec![cert], key, protocols)?,
        })
    }

    /// For the next handshake.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        match self {
            Self::Files(files) => Arc::clone(&files.current().config),
            Self::SelfSigned { pair, .. } => Arc::clone(&pair.config),
        }
    }

    /// The chain that the next handshake shows, the server's own first. What cannot be understood of it is left out.
    pub(crate) fn chain(&self) -> Vec<Certificate> {
        let read = |pair: &Pair| pair.chain.iter().filter_map(|der| Certificate::read(der)).collect();
        match self {
            Self::Files(files) => read(&files.current()),
            Self::SelfSigned { pair, .. } => read(pair),
        }
    }

    /// The files that they are from.
    pub(crate) fn files(&self) -> &[PathBuf] {
        match self {
            Self::Files(files) => files.paths(),
            Self::SelfSigned { .. } => &[],
        }
    }
}

fn read(cert: &PathBuf, key: &PathBuf, protocols: &[&str]) -> Result<Pair, String> {
    let text = |path: &PathBuf, most| {
        files::read(path, most).map_err(|error| format!("{} cannot be read ({error})", path.display()))
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(cert, MOST_OCTETS)?).collect();
    let chain = chain.map_err(|error| format!("{} is no PEM: {error}", cert.display()))?;
    if chain.is_empty() {
        return Err(format!(
            "{} has no certificate: it is a PEM file with the server's certificate first and its issuers behind it",
            cert.display()
        ));
    }
    // What the reader says of a key may show a part of it.
    let private = PrivateKeyDer::from_pem_slice(&text(key, files::MOST_OF_A_SECRET)?).map_err(|_| {
        format!(
            "{} has no private key: it is a PEM file with one, as from `openssl genpkey`, without a password",
            key.display()
        )
    })?;
    pair(chain, private, protocols)
        .map_err(|error| format!("{} and {} do not make a pair: {error}", cert.display(), key.display()))
}

fn pair(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>, protocols: &[&str]) -> Result<Pair, String> {
    let builder = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = builder.with_no_client_auth().with_single_cert(chain.clone(), key);
    let mut config = config.map_err(|error| error.to_string())?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Pair {
        config: Arc::new(config),
        chain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a new pair.
    fn write(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        let pem = |label: &str, der: &[u8]| {
            let text = data_encoding::BASE64.encode(der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, pem("CERTIFICATE", made.cert.der())).expect("written");
        std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).expect("written");
        (cert, key)
    }

    #[test]
    fn a_new_pair_is_taken_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = write(folder.path());
        let certificates = Certificates::of_files("http.tls", &cert, &key, &["http/1.1"]).expect("a pair");
        let Certificates::Files(files) = &certificates else {
            unreachable!("from files");
        };
        let first = certificates.current();
        write(folder.path());
        files.refresh();
        let second = certificates.current();
        assert!(!Arc::ptr_eq(&first, &second));
        // As long as only one of the two is new.
        let other = tempfile::tempdir().expect("a folder");
        let (other_cert, _) = write(other.path());
        std::fs::copy(other_cert, &cert).expect("copied");
        files.refresh();
        assert!(Arc::ptr_eq(&second, &certificates.current()));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_key_is_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = write(folder.path());
        let error = |cert: &Path, key: &Path| {
            Certificates::of_files("http.tls", cert, key, &[])
                .map(|_| ())
                .expect_err("no pair")
        };
        assert!(error(&key, &key).contains("has no certificate"));
        assert!(error(&cert, &cert).contains("has no private key"));
        assert!(error(Path::new("/none"), &key).contains("/none cannot be read"));
        let other = tempfile::tempdir().expect("a folder");
        let (_, other_key) = write(other.path());
        assert!(error(&cert, &other_key).contains("do not make a pair"));
    }

    #[test]
    fn a_certificate_of_our_own_has_a_fingerprint() {
        let made = Certificates::self_signed(vec!["localhost".to_owned(), "192.0.2.1".to_owned()], &[]);
        let made = made.expect("made");
        let Certificates::SelfSigned { fingerprint, .. } = &made else {
            unreachable!("made here");
        };
        let chain = made.chain();
        assert_eq!((chain.len(), &chain[0].fingerprint), (1, fingerprint));
        assert_eq!(chain[0].names, ["localhost", "192.0.2.1"]);
    }
}
