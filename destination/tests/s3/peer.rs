//! A peer that answers with fixed bytes: for what the sandbox never does, and to see requests as
//! they are on the wire.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// One per connection; each answer closes its connection.
pub(crate) struct Peer {
    pub(crate) endpoint: String,
    requests: Receiver<Vec<u8>>,
}

/// A request as it came.
pub(crate) struct Seen {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

impl Peer {
    /// Answers each connection in turn; when the answers are used up it hangs up.
    pub(crate) fn answering(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else {
                    return;
                };
                let Some(request) = request(&mut stream) else {
                    continue;
                };
                // Whoever asks no more has seen enough.
                let _ = sender.send(request);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { endpoint, requests }
    }

    /// The next request.
    pub(crate) fn seen(&self) -> Seen {
        let bytes = self.requests.recv_timeout(Duration::from_secs(10)).unwrap();
        let end = head_end(&bytes).unwrap();
        Seen {
            head: String::from_utf8_lossy(&bytes[..end]).into_owned(),
            body: bytes[end..].to_vec(),
        }
    }

    /// How many requests came that were not looked at yet.
    pub(crate) fn unseen(&self) -> usize {
        self.requests.try_iter().count()
    }
}

/// An answer with a length, a date and these headers.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n"
    );
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !headers.iter().any(|h| h.starts_with("Content-Length")) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 65_536];
    loop {
        if let Some(end) = head_end(&bytes) {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0);
            if bytes.len() >= end + length {
                return Some(bytes);
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}
