//! A destination in a process of its own: the environment belongs to the process, and credentials
//! and proxies come from it.
//!
//! The process is this test program again, told to run [`obeys`] only. It does what it reads from
//! its standard input, line by line, and answers each line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use destination::{CaBundle, Class, Destination as _, S3Destination, S3Options};

use crate::BUCKET;
use crate::calls::request;

/// Set in that process: the endpoint, or empty for AWS's own.
const ENDPOINT: &str = "DESTINATION_TEST_ENDPOINT";
/// What an answer's line begins with; the test program prints others.
const ANSWER: &str = "answer: ";
/// The options that a test may set, each by a variable.
pub(crate) const PROFILE: &str = "DESTINATION_TEST_PROFILE";
pub(crate) const PROCESS_SECS: &str = "DESTINATION_TEST_PROCESS_SECS";
pub(crate) const VIRTUAL_HOST: &str = "DESTINATION_TEST_VIRTUAL_HOST";
pub(crate) const FIPS: &str = "DESTINATION_TEST_FIPS";
pub(crate) const DUAL_STACK: &str = "DESTINATION_TEST_DUAL_STACK";
pub(crate) const CA_FILE: &str = "DESTINATION_TEST_CA_FILE";

/// The process; ends when dropped.
pub(crate) struct Alone {
    child: Child,
    orders: ChildStdin,
    answers: std::io::Lines<BufReader<ChildStdout>>,
}

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It succeeded.
    Done,
    /// It failed: class and code, and the message.
    Failed(String, String),
}

impl Said {
    /// The message of a failure that parks for want of credentials.
    pub(crate) fn no_credentials(self) -> String {
        match self {
            Self::Failed(kind, message) if kind == "Park NoCredentials" => message,
            other => panic!("{other:?}"),
        }
    }
}

impl Alone {
    /// Starts it with nothing in its environment but this, `PATH` and an empty home.
    pub(crate) fn start(endpoint: &str, environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap().keep();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "alone::obeys", "--nocapture"])
            .env_clear()
            .env("HOME", home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env(ENDPOINT, endpoint)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            orders,
            answers,
        }
    }

    /// Puts an object and says how that went.
    pub(crate) fn put(&mut self, key: &str) -> Said {
        self.order(key)
    }

    /// Builds the client anew, as the uploader does before it probes a parked destination.
    pub(crate) fn rebuild(&mut self) {
        assert_eq!(self.order("!rebuild"), Said::Done);
    }

    fn order(&mut self, line: &str) -> Said {
        writeln!(self.orders, "{line}").unwrap();
        loop {
            let line = self.answers.next().expect("it goes on").unwrap();
            let Some(answer) = line.strip_prefix(ANSWER) else {
                continue;
            };
            return match answer.split_once(": ") {
                None => Said::Done,
                Some((kind, message)) => Said::Failed(kind.to_owned(), message.to_owned()),
            };
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test but the other process; without its variable it has nothing to do.
#[tokio::test]
async fn obeys() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else {
        return;
    };
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let text = |name: &str| std::env::var(name).ok();
    let mut options = S3Options {
        endpoint: Some(endpoint).filter(|url| !url.is_empty()),
        path_style: !is_set(VIRTUAL_HOST),
        use_fips: is_set(FIPS),
        use_dual_stack: is_set(DUAL_STACK),
        profile: text(PROFILE),
        ca: text(CA_FILE).map(|file| CaBundle::from_pem(&std::fs::read(file).unwrap()).unwrap()),
        ..S3Options::new("test", BUCKET, "us-east-1")
    };
    if let Some(secs) = text(PROCESS_SECS) {
        options.credential_process_timeout = Duration::from_secs(secs.parse().unwrap());
    }
    let store = S3Destination::connect(options).await;
    for line in std::io::stdin().lines() {
        let result = match line.unwrap().as_str() {
            "!rebuild" => store.rebuild().await,
            key => store.put(&request(key, b"evidence")).await.map(drop),
        };
        match result {
            Ok(()) => println!("{ANSWER}done"),
            Err(failure) => {
                let class: Class = failure.class;
                println!("{ANSWER}{class:?} {}: {}", failure.code, failure.message);
            }
        }
    }
}
