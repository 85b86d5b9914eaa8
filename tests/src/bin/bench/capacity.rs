//! What evidence costs: disk on the host, requests and storage at the bucket, and money.
//!
//! Requests are counted by the store that gets them, bytes on the disk by the blocks that files take.
//! Prices are inputs: they differ by region and change. S3 bills PUT, COPY, POST and LIST as one class,
//! GET, HEAD and everything else as another, and nothing for DELETE.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tests::clinic::{Clinic, Place, Role, files_below};

const HOURS_PER_YEAR: f64 = 8766.0;
/// The folders of the state folder that grow with evidence.
const FOLDERS: [&str; 6] = [
    "spool", "evidence", "outbox", "receipts", "delivery", "drop",
];

#[derive(Args)]
pub(crate) struct Options {
    /// So many incidents are sealed, uploaded and confirmed.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    incidents: usize,
    /// Each drop is at least so large.
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    bytes: usize,
    /// So many custody intervals are waited for, a minute each, while nothing happens.
    #[arg(long, value_name = "N", default_value_t = 3)]
    idle_intervals: u32,
    /// The custody interval that a year is counted with, in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 3600)]
    custody_interval_secs: u32,
    /// 1,000 requests of the PUT class, in dollars.
    #[arg(long, value_name = "USD", default_value_t = 0.005)]
    put_price: f64,
    /// 1,000 requests of the GET class, in dollars.
    #[arg(long, value_name = "USD", default_value_t = 0.0004)]
    get_price: f64,
    /// A GB stored for a month, in dollars.
    #[arg(long, value_name = "USD", default_value_t = 0.023)]
    storage_price: f64,
    /// Years that evidence is kept.
    #[arg(long, value_name = "YEARS", default_value_t = 6.0)]
    years: f64,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What one stretch of work took.
#[derive(Clone, Default)]
struct Taken {
    requests: BTreeMap<String, u64>,
    /// By folder, in bytes of the blocks taken.
    disk_bytes: BTreeMap<&'static str, i64>,
    stored_objects: u64,
    stored_bytes: u64,
}

pub(crate) fn run(options: &Options) {
    let mut clinic = Clinic::new();
    clinic.configure(&[Place::sandbox("main", &clinic.sandbox)], "");
    clinic.edit_configuration("[agent]\n", "[agent]\ncustody_interval_secs = 60\n");
    let began = Instant::now();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.wait_until("the first custody to be confirmed", Clinic::is_confirmed);
    let start = measure(&clinic);
    eprintln!("started after {:.1} s", began.elapsed().as_secs_f64());

    for n in 0..options.incidents {
        let id = format!("INC-{n:06}");
        clinic.drop_document(&format!("{id}.json"), &document(&id, options.bytes));
    }
    let incidents = options.incidents;
    clinic.wait_until("every incident to be confirmed", |clinic| {
        clinic.is_settled() && clinic.is_confirmed()
    });
    assert_eq!(clinic.incidents().len(), incidents, "each is sealed once");
    eprintln!(
        "{incidents} incidents confirmed after {:.1} s",
        began.elapsed().as_secs_f64()
    );

    // What is still to be said of the incidents comes with the next custody; the idle time begins after it.
    wait_for_custody(&mut clinic, 2);
    let quiet = measure(&clinic);
    wait_for_custody(&mut clinic, options.idle_intervals);
    let idle = measure(&clinic);

    let result = Result {
        start: start.clone(),
        incidents: difference(&quiet, &start),
        idle: difference(&idle, &quiet),
    };
    if options.json {
        println!("{:#}", result.to_json(options));
    } else {
        result.print(options);
    }
}

/// Waits for so many more custody bundles, each until all is confirmed.
fn wait_for_custody(clinic: &mut Clinic, more: u32) {
    for _ in 0..more {
        let before = clinic.bundles().len();
        clinic.wait_until("custody of an idle minute", |clinic| {
            clinic.is_settled() && clinic.bundles().len() > before && clinic.is_confirmed()
        });
    }
}

fn measure(clinic: &Clinic) -> Taken {
    let requests = clinic
        .sandbox
        .log()
        .counts()
        .into_iter()
        .map(|(operation, count)| (operation, count.arrived))
        .collect();
    let disk_bytes = FOLDERS
        .map(|folder| (folder, blocks_below(&clinic.state(folder))))
        .into();
    let (stored_objects, stored_bytes) = clinic.runtime().block_on(stored(clinic));
    Taken {
        requests,
        disk_bytes,
        stored_objects,
        stored_bytes,
    }
}

async fn stored(clinic: &Clinic) -> (u64, u64) {
    let place = Place::sandbox("main", &clinic.sandbox);
    let client = place.client();
    let mut pages = client
        .list_objects_v2()
        .bucket(&place.bucket)
        .into_paginator()
        .send();
    let (mut objects, mut bytes) = (0, 0);
    while let Some(page) = pages.next().await {
        for object in page.unwrap().contents() {
            objects += 1;
            bytes += u64::try_from(object.size().unwrap_or(0)).unwrap_or(0);
        }
    }
    (objects, bytes)
}

/// What the files below a folder take of the disk (stat(2): blocks of 512 bytes).
fn blocks_below(folder: &Path) -> i64 {
    files_below(folder)
        .iter()
        .filter_map(|path| std::fs::symlink_metadata(path).ok())
        .map(|file| file.blocks() as i64 * 512)
        .sum()
}

fn difference(after: &Taken, before: &Taken) -> Taken {
    let requests = after
        .requests
        .iter()
        // Ours, of measuring.
        .filter(|(operation, _)| *operation != "ListObjectsV2")
        .map(|(operation, n)| {
            (
                operation.clone(),
                n - before.requests.get(operation).unwrap_or(&0),
            )
        })
        .filter(|(_, n)| *n > 0)
        .collect();
    let disk_bytes = after
        .disk_bytes
        .iter()
        .map(|(folder, n)| (*folder, n - before.disk_bytes.get(folder).unwrap_or(&0)))
        .collect();
    Taken {
        requests,
        disk_bytes,
        stored_objects: after.stored_objects - before.stored_objects,
        stored_bytes: after.stored_bytes - before.stored_bytes,
    }
}

impl Taken {
    /// Requests of the classes PUT and GET, as S3 bills them.
    fn classes(&self) -> (u64, u64) {
        let (mut puts, mut gets) = (0, 0);
        for (operation, n) in &self.requests {
            if operation.starts_with("Delete") {
                continue;
            }
            let is_put = [
                "Put", "Copy", "Post", "List", "Create", "Upload", "Complete",
            ]
            .iter()
            .any(|start| operation.starts_with(start));
            *(if is_put { &mut puts } else { &mut gets }) += n;
        }
        (puts, gets)
    }

