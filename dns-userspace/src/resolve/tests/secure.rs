//! Servers over HTTPS and QUIC that are hyper's and quinn's own, and misbehave as told.

use std::convert::Infallible;

use axum::http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::super::exchange::Failed;
use super::super::secure::SecureServer;
use super::*;
use crate::config::{ServerPlace, UpstreamTransport};

/// A server's certificate for `dns.example`, and a client that trusts it.
fn certificate(protocol: &[u8]) -> (ServerConfig, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["dns.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider());
    let server = server
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let mut server = server.with_single_cert(vec![certificate.clone()], key).unwrap();
    server.alpn_protocols = vec![protocol.to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    (
        server,
        Arc::new(client.unwrap().with_root_certificates(roots).with_no_client_auth()),
    )
}

fn server(address: SocketAddr, transport: UpstreamTransport) -> UpstreamServer {
    UpstreamServer {
        place: ServerPlace::At(address),
        transport,
    }
}

/// Answers queries over HTTPS: an A record, or what the name asks for. Connections are counted.
async fn https() -> (
    SocketAddr,
    Arc<ClientConfig>,
    Arc<AtomicUsize>,
    tokio::task::JoinSet<()>,
) {
    let (config, client) = certificate(b"h2");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let mut served = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            let counted = Arc::clone(&counted);
            served.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                counted.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(answer_over_https);
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, client, connections, tasks)
}

async fn answer_over_https(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(
        (request.method().as_str(), request.uri().path()),
        ("POST", "/dns-query")
    );
    assert_eq!(request.headers()[header::CONTENT_TYPE], "application/dns-message");
    let authority = request.uri().authority().unwrap().as_str().to_owned();
    assert!(authority.starts_with("dns.example:"), "{authority}");
    let query = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(query[..2], [0, 0], "RFC 8484 §4.1");
    let name = Name::from_wire(&query[12..12 + crate::model::name::wire_name_length(&query[12..]).unwrap()]).unwrap();
    let name = name.to_string();
    if name == "slow." {
        std::future::pending::<()>().await;
    }
    let status = if name == "broken." { 500 } else { 200 };
    let media_type = if name == "page." {
        "text/html"
    } else {
        "application/dns-message"
    };
    let reply = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, media_type);
    let [reply_message] = <[Vec<u8>; 1]>::try_from(good(&query, false)).unwrap();
    Ok(reply.body(Full::new(Bytes::from(reply_message))).unwrap())
}

#[tokio::test]
async fn rfc8484_queries_share_a_connection_and_what_is_no_answer_is_an_error() {
    let (address, client, connections, _tasks) = https().await;
    let transport = UpstreamTransport::Https(Some("dns.example".into()), "/dns-query".into());
    let upstream = SecureServer::new(&server(address, transport), || client).unwrap();
    for id in [1, 0x1234] {
        let query = testing::query(id, "a.");
        let reply = upstream.ask(address, &query).await.unwrap();
        assert_eq!((&reply[..2], reply[7]), (&query[..2], 1));
    }
    // Two at once, one of which is never answered.
    let slow = testing::query(3, "slow.");
    let slow = timeout(Duration::from_millis(50), upstream.ask(address, &slow));
    let fast = testing::query(4, "b.");
    let (slow, fast) = tokio::join!(slow, upstream.ask(address, &fast));
    assert!(slow.is_err() && fast.is_ok());
    let broken = upstream.ask(address, &testing::query(5, "broken.")).await;
    assert!(matches!(broken, Err(Failed::Status(500))), "{broken:?}");
    let page = upstream.ask(address, &testing::query(6, "page.")).await;
    assert!(matches!(page, Err(Failed::Garbled)), "{page:?}");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_line_without_a_reply_for_a_while_is_not_used_again() {
    let (address, client, connections, _tasks) = https().await;
    let transport = UpstreamTransport::Https(Some("dns.example".into()), "/dns-query".into());
    let upstream = SecureServer::new(&server(address, transport), || client).unwrap();
    let slow = testing::query(3, "slow.");
    assert!(
        timeout(Duration::from_millis(1100), upstream.ask(address, &slow))
            .await
            .is_err()
    );
    upstream.ask(address, &testing::query(4, "b.")).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_is_not_who_it_should_be_is_asked_nothing() {
    let (address, client, _, _tasks) = https().await;
    for name in [Some("other.example".into()), None] {
        let transport = UpstreamTransport::Https(name, "/dns-query".into());
        let upstream = SecureServer::new(&server(address, transport), || Arc::clone(&client)).unwrap();
        let asked = upstream.ask(address, &testing::query(1, "a.")).await;
        assert!(matches!(asked, Err(Failed::Network(_))), "{asked:?}");
    }
}

#[tokio::test]
async fn rfc9250_queries_are_streams_of_one_connection() {
    let (config, client) = certificate(b"doq");
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            for number in 0.. {
                // The third query finds the connection closed.
                if number == 2 {
                    connection.close(0u8.into(), b"");
                    break;
                }
                let Ok((mut send, mut receive)) = connection.accept_bi().await else {
                    break;
                };
                let query = receive.read_to_end(1000).await.unwrap();
                let (length, query) = query.split_first_chunk::<2>().unwrap();
                assert_eq!(usize::from(u16::from_be_bytes(*length)), query.len());
                assert_eq!(query[..2], [0, 0], "RFC 9250 §4.2.1");
                let reply = &good(query, false)[0];
                send.write_all(&(reply.len() as u16).to_be_bytes()).await.unwrap();
                send.write_all(reply).await.unwrap();
                send.finish().unwrap();
                let _ = send.stopped().await;
            }
        }
    });
    let transport = UpstreamTransport::Quic(Some("dns.example".into()));
    let upstream = SecureServer::new(&server(address, transport), || client).unwrap();
    for id in 1..=3 {
        let query = testing::query(id, "a.");
        let reply = timeout(SOON, upstream.ask(address, &query)).await.unwrap().unwrap();
        assert_eq!((&reply[..2], reply[7]), (&query[..2], 1));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}
