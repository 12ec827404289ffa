//! TLS on the admin listener: hands shaken beside each other, with the certificate that is in force when somebody comes.

use crate::admin::Live;
use openssl::ssl::Ssl;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_openssl::SslStream;

/// How many hands are shaken at once; others wait in the system's queue.
const SHAKING_MAX: usize = 64;
/// How long that may take.
const SHAKEN_WITHIN: Duration = Duration::from_secs(10);
/// After what pause is tried again to accept where the system cannot, for want of descriptors say.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Somebody who came, and from where.
type Come = (SslStream<TcpStream>, SocketAddr);

/// The listener, behind which hands are shaken.
#[derive(Debug)]
pub(super) struct Secured {
    address: io::Result<SocketAddr>,
    come: mpsc::Receiver<Come>,
    _shaking: JoinSet<()>,
}

impl Secured {
    /// On `listener`, with what `live` shows.
    pub(super) fn new(listener: TcpListener, live: Live) -> Self {
        let (sender, come) = mpsc::channel(1);
        let mut shaking = JoinSet::new();
        let address = listener.local_addr();
        shaking.spawn(accept(listener, live, sender));
        Self { address, come, _shaking: shaking }
    }
}

async fn accept(listener: TcpListener, live: Live, come: mpsc::Sender<Come>) {
    let mut shaking = JoinSet::new();
    loop {
        while shaking.len() >= SHAKING_MAX {
            shaking.join_next().await;
        }
        while shaking.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                tokio::time::sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        let Some(door) = live.current().door.clone() else { continue };
        let come = come.clone();
        shaking.spawn(async move {
            let Ok(mut stream) =
                Ssl::new(door.context()).and_then(|ssl| SslStream::new(ssl, stream))
            else {
                return;
            };
            let shaken = timeout(SHAKEN_WITHIN, Pin::new(&mut stream).accept()).await;
            if matches!(shaken, Ok(Ok(()))) {
                // Where nobody serves any more, nobody is to be told.
                let _ = come.send((stream, from)).await;
            }
        });
    }
}

impl axum::serve::Listener for Secured {
    type Io = SslStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Come {
        match self.come.recv().await {
            Some(come) => come,
            // Whoever accepts does so for as long as this is there.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address.as_ref().copied().map_err(|error| error.kind().into())
    }
}