    fn to_json(&self) -> Value {
        let (put_class, get_class) = self.classes();
        json!({
            "requests": self.requests,
            "put_class": put_class,
            "get_class": get_class,
            "disk_bytes": self.disk_bytes,
            "stored_objects": self.stored_objects,
            "stored_bytes": self.stored_bytes,
        })
    }
}

/// What was measured: until the start was over, for the incidents, and while nothing happened.
struct Result {
    start: Taken,
    incidents: Taken,
    idle: Taken,
}

/// Dollars for requests, and for keeping what was stored.
struct Cost {
    requests: f64,
    storage: f64,
}

fn cost(options: &Options, taken: &Taken, times: f64) -> Cost {
    let (puts, gets) = taken.classes();
    let months = options.years * 12.0;
    Cost {
        requests: (puts as f64 * options.put_price + gets as f64 * options.get_price) / 1000.0
            * times,
        storage: taken.stored_bytes as f64 / 1e9 * options.storage_price * months * times,
    }
}

impl Result {
    fn per_thousand(options: &Options) -> f64 {
        1000.0 / options.incidents as f64
    }

    fn per_year(options: &Options) -> f64 {
        let intervals = HOURS_PER_YEAR * 3600.0 / f64::from(options.custody_interval_secs);
        intervals / f64::from(options.idle_intervals)
    }

