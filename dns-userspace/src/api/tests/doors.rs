//! Ways in beside a plain address: TLS, and the socket for users of this machine.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;

use super::super::Listeners;
use super::client::{Answer, Server, read_answer};
use crate::control::tests::fixture::{Fixture, desired};
use crate::principal::{Credentials, TokenFile};
use crate::tls::Certificates;

async fn over_socket(path: &std::path::Path, headers: &str) -> Answer {
    let mut stream = UnixStream::connect(path).await.expect("connected");
    let request = format!("POST /api/v1/reload HTTP/1.1\r\nHost: hotdns\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    read_answer(&mut stream).await
}

#[tokio::test]
async fn the_user_of_the_server_may_do_everything_over_the_socket_with_a_token_set_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("api.sock");
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret-token").expect("written");
    for token in [None, Some(TokenFile::load(&token).expect("a token"))] {
        let listeners = Listeners {
            socket: Some(UnixListener::bind(&path).expect("bound")),
            ..Listeners::default()
        };
        let has_token = token.is_some();
        let credentials = Credentials {
            token: token.map(Arc::new),
            ..Credentials::default()
        };
        let server = Server::at(Fixture::new(desired(vec![], vec![])), credentials, None, listeners).await;
        server.start();
        over_socket(&path, "").await.is(200);
        // Who shows something is taken at their word.
        let wrong = over_socket(&path, "Authorization: Bearer wrong\r\n").await;
        match has_token {
            true => wrong.is_problem(401, "unauthorized"),
            false => drop(wrong.is(200)),
        }
        drop(server);
        std::fs::remove_file(&path).expect("there");
    }
}

#[tokio::test]
async fn with_tls_there_is_nothing_else_on_the_address() {
    let certificates = Certificates::self_signed(vec!["localhost".to_owned()], &["http/1.1"]).expect("made");
    let listeners = Listeners {
        tls: Some(Arc::new(certificates)),
        ..Listeners::default()
    };
    let fixture = Fixture::new(desired(vec![], vec![]));
    let server = Server::at(fixture, Credentials::default(), None, listeners).await;
    server.start();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unverified = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = || ServerName::try_from("localhost").expect("a name");
    let connect = async |config: ClientConfig| {
        let stream = TcpStream::connect(server.address).await.expect("connected");
        TlsConnector::from(Arc::new(config)).connect(name(), stream).await
    };
    let error = connect(unverified).await.expect_err("nobody vouches for it");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let mut plain = TcpStream::connect(server.address).await.expect("connected");
    let _ = plain
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut octets = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut octets).await;
    assert!(!octets.starts_with(b"HTTP/1.1 200"), "{octets:?}");
}
