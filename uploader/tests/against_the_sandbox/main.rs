//! The uploader against the sandbox's S3 endpoint, in one process: every way in which delivery
//! goes well, goes wrong and recovers.

mod clinic;
mod happy_path;
