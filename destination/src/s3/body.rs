//! A request's body in pieces, and the time that it may take.
//!
//! A body handed over in one piece is "sent" for the SDK as soon as it is in the connection's
//! buffer, and a store that stops reading is noticed only when the time for the whole request is
//! over. In pieces, each is asked for when there is room for it, and stalled-stream protection
//! sees that nobody asks any more. Signing and checksums still see the bytes as a whole.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// What is handed over at once.
const PIECE_BYTES: usize = 64 << 10;
/// A line that carries less is as good as broken: 64 MiB would take longer than half an hour.
const SLOWEST_BYTES_PER_SEC: u64 = 32 << 10;

/// The bytes as a body in pieces.
pub(super) fn in_pieces(bytes: &Bytes) -> ByteStream {
    let pieces = Pieces(bytes.clone());
    let whole = SdkBody::from(bytes.clone());
    ByteStream::new(whole.map_preserve_contents(move |_| SdkBody::from_body_1_x(pieces.clone())))
}

/// The configuration of one request with a body of this size: the time for an answer, and for
/// each byte before it.
pub(super) fn patient(
    size_bytes: usize,
    connect: Duration,
    answer: Duration,
) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().timeout_config(
        TimeoutConfig::builder()
            .connect_timeout(connect)
            .operation_timeout(answer + transfer(size_bytes))
            .build(),
    )
}

/// The longest time that the bytes themselves may take, in either direction.
pub(super) fn transfer(size_bytes: usize) -> Duration {
    Duration::from_secs(size_bytes as u64 / SLOWEST_BYTES_PER_SEC)
}

#[derive(Clone)]
struct Pieces(Bytes);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.0.len().min(PIECE_BYTES);
        crate::traffic::moved(size);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_piece_that_is_taken_counts_as_moved() {
        let before = crate::bytes_moved();
        let bytes = Bytes::from(vec![7; 2 * PIECE_BYTES]);
        let mut pieces = Pieces(bytes);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let _ = Pin::new(&mut pieces).poll_frame(&mut context);
        // Other tests move bytes, too.
        assert!(crate::bytes_moved() >= before + PIECE_BYTES as u64);
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_the_body_and_the_signer_sees_it_whole() {
        let bytes = Bytes::from(vec![7; 3 * PIECE_BYTES + 1]);
        let mut stream = in_pieces(&bytes);
        assert_eq!(stream.bytes(), Some(bytes.as_ref()));
        let mut sizes = Vec::new();
        while let Some(piece) = stream.next().await {
            sizes.push(piece.unwrap().len());
        }
        assert_eq!(sizes, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 1]);
        assert!(in_pieces(&Bytes::new()).next().await.is_none());
    }

    #[test]
    fn the_time_for_a_transfer_grows_with_its_size() {
        assert_eq!(transfer(1), Duration::ZERO);
        assert_eq!(transfer(64 << 20), Duration::from_secs(2048));
    }
}
