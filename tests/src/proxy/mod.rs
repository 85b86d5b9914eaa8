//! A proxy on loopback between the uploader and a store, that does to either what networks, their
//! boxes and weak stores do. For stores that are not ours and take no script.
//!
//! It is a reverse proxy: the uploader takes it for the store. What it does not change goes through
//! with its own signature; a request whose signed headers it takes out is signed again, in the name
//! of the store's owner. Each request has a connection of its own to the store, and a message is
//! kept whole in memory, so that every phase can be chosen exactly.

mod message;
mod rule;
mod sign;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::civil::DateTime;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use message::Head;
use rule::Rules;
pub use rule::{Act, Rule};
use sign::Owner;

/// How far a request's date may be from a store's (Amazon S3 error responses,
/// RequestTimeTooSkewed).
const MAX_SKEW_SECS: i64 = 900;

/// A running proxy; it ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Handle,
    task: Mutex<JoinHandle<()>>,
}

struct Shared {
    store: SocketAddr,
    owner: Owner,
    rules: Rules,
    /// Changed when idle connections are to be closed.
    epoch: watch::Sender<u64>,
}

/// How a request ends.
enum End {
    /// The connection serves the next one.
    KeepOpen,
    /// It is closed in good order.
    Close,
    /// It is reset.
    Reset,
    /// It stays, and nothing is ever said.
    Hang,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1; `store` is where requests go, `access_key` and
    /// `secret_key` its owner's.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(runtime: &Handle, store: SocketAddr, access_key: &str, secret_key: &str) -> Self {
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            store,
            owner: Owner {
                access_key: access_key.to_owned(),
                secret_key: secret_key.to_owned(),
            },
            rules: Rules::default(),
            epoch: watch::Sender::new(0),
        });
        let task = runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            runtime: runtime.clone(),
            task: Mutex::new(task),
        }
    }

    /// Where the uploader finds it.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a rule in force, and closes idle connections, which were made before it.
    pub fn arm(&self, rule: Rule) {
        self.shared.rules.arm(rule);
        self.hang_up();
    }

    /// Closes idle connections.
    pub fn hang_up(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// No rule is in force any more. A connection that hangs goes on hanging.
    pub fn clear(&self) {
        self.shared.rules.clear();
    }

    /// How often any rule has struck.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.shared.rules.struck()
    }

    /// Stops listening and ends every connection: nobody is there, until [`Proxy::up`].
    pub fn down(&self) {
        let mut task = self.task();
        task.abort();
        // Its end is awaited, so that the port is free; being aborted is how it is to end.
        let _ = self.runtime.block_on(&mut *task);
    }

    /// Listens again at the same place.
    ///
    /// # Panics
    /// When somebody else has taken the port.
    pub fn up(&self) {
        let shared = Arc::clone(&self.shared);
        let address = self.address;
        let mut task = self.task();
        *task = self.runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            accept(listener, shared).await;
        });
    }

    fn task(&self) -> std::sync::MutexGuard<'_, JoinHandle<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task().abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // The connections live in this task's set, so they end with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // An error is a peer that went away; it is not ours to report.
            let _ = shared.connection(stream).await;
        });
    }
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    // Closing then sends RST (tcp(7), SO_LINGER in socket(7)).
    stream.set_zero_linger()
}

