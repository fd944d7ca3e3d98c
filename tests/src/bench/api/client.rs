//! A client of the HTTP API over one connection that stays open (HTTP/1.1, RFC 9112), as cheap as can be: it shares the
//! processors with the server that it measures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

const ADDRESS: &str = "127.0.0.1:8080";

pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn connect() -> Result<Self> {
        let stream = TcpStream::connect(ADDRESS).context("cannot connect to the API")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Gives a name this one address.
    pub(super) fn put(&mut self, name: &str, address: Ipv4Addr) -> Result<()> {
        let body = format!(r#"{{"name":"{name}","type":"A","ttl":60,"value":["{address}"]}}"#);
        let (status, text) = self.ask("PUT", &format!("/api/v1/records/{name}"), &body)?;
        ensure!(matches!(status, 200 | 201), "PUT {name}: status {status}: {text}");
        Ok(())
    }

    /// Makes a set of changes, given as JSON.
    pub(super) fn change_set(&mut self, set: &str) -> Result<()> {
        let (status, text) = self.ask("POST", "/api/v1/changes", set)?;
        ensure!(status == 200, "POST changes: status {status}: {text}");
        Ok(())
    }

    /// How many records a search finds, up to a page.
    pub(super) fn search(&mut self, text: &str) -> Result<usize> {
        let (status, body) = self.ask("GET", &format!("/api/v1/records?q={text}"), "")?;
        ensure!(status == 200, "GET ?q={text}: status {status}: {body}");
        let page: Value = serde_json::from_str(&body).context("not JSON")?;
        let records = page["records"].as_array().context("no records in a page")?;
        Ok(records.len())
    }

    /// Sends a request; gives its status and body.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream
            .get_mut()
            .write_all(request.as_bytes())
            .context("cannot send")?;
        let mut line = String::new();
        self.stream.read_line(&mut line).context("no reply")?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("`{line}` is no status line"))?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((field, value)) = line.trim_end().split_once(':') else {
                break;
            };
            if field.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().context("no length")?;
            } else if field.eq_ignore_ascii_case("transfer-encoding") {
                bail!("a reply of unknown length");
            }
        }
        let mut octets = vec![0; length];
        self.stream.read_exact(&mut octets).context("the reply ends early")?;
        Ok((status, String::from_utf8(octets).context("no UTF-8")?))
    }
}
