//! A clinic for the uploader's tests: an outbox as the agent would fill it, the sandbox's S3
//! endpoint, and an uploader in this process. Waiting means waiting for events, never for time.

use std::cell::RefCell;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use destination::{S3Destination, S3Options};
use evidence::digest::Sha256;
use evidence::handover::{
    Confirmation, ORDER_SUFFIX, Order, OrderedDestination, OrderedObject, RECEIPT_SUFFIX, Receipt,
    Role,
};
use host::config::MetricsSettings;
use jiff::Timestamp;
use sandbox::{Sandbox, SandboxOptions, Version};
use tempfile::TempDir;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use uploader::daemon::{Configured, DaemonError, Ended, Places, run};
use uploader::delivery::{BlockedItem, DestinationSummary, Ledger, Reader, Summary};
use uploader::policy::Policy;

pub(crate) const BUCKET: &str = "evidence";
pub(crate) const PREFIX: &str = "msp/";
pub(crate) const ID: &str = "primary";
pub(crate) const RETENTION_DAYS: u32 = 10;
pub(crate) const MARGIN_SECS: u64 = 3600;
/// A bound for failures only; nothing waits for it when all is well.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Clinic {
    pub(crate) sandbox: Sandbox,
    pub(crate) places: Places,
    pub(crate) policy: Policy,
    folder: TempDir,
    bundles: u64,
}

pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Ended, DaemonError>>,
}

impl Running {
    /// A clean stop.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        assert_eq!(self.task.await.unwrap().unwrap(), Ended::Stopped);
    }

    /// Like a kill: nothing is waited for or written any more.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn ended(self) -> Result<Ended, DaemonError> {
        self.task.await.unwrap()
    }
}

/// One bundle as ordered.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) order_id: String,
    pub(crate) bundle_id: String,
    /// Signature, then bundle.
    pub(crate) paths: [String; 2],
}

impl Sealed {
    pub(crate) fn key(&self, index: usize) -> String {
        format!("{PREFIX}{}", self.paths[index])
    }
}

impl Clinic {
    pub(crate) async fn new() -> Self {
        Self::over(
            Sandbox::start(SandboxOptions::with_bucket(BUCKET))
                .await
                .unwrap(),
        )
    }

