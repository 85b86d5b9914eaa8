//! A request's body that the HTTP layer can go on reading after S3 has answered.
//!
//! An error answered before the body was read would leave its bytes in the socket; the connection
//! would have to be closed and the client might see a reset in place of the answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::exchange::Exchange;

/// A body shared between whoever handles the request and the layer that drains it.
#[derive(Clone)]
pub(crate) struct RequestBody {
    incoming: Arc<Mutex<Incoming>>,
    exchange: Exchange,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, exchange: Exchange) -> Self {
        Self {
            incoming: Arc::new(Mutex::new(incoming)),
            exchange,
        }
    }

    /// Reads what is left and throws it away.
    pub(crate) async fn drain(mut self) {
        while let Some(Ok(_)) = self.frame().await {}
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = {
            let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            Pin::new(&mut *incoming).poll_frame(cx)
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
        {
            self.exchange.see_body(piece);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .size_hint()
    }
}
