//! The one way out of a guest: a port in its network that leads to an address outside.
//!
//! A socket belongs to the network namespace that its thread was in when it was made. So a listener
//! is made by a thread that enters the guest's network and ends; whoever connects to it inside is
//! passed on by this process, outside. There are no routes, no interfaces and no addresses on this
//! machine, so guests never meet, and nothing is left to be cleaned up.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};

use nix::sched::{CloneFlags, setns};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

/// An open way; it ends, with every connection through it, when this is dropped.
pub struct Relay {
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on `inside` in the network of process `init`, and leads to `outside`.
    pub(super) fn open(
        runtime: &Handle,
        init: u32,
        inside: SocketAddr,
        outside: SocketAddr,
    ) -> io::Result<Self> {
        let network = File::open(format!("/proc/{init}/ns/net"))?;
        let entered = std::thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            let listener = TcpListener::bind(inside)?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        });
        let listener = entered.join().map_err(|_| io::ErrorKind::Other)??;
        let listener = {
            let _within = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let task = runtime.spawn(serve(listener, outside));
        Ok(Self { task })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: tokio::net::TcpListener, outside: SocketAddr) {
    // The connections live in this task's set, so they end with it.
    let mut connections = JoinSet::new();
    while let Ok((mut inside, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            if let Ok(mut store) = TcpStream::connect(outside).await {
                // Either may hang up whenever it wants.
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut store).await;
            }
        });
    }
}