    pub(crate) fn over(sandbox: Sandbox) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let places = Places {
            outbox: place("outbox"),
            evidence: place("evidence"),
            receipts: place("receipts"),
            delivery: place("delivery"),
            metrics: MetricsSettings {
                textfile_dir: None,
                interval_secs: 15,
                listen: None,
            },
            started_at: Timestamp::UNIX_EPOCH,
            audience: None,
        };
        subscribe();
        // The database is older than every order, so nothing is looked for that an earlier
        // database might have known; tests that lose it show that part.
        Ledger::open(&places.delivery, Timestamp::UNIX_EPOCH)
            .and_then(|ledger| ledger.first_scan_ended(Timestamp::UNIX_EPOCH))
            .unwrap();
        Self {
            sandbox,
            places,
            policy: quick(),
            folder,
            bundles: 0,
        }
    }

    pub(crate) fn options(&self, bucket: &str) -> S3Options {
        let identity = self.sandbox.credentials();
        let credentials = self.folder.path().join("credentials");
        std::fs::write(
            &credentials,
            format!(
                "[default]\naws_access_key_id={}\naws_secret_access_key={}\n",
                identity.access_key, identity.secret_key
            ),
        )
        .unwrap();
        S3Options {
            prefix: PREFIX.to_owned(),
            endpoint: Some(self.sandbox.endpoint()),
            path_style: true,
            credentials_file: Some(credentials),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            ..S3Options::new(ID, bucket, "us-east-1")
        }
    }

    pub(crate) async fn destination(&self, id: &str, bucket: &str) -> Configured<S3Destination> {
        Configured {
            destination_id: id.to_owned(),
            uri: uri(bucket),
            prefix: PREFIX.to_owned(),
            retention_margin_secs: MARGIN_SECS,
            store: S3Destination::connect(self.options(bucket)).await,
        }
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(vec![self.destination(ID, BUCKET).await])
    }

    pub(crate) fn start_with(&self, destinations: Vec<Configured<S3Destination>>) -> Running {
        let (stop, stopped) = oneshot::channel();
        let (places, policy) = (self.places.clone(), self.policy.clone());
        let task = tokio::spawn(async move {
            run(&places, policy, destinations, async {
                let _ = stopped.await;
            })
            .await
        });
        Running { stop, task }
    }

    /// Seals bundles as the agent would: files first, then the order, by rename.
    pub(crate) fn seal(&mut self, count: u64) -> Vec<Sealed> {
        self.seal_for(count, &[(ID, BUCKET)])
    }

    pub(crate) fn seal_for(&mut self, count: u64, destinations: &[(&str, &str)]) -> Vec<Sealed> {
        let (order, sealed) = self.order(count, destinations);
        self.publish(&order);
        sealed
    }

    pub(crate) fn order(
        &mut self,
        count: u64,
        destinations: &[(&str, &str)],
    ) -> (Order, Vec<Sealed>) {
        let first = self.bundles + 1;
        let order_id = format!("01JTESTCHAIN-{first:012}");
        let mut objects = Vec::new();
        let mut sealed = Vec::new();
        for sequence in first..first + count {
            self.bundles = sequence;
            let bundle_id = format!("EB-20261121-{sequence:04}");
            let bundle = format!("clinic/host/chain/2026/11/21/{bundle_id}.json");
            let paths = [format!("{bundle}.bundle"), bundle];
            for (path, role) in paths.iter().zip([Role::Signature, Role::Bundle]) {
                let bytes = format!("{{\"synthetic\":\"{path}\"}}\n");
                let file = self.places.evidence.join(path);
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, &bytes).unwrap();
                objects.push(OrderedObject {
                    bundle_id: bundle_id.clone(),
                    sequence,
                    role,
                    path: path.clone(),
                    size_bytes: bytes.len() as u64,
                    sha256: Sha256::of(bytes.as_bytes()),
                });
            }
            sealed.push(Sealed {
                order_id: order_id.clone(),
                bundle_id,
                paths,
            });
        }
        let order = Order {
            order_version: 1,
            order_id,
            client_id: "clinic".to_owned(),
            host_id: "host".to_owned(),
            chain_id: "chain".to_owned(),
            created_at: Timestamp::now(),
            destinations: destinations
                .iter()
                .map(|(id, bucket)| OrderedDestination {
                    destination_id: (*id).to_owned(),
                    uri: uri(bucket),
                    object_lock_mode: "COMPLIANCE".to_owned(),
                    retention_days: RETENTION_DAYS,
                })
                .collect(),
            objects,
        };
        (order, sealed)
    }

    pub(crate) fn publish(&self, order: &Order) {
        let temp = self.places.outbox.join(".tmp-order");
        std::fs::write(&temp, order.to_bytes()).unwrap();
        std::fs::rename(temp, self.order_file(&order.order_id)).unwrap();
    }

    pub(crate) fn order_file(&self, order_id: &str) -> PathBuf {
        self.places.outbox.join(format!("{order_id}{ORDER_SUFFIX}"))
    }

    pub(crate) fn reader(&self) -> Option<Reader> {
        // Damaged by a test, perhaps; the uploader will make another.
        Reader::open(&self.places.delivery).ok().flatten()
    }

    pub(crate) fn summary(&self) -> Summary {
        self.reader()
            .map(|r| r.summary(Timestamp::now()).unwrap())
            .unwrap_or_default()
    }

    pub(crate) fn primary(&self) -> Option<DestinationSummary> {
        self.summary()
            .destinations
            .into_iter()
            .find(|d| d.destination_id == ID)
    }

    pub(crate) fn blocked(&self) -> Vec<BlockedItem> {
        self.reader()
            .map(|r| r.blocked(1000).unwrap())
            .unwrap_or_default()
    }

    /// Waits until `condition` holds, looking again whenever the uploader has said something: it
    /// speaks of every change, and only after the commit.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waiting = async {
            let spoken = SPOKEN.with(Arc::clone);
            while !condition(self) {
                spoken.notified().await;
            }
        };
        if tokio::time::timeout(LIMIT, waiting).await.is_err() {
            panic!(
                "never: {what}\n{:#?}\n{:#?}",
                self.summary(),
                self.blocked()
            );
        }
    }

    /// Waits until the primary destination satisfies `condition`.
    pub(crate) async fn until_primary(
        &self,
        what: &str,
        condition: impl Fn(&DestinationSummary) -> bool,
    ) {
        self.until(what, |clinic| {
            clinic.primary().is_some_and(|d| condition(&d))
        })
        .await;
    }

    /// Waits until a line with all of these is logged.
    pub(crate) async fn until_logged(&self, log: &Log, parts: &[&str]) {
        self.until(&format!("logged: {parts:?}"), |_| log.has(parts))
            .await;
    }

    /// Waits until everything ordered for the primary destination is confirmed and reported.
    pub(crate) async fn until_confirmed(&self, objects: u64) {
        self.until(
            &format!("{objects} objects confirmed and reported"),
            |clinic| {
                let summary = clinic.summary();
                summary.unreported == 0
                    && summary
                        .destinations
                        .iter()
                        .any(|d| d.destination_id == ID && d.counts.confirmed == objects)
            },
        )
        .await;
    }

    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        let mut names: Vec<_> = std::fs::read_dir(&self.places.receipts)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().ends_with(RECEIPT_SUFFIX))
            .collect();
        names.sort();
        names
            .iter()
            .map(|path| Receipt::parse(&std::fs::read(path).unwrap()).unwrap())
            .collect()
    }

    pub(crate) fn confirmations(&self) -> Vec<Confirmation> {
        self.receipts()
            .into_iter()
            .flat_map(|r| r.confirmations)
            .collect()
    }

    /// What the agent does: takes the receipts, and removes the order when it has them all.
    pub(crate) fn take_receipts(&self) {
        for entry in std::fs::read_dir(&self.places.receipts).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    pub(crate) fn versions(&self, key: &str) -> Vec<Version> {
        self.sandbox.store().versions(BUCKET, key)
    }

    /// Every object of every bundle is stored exactly once, locked in COMPLIANCE mode.
    pub(crate) fn assert_stored_once(&self, sealed: &[Sealed]) {
        for bundle in sealed {
            for index in 0..2 {
                let versions = self.versions(&bundle.key(index));
                assert_eq!(versions.len(), 1, "{versions:#?}");
                let retention = versions[0].lock.retention.expect("locked");
                assert_eq!(retention.mode, sandbox::Mode::Compliance);
            }
        }
    }

    /// A client that is not the uploader, with the same credentials.
    pub(crate) fn foreign(&self) -> aws_sdk_s3::Client {
        let identity = self.sandbox.credentials();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url(self.sandbox.endpoint())
            .force_path_style(true)
            .credentials_provider(Credentials::new(
                identity.access_key.clone(),
                identity.secret_key.clone(),
                None,
                None,
                "test",
            ))
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }
}