    fn to_json(&self, options: &Options) -> Value {
        let money = |taken, times| {
            let cost = cost(options, taken, times);
            json!({"requests_usd": cost.requests, "storage_usd": cost.storage})
        };
        json!({
            "incidents": options.incidents,
            "drop_bytes": options.bytes,
            "idle_intervals": options.idle_intervals,
            "custody_interval_secs": options.custody_interval_secs,
            "years": options.years,
            "prices": {"put_per_1000": options.put_price, "get_per_1000": options.get_price,
                "gb_month": options.storage_price},
            "of_the_start": self.start.to_json(),
            "of_the_incidents": self.incidents.to_json(),
            "of_the_idle_intervals": self.idle.to_json(),
            "cost_of_1000_incidents": money(&self.incidents, Self::per_thousand(options)),
            "cost_of_an_idle_year": money(&self.idle, Self::per_year(options)),
        })
    }

    fn print(&self, options: &Options) {
        let row = |what: &str, thousand: f64, year: f64| {
            println!("{what:<34} {thousand:>16.2} {year:>20.0}");
        };
        let (thousand, year) = (Self::per_thousand(options), Self::per_year(options));
        println!(
            "{:<34} {:>16} {:>20}",
            "", "1,000 incidents", "an idle host's year"
        );
        let (incident_puts, incident_gets) = self.incidents.classes();
        let (idle_puts, idle_gets) = self.idle.classes();
        row(
            "requests, PUT class",
            incident_puts as f64 * thousand,
            idle_puts as f64 * year,
        );
        row(
            "requests, GET class",
            incident_gets as f64 * thousand,
            idle_gets as f64 * year,
        );
        row(
            "objects",
            self.incidents.stored_objects as f64 * thousand,
            self.idle.stored_objects as f64 * year,
        );
        row(
            "stored, MB",
            self.incidents.stored_bytes as f64 / 1e6 * thousand,
            self.idle.stored_bytes as f64 / 1e6 * year,
        );
        for folder in FOLDERS {
            let of = |taken: &Taken| *taken.disk_bytes.get(folder).unwrap_or(&0) as f64 / 1e6;
            row(
                &format!("disk of {folder}, MB"),
                of(&self.incidents) * thousand,
                of(&self.idle) * year,
            );
        }
        let (incidents, idle) = (
            cost(options, &self.incidents, thousand),
            cost(options, &self.idle, year),
        );
        let dollars = |what: &str, thousand: f64, year: f64| {
            println!("{what:<34} {thousand:>16.4} {year:>20.4}");
        };
        dollars("requests, $", incidents.requests, idle.requests);
        dollars(
            &format!("storage for {} years, $", options.years),
            incidents.storage,
            idle.storage,
        );
        let (puts, gets) = self.start.classes();
        println!(
            "a start, and each day's look at the bucket: at most {puts} PUT-class and {gets} GET-class requests"
        );
        println!(
            "prices: {} and {} for 1,000 requests, {} a GB and month; custody every {} s, measured over {} intervals",
            options.put_price,
            options.get_price,
            options.storage_price,
            options.custody_interval_secs,
            options.idle_intervals
        );
        println!(
            "by operation: incidents {:?}, idle {:?}",
            self.incidents.requests, self.idle.requests
        );
    }
}

/// A drop of so many bytes or a little more, with log lines as an executor has them.
pub(crate) fn document(id: &str, bytes: usize) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(&tests::incident::document(id)).unwrap();
    let mut log = String::new();
    let mut n = 0;
    while serde_json::to_vec(&document).unwrap().len() + log.len() < bytes {
        n += 1;
        log.push_str(&format!(
            "2026-01-02T09:51:{:02}Z backup[{n}]: chunk {n} of set {id} written\n",
            n % 60
        ));
    }
    document["artifacts"] = json!({"log_excerpts": {"backup.log": log}});
    serde_json::to_vec(&document).unwrap()
}