impl Shared {
    async fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut epoch = self.epoch.subscribe();
        if self.rules.at_connect() {
            return reset(&stream);
        }
        let mut stream = BufReader::new(stream);
        loop {
            let head = tokio::select! {
                head = Head::read(&mut stream) => head?,
                _ = epoch.changed() => None,
            };
            let Some(head) = head else {
                return Ok(());
            };
            match self.request(&mut stream, head).await? {
                End::KeepOpen => {}
                End::Close => return Ok(()),
                End::Reset => return reset(stream.get_ref()),
                End::Hang => {
                    // Until the peer gives up. What it sent stays unread, or it could send on: so
                    // not READABLE, which that is already, but PRIORITY, which ends with the peer.
                    let gives_up = Interest::PRIORITY | Interest::ERROR;
                    stream.get_ref().ready(gives_up).await?;
                    return Ok(());
                }
            }
        }
    }

    async fn request(&self, peer: &mut BufReader<TcpStream>, mut head: Head) -> io::Result<End> {
        let (operation, key) = message::operation(&head.line);
        let acts = self.rules.strike(operation, &key);
        let length = head.length().unwrap_or(0);
        if acts.contains(&Act::ResetBeforeBody) {
            return Ok(End::Reset);
        }
        if head.get("expect").is_some() {
            peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let stops = acts.iter().find_map(|act| match act {
            Act::StopReading { after_bytes } => Some(*after_bytes),
            _ => None,
        });
        if let Some(after_bytes) = stops {
            message::body(peer, after_bytes.min(length)).await?;
            return Ok(End::Hang);
        }
        let body = message::body(peer, length).await?;
        if acts.contains(&Act::Silence) {
            return Ok(End::Hang);
        }
        if let Some(answer) = self.own_answer(&acts, &head) {
            return deliver(peer, &answer.0, &answer.1, operation).await;
        }
        self.rewrite(&acts, &mut head);
        if acts.contains(&Act::ResetMidBody) {
            let mut store = TcpStream::connect(self.store).await?;
            store.write_all(&head.to_bytes()).await?;
            store.write_all(&body[..length / 2]).await?;
            reset(&store)?;
            return Ok(End::Reset);
        }
        let (mut answer, bytes) = self.ask(&head, &body).await?;
        self.spoil(&acts, &mut answer, &bytes, peer, operation)
            .await
    }

    /// What is answered without asking the store.
    fn own_answer(&self, acts: &[Act], head: &Head) -> Option<(Head, Vec<u8>)> {
        acts.iter().find_map(|act| match act {
            Act::Answer {
                status,
                code,
                message,
            } => Some(error(*status, code, message, Timestamp::now())),
            Act::WrongClock(secs) => {
                let now = Timestamp::now() + SignedDuration::from_secs(*secs);
                let date = DateTime::strptime("%Y%m%dT%H%M%SZ", head.get("x-amz-date")?).ok()?;
                let date = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
                let off_secs = now.duration_since(date).as_secs().abs();
                let code = "RequestTimeTooSkewed";
                (off_secs > MAX_SKEW_SECS).then(|| error(403, code, "too far off", now))
            }
            Act::OnlyKey(access_key) => {
                let said = head.get("authorization")?;
                let known = said.contains(&format!("Credential={access_key}/"));
                let code = "InvalidAccessKeyId";
                (!known).then(|| error(403, code, "not in our records", Timestamp::now()))
            }
            _ => None,
        })
    }

    /// Changes what the store sees.
    fn rewrite(&self, acts: &[Act], head: &mut Head) {
        let mut changed = false;
        for act in acts {
            changed |= match act {
                Act::StripRequest(prefix) => head.strip(prefix),
                Act::WrongClock(_) | Act::OnlyKey(_) => true,
                _ => false,
            };
        }
        if changed {
            self.owner.sign(head, Timestamp::now());
        }
        head.set("Connection", "close");
    }

    /// Asks the store and reads its whole answer.
    async fn ask(&self, head: &Head, body: &[u8]) -> io::Result<(Head, Vec<u8>)> {
        let mut store = TcpStream::connect(self.store).await?;
        let (from, mut to) = store.split();
        let write = async {
            to.write_all(&head.to_bytes()).await?;
            to.write_all(body).await
        };
        let mut from = BufReader::new(from);
        let read = async {
            loop {
                let Some(answer) = Head::read(&mut from).await? else {
                    return Err(io::Error::other("the store closed without an answer"));
                };
                if answer.status() != Some(100) {
                    let mut bytes = Vec::new();
                    from.read_to_end(&mut bytes).await?;
                    return Ok((answer, bytes));
                }
            }
        };
        // A store may refuse before it has read everything.
        let (_, answered) = tokio::join!(write, read);
        answered
    }

    /// Does to the store's answer what is to be done, and passes on what is left of it.
    async fn spoil(
        &self,
        acts: &[Act],
        answer: &mut Head,
        bytes: &[u8],
        peer: &mut BufReader<TcpStream>,
        operation: &str,
    ) -> io::Result<End> {
        for act in acts {
            match act {
                Act::ResetBeforeAnswer => return Ok(End::Reset),
                Act::LoseAnswer => return Ok(End::Close),
                Act::SilenceAfterCommit => return Ok(End::Hang),
                Act::AnswerAfterCommit { status, code } => {
                    let (head, body) = error(*status, code, code, Timestamp::now());
                    return deliver(peer, &head, &body, operation).await;
                }
                Act::StripAnswer(prefix) => {
                    answer.strip(prefix);
                }
                Act::WrongDate(secs) | Act::WrongClock(secs) => {
                    let date = Timestamp::now() + SignedDuration::from_secs(*secs);
                    answer.set("Date", &http_date(date));
                }
                Act::ResetMidAnswer => {
                    let mut whole = answer.to_bytes();
                    whole.extend_from_slice(bytes);
                    let half = whole.len() / 2;
                    peer.write_all(&whole[..half]).await?;
                    peer.flush().await?;
                    return Ok(End::Reset);
                }
                Act::Trickle { pause } | Act::TrickleBody { pause } => {
                    let mut head = answer.to_bytes();
                    if matches!(act, Act::TrickleBody { .. }) {
                        peer.write_all(&head).await?;
                        head.clear();
                    }
                    for byte in head.iter().chain(bytes) {
                        peer.write_all(&[*byte]).await?;
                        tokio::time::sleep(*pause).await;
                    }
                    return Ok(End::Close);
                }
                _ => {}
            }
        }
        deliver(peer, answer, bytes, operation).await
    }
}