pub(crate) fn uri(bucket: &str) -> String {
    format!("s3://{bucket}/{PREFIX}")
}

/// Delays of milliseconds.
pub(crate) fn quick() -> Policy {
    Policy {
        in_flight: 4,
        backoff_min: Duration::from_millis(2),
        backoff_max: Duration::from_millis(30),
        conflict_retry_max: Duration::from_millis(3),
        breaker_threshold: 3,
        park_probe: Duration::from_millis(20),
        preflight_every: Duration::from_hours(24),
        rescan_every: Duration::from_millis(200),
        receipt_linger: Duration::from_millis(2),
        reissue_after: Duration::from_mins(10),
        keep_finished: Duration::from_hours(24),
        single_put_max_bytes: 64 << 20,
        part_min_bytes: 5 << 20,
        body_memory_bytes: 32 << 20,
        drain: Duration::from_secs(5),
        content_md5: true,
    }
}

/// What was logged on this thread since it was made. Each test has a thread of its own, on which
/// all its tasks run; the subscriber is global, since tracing caches what nobody wants to hear.
pub(crate) struct Log;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SPOKEN: Arc<Notify> = Arc::new(Notify::new());
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        SPOKEN.with(|spoken| spoken.notify_one());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn subscribe() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter("uploader=debug")
            .with_writer(|| Lines)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

impl Log {
    pub(crate) fn start() -> Self {
        LINES.with_borrow_mut(Vec::clear);
        Self
    }

    pub(crate) fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
    }

    /// Whether one line has all of these.
    pub(crate) fn has(&self, parts: &[&str]) -> bool {
        self.text()
            .lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    }
}
