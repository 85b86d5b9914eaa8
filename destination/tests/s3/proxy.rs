//! A proxy that knows names no resolver knows, and writes down what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Ends when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Leads connections for each name to its address; refuses every other.
    pub(crate) async fn start(names: &[(&str, SocketAddr)]) -> Self {
        let names: Arc<BTreeMap<String, SocketAddr>> = Arc::new(
            names
                .iter()
                .map(|(name, address)| ((*name).to_owned(), *address))
                .collect(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, Arc::clone(&names), Arc::clone(&seen)));
            }
        });
        Self {
            address,
            heads,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head of the first request of each connection, oldest first.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 9110 section 9.3.6 for CONNECT, RFC 9112 section 3.2.2 for the others.
async fn pass_on(
    mut stream: TcpStream,
    names: Arc<BTreeMap<String, SocketAddr>>,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let mut bytes = Vec::new();
    let end = loop {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    seen.lock().unwrap().push(head.clone());
    let target = head.split(' ').nth(1).unwrap();
    let connects = head.starts_with("CONNECT ");
    let authority = target.trim_start_matches("http://");
    let name = authority.split(['/', ':']).next().unwrap();
    let Some(address) = names.get(name) else {
        // It may have gone.
        let refused = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(refused).await;
        return;
    };
    let mut behind = TcpStream::connect(address).await.unwrap();
    let first = if connects {
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await
    } else {
        // Servers must take the absolute form too, so nothing is rewritten.
        behind.write_all(&bytes).await
    };
    first.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
}