/// Passes an answer on.
async fn deliver(
    peer: &mut BufReader<TcpStream>,
    answer: &Head,
    bytes: &[u8],
    operation: &str,
) -> io::Result<End> {
    let mut answer = answer.clone();
    answer.strip("connection");
    let has_end = answer.length().is_some()
        || answer.get("transfer-encoding").is_some()
        || matches!(answer.status(), Some(204 | 304));
    if !has_end {
        answer.set("Content-Length", &bytes.len().to_string());
    }
    peer.write_all(&answer.to_bytes()).await?;
    let has_body = !operation.starts_with("Head");
    if has_body {
        peer.write_all(bytes).await?;
    }
    peer.flush().await?;
    // What the store cut short stays short.
    let is_cut = has_body && answer.length().is_some_and(|length| bytes.len() < length);
    Ok(if is_cut { End::Close } else { End::KeepOpen })
}

/// An error in S3's XML, or without a code a page of somebody who is no store.
fn error(status: u16, code: &str, message: &str, now: Timestamp) -> (Head, Vec<u8>) {
    let (kind, body) = if code.is_empty() {
        (
            "text/html",
            "<html><body>Please log in.</body></html>".to_owned(),
        )
    } else {
        let said = if message.is_empty() { code } else { message };
        (
            "application/xml",
            format!("<Error><Code>{code}</Code><Message>{said}</Message></Error>"),
        )
    };
    let head = Head {
        line: format!("HTTP/1.1 {status} Told"),
        headers: vec![
            ("Content-Type".to_owned(), kind.to_owned()),
            ("Content-Length".to_owned(), body.len().to_string()),
            ("Date".to_owned(), http_date(now)),
        ],
    };
    (head, body.into_bytes())
}

/// RFC 9110 section 5.6.7.
fn http_date(at: Timestamp) -> String {
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .expect("a year of four digits")
}
