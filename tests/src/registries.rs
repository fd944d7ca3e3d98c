//! Registries and proxies for tests that fail as they are told: small HTTP servers with the replies of Consul, Nomad,
//! Traefik and Caddy.
//!
//! A query with `?index=…` waits, as at Consul, until what is said has another index. An event stream says nothing but
//! that it lives, and ends where something is wrong.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

/// What is wrong with a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Each reply has this status.
    Status(u16),
    /// Replies break off in the middle.
    Cut,
    /// Connections are closed without a reply.
    Closed,
    /// Replies are no JSON.
    Garbage,
    /// Replies come octet by octet, a second for each, and so never end.
    Trickle,
    /// Replies are right, and come after this time.
    Late(Duration),
}

/// A registry, until it is dropped.
pub struct Registry {
    /// Where it answers.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

struct State {
    fault: Fault,
    /// Replies, by path without the query.
    replies: BTreeMap<String, String>,
    index: u64,
}

impl Registry {
    /// Starts one that knows no path.
    ///
    /// # Errors
    /// There is no port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = State {
            fault: Fault::None,
            replies: BTreeMap::new(),
            index: 1,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                // Clients that are gone are no error.
                thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Ok(Self { address, shared })
    }

    /// From now on a path says this.
    pub fn set(&self, path: &str, body: &Value) {
        let mut state = self.shared.lock();
        state.replies.insert(path.to_owned(), body.to_string());
        state.index += 1;
        self.shared.changed.notify_all();
    }

    /// From now on this is wrong. Queries that wait learn it at once.
    pub fn fail(&self, fault: Fault) {
        self.shared.lock().fault = fault;
        self.shared.changed.notify_all();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        // The listener looks once it has a client.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it is so, and this lives.
    fn wait_while(&self, is_so: impl Fn(&State) -> bool) {
        let mut state = self.lock();
        while is_so(&state) && !self.is_over.load(Ordering::Relaxed) {
            let waited = self.changed.wait_timeout(state, Duration::from_millis(200));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Answers one query, and closes the connection.
    fn serve(&self, mut client: TcpStream) -> Result<()> {
        let mut head = Vec::new();
        let mut octet = [0];
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut octet)?;
            head.push(octet[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let index = query.split('&').find_map(|part| part.strip_prefix("index="));
        if let Some(index) = index {
            self.wait_while(|state| state.fault == Fault::None && state.index.to_string() == index);
        }
        let (fault, body, index) = {
            let state = self.lock();
            (state.fault, state.replies.get(path).cloned(), state.index)
        };
        let right = match &body {
            Some(body) => reply("200 OK", index, body),
            None => reply("404 Not Found", index, "no such path"),
        };
        match fault {
            Fault::None if path.ends_with("/event/stream") => self.stream(&mut client)?,
            Fault::None => client.write_all(right.as_bytes())?,
            Fault::Late(time) => {
                thread::sleep(time);
                client.write_all(right.as_bytes())?;
            }
            Fault::Status(status) => {
                client.write_all(reply(&format!("{status} Wrong"), index, "not now").as_bytes())?;
            }
            Fault::Cut => client.write_all(&right.as_bytes()[..right.len() - 2])?,
            Fault::Closed => {}
            Fault::Garbage => client.write_all(reply("200 OK", index, "<html>hello</html>").as_bytes())?,
            Fault::Trickle => {
                for octet in right.as_bytes() {
                    client.write_all(&[*octet])?;
                    thread::sleep(Duration::from_secs(1));
                    if self.is_over.load(Ordering::Relaxed) || self.lock().fault != Fault::Trickle {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn stream(&self, client: &mut TcpStream) -> Result<()> {
        client.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\n{}\n\r\n")?;
        self.wait_while(|state| state.fault == Fault::None);
        Ok(())
    }
}

fn reply(status: &str, index: u64, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nX-Consul-Index: {index}\r\nX-Nomad-Index: {index}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
