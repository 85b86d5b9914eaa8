//! Just enough of HTTP/1.1 (RFC 9112) to read a message, change its head and send it on.
//!
//! The peers are our uploader and a store under test, so what they never send (a chunked request,
//! a trailer, an upgrade) is not understood here.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// No head is longer.
const HEAD_MAX_BYTES: usize = 64 << 10;

/// The first line and the headers of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The request line or the status line.
    pub(super) line: String,
    /// In the order in which they came, names as they were written.
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    /// Reads one; `None` when the peer has closed the connection.
    pub(super) async fn read(peer: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        loop {
            let before = text.len();
            let read = peer.read_until(b'\n', &mut text).await?;
            if read == 0 && text.is_empty() {
                return Ok(None);
            }
            if read == 0 || text.len() > HEAD_MAX_BYTES {
                return Err(io::Error::other("the head does not end"));
            }
            if text[before..].trim_ascii().is_empty() {
                break;
            }
        }
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        let mut lines = text.lines();
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Ok(Some(Self { line, headers }))
    }

    /// The value of a header, whatever the case of its name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().find(same).map(|(_, v)| v.as_str())
    }

    /// Takes every header out whose name begins so; says whether there was one.
    pub(super) fn strip(&mut self, prefix: &str) -> bool {
        let before = self.headers.len();
        self.headers
            .retain(|(name, _)| !name.to_ascii_lowercase().starts_with(prefix));
        self.headers.len() < before
    }

    /// Replaces a header.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// What `Content-Length` says.
    pub(super) fn length(&self) -> Option<usize> {
        self.get("content-length")?.parse().ok()
    }

    /// The status of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.line.split(' ').nth(1)?.parse().ok()
    }

    /// As it goes over the wire.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// Reads the body of a request.
pub(super) async fn body(
    peer: &mut (impl AsyncBufRead + Unpin),
    length: usize,
) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    peer.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The S3 operation that a request line asks for, and the object's key (path-style).
pub(super) fn operation(line: &str) -> (&'static str, String) {
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.trim_start_matches('/').split_once('/');
    let key = key.map_or("", |(_, key)| key).to_owned();
    let asks = |name: &str| query.split('&').any(|q| q.split('=').next() == Some(name));
    let operation = match (method, key.is_empty()) {
        ("HEAD", true) => "HeadBucket",
        ("HEAD", false) => "HeadObject",
        ("GET", true) if asks("versioning") => "GetBucketVersioning",
        ("GET", true) if asks("object-lock") => "GetObjectLockConfiguration",
        ("GET", true) if asks("versions") => "ListObjectVersions",
        ("GET", false) if asks("retention") => "GetObjectRetention",
        ("GET", false) if asks("uploadId") => "ListParts",
        ("GET", false) => "GetObject",
        ("PUT", false) if asks("retention") => "PutObjectRetention",
        ("PUT", false) if asks("partNumber") => "UploadPart",
        ("PUT", false) => "PutObject",
        ("POST", false) if asks("uploads") => "CreateMultipartUpload",
        ("POST", false) if asks("uploadId") => "CompleteMultipartUpload",
        ("DELETE", false) if asks("uploadId") => "AbortMultipartUpload",
        _ => "Other",
    };
    (operation, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_head_is_read_changed_and_written() {
        let text = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nX-Amz-Object-Lock-Mode: COMPLIANCE\r\n\
                     content-length: 3\r\n\r\nabc";
        let mut peer = &text[..];
        let mut head = Head::read(&mut peer).await.unwrap().unwrap();
        assert_eq!(head.length(), Some(3));
        assert_eq!(body(&mut peer, 3).await.unwrap(), b"abc");
        assert!(head.strip("x-amz-object-lock-") && !head.strip("x-amz-object-lock-"));
        head.set("HOST", "other");
        assert_eq!(
            head.to_bytes(),
            b"PUT /b/k HTTP/1.1\r\ncontent-length: 3\r\nHOST: other\r\n\r\n"
        );
        assert_eq!(Head::read(&mut peer).await.unwrap(), None);
        assert!(Head::read(&mut &b"GET / HTTP/1.1\r\n"[..]).await.is_err());
    }

    #[test]
    fn operations_are_told_apart_by_method_key_and_query() {
        for (line, name, key) in [
            (
                "PUT /b/p/k.json?x-id=PutObject HTTP/1.1",
                "PutObject",
                "p/k.json",
            ),
            (
                "PUT /b/k?retention&versionId=v HTTP/1.1",
                "PutObjectRetention",
                "k",
            ),
            (
                "PUT /b/k?partNumber=1&uploadId=u HTTP/1.1",
                "UploadPart",
                "k",
            ),
            ("POST /b/k?uploads HTTP/1.1", "CreateMultipartUpload", "k"),
            (
                "POST /b/k?uploadId=u HTTP/1.1",
                "CompleteMultipartUpload",
                "k",
            ),
            ("HEAD /b/k?versionId=v HTTP/1.1", "HeadObject", "k"),
            ("HEAD /b HTTP/1.1", "HeadBucket", ""),
            ("HEAD /b/ HTTP/1.1", "HeadBucket", ""),
            (
                "GET /b?versions&prefix=k HTTP/1.1",
                "ListObjectVersions",
                "",
            ),
            ("GET /b/?versioning HTTP/1.1", "GetBucketVersioning", ""),
            (
                "GET /b/k?versionId=v&x-id=GetObject HTTP/1.1",
                "GetObject",
                "k",
            ),
        ] {
            assert_eq!(operation(line), (name, key.to_owned()), "{line}");
        }
    }
}
