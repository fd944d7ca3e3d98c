//! A client of the HTTP API over one connection that stays open (HTTP/1.1, RFC 9112), as cheap as can be: it shares the
//! processors with the server that it measures. All clients are tasks of one thread: a reply wakes no other one.

use std::io::Write;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const ADDRESS: &str = "127.0.0.1:8080";
/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is read at once, at least.
const READ_BYTES: usize = 4096;

pub(super) struct Client {
    stream: TcpStream,
    /// What is sent. It is written anew for each request, in the same memory.
    request: Vec<u8>,
    /// What has come of the reply.
    reply: Vec<u8>,
}

/// A reply that has come whole.
struct Reply<'a> {
    status: u16,
    body: &'a [u8],
}

impl Reply<'_> {
    fn text(&self) -> String {
        String::from_utf8_lossy(self.body).into_owned()
    }
}

impl Client {
    pub(super) async fn connect() -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(ADDRESS)).await;
        let stream = stream.context("too late")?.context("cannot connect to the API")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: Vec::new(),
            reply: Vec::new(),
        })
    }

    /// Gives a name this one address.
    pub(super) async fn put(&mut self, name: &str, address: Ipv4Addr) -> Result<()> {
        let mut body = [0; 512];
        let mut rest = &mut body[..];
        write!(rest, r#"{{"name":"{name}","type":"A","ttl":60,"value":["{address}"]}}"#)?;
        let left = rest.len();
        let length = body.len() - left;
        let reply = self.ask("PUT", &["/api/v1/records/", name], &body[..length]).await?;
        ensure!(
            matches!(reply.status, 200 | 201),
            "PUT {name}: status {}: {}",
            reply.status,
            reply.text()
        );
        Ok(())
    }

    /// Makes a set of changes, given as JSON.
    pub(super) async fn change_set(&mut self, set: &str) -> Result<()> {
        let reply = self.ask("POST", &["/api/v1/changes"], set.as_bytes()).await?;
        ensure!(
            reply.status == 200,
            "POST changes: status {}: {}",
            reply.status,
            reply.text()
        );
        Ok(())
    }

    /// How many records a search finds, up to a page.
    pub(super) async fn search(&mut self, text: &str) -> Result<usize> {
        let reply = self.ask("GET", &["/api/v1/records?q=", text], b"").await?;
        ensure!(
            reply.status == 200,
            "GET ?q={text}: status {}: {}",
            reply.status,
            reply.text()
        );
        let page: Value = serde_json::from_slice(reply.body).context("not JSON")?;
        let records = page["records"].as_array().context("no records in a page")?;
        Ok(records.len())
    }

    /// Sends a request to a path, which is given in parts; gives its reply.
    async fn ask(&mut self, method: &str, path: &[&str], body: &[u8]) -> Result<Reply<'_>> {
        self.request.clear();
        write!(self.request, "{method} ")?;
        for part in path {
            self.request.extend_from_slice(part.as_bytes());
        }
        write!(
            self.request,
            " HTTP/1.1\r\nHost: {ADDRESS}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).await.context("cannot send")?;
        self.reply.clear();
        let (status, head, length) = loop {
            self.read().await?;
            if let Some(head) = read_head(&self.reply)? {
                break head;
            }
        };
        while self.reply.len() < head + length {
            self.read().await?;
        }
        let body = self.reply.get(head..).unwrap_or_default();
        ensure!(body.len() == length, "more than one reply to one request");
        Ok(Reply { status, body })
    }

    async fn read(&mut self) -> Result<()> {
        self.reply.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.reply).await.context("no reply")?;
        ensure!(read > 0, "the reply ends early");
        Ok(())
    }
}

/// The status, the octets of the head, and those of the body; `None` where the head is not there whole.
fn read_head(reply: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = reply.windows(END.len()).position(|octets| octets == END) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&reply[..end]).context("a head that is no text")?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("`{line}` is no status line"))?;
    let mut length = 0;
    for (field, value) in lines.filter_map(|line| line.split_once(':')) {
        if field.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("no length")?;
        } else if field.eq_ignore_ascii_case("transfer-encoding") {
            bail!("a reply of unknown length");
        }
    }
    Ok(Some((status, end + END.len(), length)))
}
