//! Response bodies that dribble or break off.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use http_body_util::channel::Channel;

/// Sends `body` in pieces of `piece_bytes`, each after a pause.
pub(crate) fn slow(body: s3s::Body, piece_bytes: usize, pause: Duration) -> s3s::Body {
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(1);
    tokio::spawn(async move {
        let mut body = body;
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            while data.has_remaining() {
                tokio::time::sleep(pause).await;
                let piece = data.split_to(piece_bytes.clamp(1, data.len()));
                if sender.send_data(piece).await.is_err() {
                    return;
                }
            }
        }
    });
    s3s::Body::http_body_unsync(channel)
}

/// Sends the first `after_bytes` of `body` and then breaks off.
pub(crate) fn cut(body: s3s::Body, after_bytes: usize) -> s3s::Body {
    let (mut sender, channel) = Channel::<Bytes, std::io::Error>::new(1);
    tokio::spawn(async move {
        let mut body = body;
        let mut left = after_bytes;
        while left > 0 {
            let Some(Ok(frame)) = body.frame().await else {
                break;
            };
            let Ok(mut data) = frame.into_data() else {
                continue;
            };
            let piece = data.split_to(left.min(data.len()));
            left -= piece.len();
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
        sender.abort(std::io::Error::other("cut by a scripted fault"));
    });
    s3s::Body::http_body_unsync(channel)
}
