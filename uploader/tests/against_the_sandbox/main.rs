//! The uploader against the sandbox's S3 endpoint, in one process: every way in which delivery
//! goes well, goes wrong and recovers.

mod clinic;
mod error_table;
mod happy_path;
mod keys;
mod locks;
mod multipart;
mod outage;
mod restarts;
