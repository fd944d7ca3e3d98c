//! Sessions on a stream in memory: what TCP does is in `tcp/tests.rs`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;
use crate::observe::figures::Figures;
use crate::query::{Answerer, AnswererFactory, Job};
use crate::serve::worker::testing::{Counts, answerer, query, settings};

/// Patience with a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Messages of a transfer, and their octets.
const MESSAGES: usize = 5000;
const MESSAGE_BYTES: usize = 1000;
/// What the stream itself holds.
const STREAM_BYTES: usize = 4096;

impl Octets for DuplexStream {
    fn is_read_closed(&self) -> bool {
        false
    }
}

/// Answers names that begin with `m` with a transfer, `n` with no message at all, and echoes others.
struct Transfers {
    made: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
}

/// Counts when it is dropped.
struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Answerer for Transfers {
    fn answer(&mut self, query: &[u8], arrival: &Arrival, out: &mut Vec<u8>) -> Disposition {
        assert!(arrival.is_proven && arrival.protocol == Protocol::Tcp);
        out.extend_from_slice(query);
        out[2] |= 0x80;
        match query[13] {
            b'm' => {
                let (made, until, head) = (Arc::clone(&self.made), OnDrop(Arc::clone(&self.given_up)), out.clone());
                Disposition::Later(Job::many(stream::iter((0..MESSAGES).map(move |number| {
                    let _until = &until;
                    made.fetch_add(1, Ordering::SeqCst);
                    let mut message = head.clone();
                    message.resize(MESSAGE_BYTES, 0);
                    message[MESSAGE_BYTES - 2..].copy_from_slice(&(number as u16).to_be_bytes());
                    message
                }))))
            }
            b'n' => Disposition::Later(Job::many(stream::empty())),
            _ => Disposition::Reply,
        }
    }
}

struct Served {
    made: Arc<AtomicUsize>,
    given_up: Arc<AtomicUsize>,
    counts: Arc<Counts>,
    admissions: Arc<Admissions>,
}

/// Runs `client` at the other end of a session, and waits for both to end.
async fn serve_to<C: Future<Output = ()>>(client: impl FnOnce(DuplexStream, Arc<Served>) -> C) -> Arc<Served> {
    let (made, given_up) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (of_made, of_given_up) = (Arc::clone(&made), Arc::clone(&given_up));
    let answerers: AnswererFactory = Arc::new(move || {
        Box::new(Transfers {
            made: Arc::clone(&of_made),
            given_up: Arc::clone(&of_given_up),
        })
    });
    let (answerer, counts) = answerer(&answerers);
    let admissions = Arc::new(Admissions::new(&settings(), Arc::<Figures>::default()));
    let address = IpAddr::from([192, 0, 2, 1]);
    let admission = admissions.admit(address).expect("a place");
    let served = Arc::new(Served {
        made,
        given_up,
        counts,
        admissions,
    });
    let (ours, theirs) = duplex(STREAM_BYTES);
    let protocol = Protocol::Tcp;
    let session = serve(
        ours,
        Client {
            address,
            port: 4242,
            protocol,
        },
        admission,
        answerer,
    );
    let both = async { tokio::join!(session, client(theirs, Arc::clone(&served))) };
    timeout(SOON, both).await.expect("both end");
    served
}

async fn ask(stream: &mut DuplexStream, id: u16, name: &str) {
    let query = query(id, name);
    stream.write_u16(query.len() as u16).await.expect("written");
    stream.write_all(&query).await.expect("written");
}

async fn read(stream: &mut DuplexStream) -> Vec<u8> {
    let length = stream.read_u16().await.expect("a length");
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.expect("a message");
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_many_messages_is_made_as_fast_as_its_client_reads() {
    // The channel, the task, the output and the stream, each with a message that is begun.
    let most_ahead = 5 + (OUTPUT_BYTES + STREAM_BYTES) / MESSAGE_BYTES + 3;
    let served = serve_to(async |mut stream, served| {
        ask(&mut stream, 1, "many.test.").await;
        let mut number = 0;
        let mut has_reply = false;
        while number < MESSAGES {
            // Slowly at first, so that all that may be made ahead is made.
            if number < 20 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if number == 10 {
                ask(&mut stream, 2, "other.test.").await;
            }
            let message = read(&mut stream).await;
            if message[1] == 2 {
                has_reply = true;
                continue;
            }
            assert_eq!(message[MESSAGE_BYTES - 2..], (number as u16).to_be_bytes());
            number += 1;
            let ahead = served.made.load(Ordering::SeqCst) - number;
            assert!(ahead <= most_ahead, "{ahead} messages wait for their client");
        }
        assert!(has_reply, "other queries are answered meanwhile");
    })
    .await;
    // An answer of many messages is one answer.
    assert_eq!(served.counts.wait(2).await.len(), 2);
    assert_eq!(served.admissions.waiting.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_ends_when_its_client_goes_away() {
    let served = serve_to(async |mut stream, _| {
        ask(&mut stream, 1, "many.test.").await;
        for _ in 0..20 {
            read(&mut stream).await;
        }
    })
    .await;
    for _ in 0..6000 {
        if served.given_up.load(Ordering::SeqCst) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(served.given_up.load(Ordering::SeqCst), 1, "the job goes on");
    assert!(served.made.load(Ordering::SeqCst) < 100);
    assert_eq!(served.admissions.waiting.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_has_finished_sending_gets_the_rest_of_a_job() {
    let served = serve_to(async |mut stream, _| {
        ask(&mut stream, 1, "none.test.").await;
        ask(&mut stream, 2, "many.test.").await;
        stream.shutdown().await.expect("shut down");
        for _ in 0..MESSAGES {
            assert_eq!(read(&mut stream).await[1], 2);
        }
        assert_eq!(stream.read(&mut [0]).await.expect("the end"), 0);
    })
    .await;
    assert_eq!(served.counts.wait(1).await.len(), 1);
}
