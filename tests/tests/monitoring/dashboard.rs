//! A real Prometheus with node_exporter asks real daemons: every query of the dashboard and of the
//! alerts finds what it asks for, once there is something to find.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sandbox::{Action, Fault, Sandbox, SandboxOptions};
use serde_json::Value;
use tests::clinic::{BUCKET, Clinic, Place, Role, files_below};
use tests::incident::document;
use tests::tools::{Tool, find, workspace_root};

use crate::rules::shipped;
use crate::told::{body_of, free_port, metrics_section};

const NAME: &str = "every_query_of_the_dashboard_and_of_the_alerts_finds_data";

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Prometheus {
    address: SocketAddr,
    _processes: [Running; 2],
}

impl Prometheus {
    /// Scrapes the textfiles through node_exporter, and `uploader` itself, every second.
    fn start(clinic: &Clinic, uploader: SocketAddr, programs: &[std::path::PathBuf; 2]) -> Self {
        let [prometheus, exporter] = programs;
        let local = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let (address, exported) = (local(), local());
        let root = clinic.dir.path();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{}/packaging/monitoring/alerts.yml]\n\
             scrape_configs:\n\
             - {{job_name: node, static_configs: [{{targets: ['{exported}']}}]}}\n\
             - {{job_name: uploader, static_configs: [{{targets: ['{uploader}']}}]}}\n",
            workspace_root().display()
        );
        fs::write(root.join("prometheus.yml"), config).unwrap();
        let spawn = |program: &Path, arguments: &[String]| {
            let name = program.file_name().unwrap().to_string_lossy();
            let log = fs::File::create(root.join(format!("{name}.log"))).unwrap();
            let mut command = Command::new(program);
            command.args(arguments).stdin(Stdio::null());
            command.stdout(log.try_clone().unwrap()).stderr(log);
            Running(command.spawn().unwrap())
        };
        let shown = root.display();
        let exporter = spawn(
            exporter,
            &[
                "--collector.disable-defaults".to_owned(),
                "--collector.textfile".to_owned(),
                format!("--collector.textfile.directory={shown}/metrics"),
                format!("--web.listen-address={exported}"),
            ],
        );
        let prometheus = spawn(
            prometheus,
            &[
                format!("--config.file={shown}/prometheus.yml"),
                format!("--storage.tsdb.path={shown}/prometheus"),
                format!("--web.listen-address={address}"),
            ],
        );
        Self {
            address,
            _processes: [prometheus, exporter],
        }
    }

    /// The answer to a call of its API; null while it does not answer.
    fn ask(&self, path: &str) -> Value {
        let body = body_of(self.address, &format!("GET /api/v1/{path}"));
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        assert_ne!(answer["status"], "error", "{path}: {answer}");
        answer["data"].clone()
    }

    /// How many samples a query finds.
    fn finds(&self, query: &str) -> usize {
        let mut encoded = String::from("query?query=");
        for byte in query.bytes() {
            if byte.is_ascii_alphanumeric() {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        self.ask(&encoded)["result"].as_array().map_or(0, Vec::len)
    }

    /// The names of the alerts that wait to fire, or do.
    fn alerts(&self) -> BTreeSet<String> {
        let alerts = self.ask("alerts")["alerts"].clone();
        let names = alerts.as_array().into_iter().flatten();
        names
            .map(|a| a["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Every query of the dashboard, as it is asked for all hosts.
fn queries_of_dashboard() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(expr)) = fields.get("expr") {
                    found.push(expr.clone());
                }
                if let Some(Value::String(definition)) = fields.get("definition") {
                    let inner = definition.strip_prefix("label_values(").unwrap();
                    let (metric, label) =
                        inner.strip_suffix(')').unwrap().split_once(", ").unwrap();
                    found.push(format!("count by ({label}) ({metric})"));
                }
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&shipped("dashboard.json")).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
        .iter()
        .map(|query| {
            query
                .replace("$instance", ".*")
                .replace("$destination", ".*")
                .replace("$__rate_interval", "1m")
        })
        .collect()
}

/// The metrics that a query reads, each with its labels.
fn selectors(query: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest
        .find("msp_evidence_")
        .into_iter()
        .chain(rest.find("node_"))
        .min()
    {
        let name = &rest[start..];
        let end = name.find(|c| !is_name(c)).unwrap_or(name.len());
        let labels = match name[end..].strip_prefix('{') {
            Some(labels) => labels.find('}').unwrap() + 2,
            None => 0,
        };
        found.push(name[..end + labels].to_owned());
        rest = &name[end + labels..];
    }
    found
}

/// A clinic with a bucket that works and one that refuses, monitored.
fn troubled() -> (Clinic, SocketAddr, Sandbox) {
    let clinic = Clinic::new();
    let refusing = clinic
        .runtime()
        .block_on(Sandbox::start(SandboxOptions::with_bucket(BUCKET)))
        .unwrap();
    refusing
        .faults()
        .add(Fault::always(Action::answer(403, "AccessDenied")));
    let (section, address) = metrics_section(&clinic);
    let places = [
        Place::sandbox("main", &clinic.sandbox),
        Place::sandbox("refusing", &refusing),
    ];
    // Nobody takes what is to be told.
    let section = format!("{section}[notify]\ncommand = [\"/bin/false\"]\n");
    clinic.configure(&places, &section);
    (clinic, address, refusing)
}

#[test]
fn every_query_of_the_dashboard_and_of_the_alerts_finds_data() {
    let (Some(prometheus), Some(exporter)) =
        (find(Tool::Prometheus, NAME), find(Tool::NodeExporter, NAME))
    else {
        return;
    };
    let (mut clinic, address, _refusing) = troubled();
    let prometheus = Prometheus::start(&clinic, address, &[prometheus, exporter]);

    // An artifact that is not what was sealed any more: its upload fails, and is blocked in the end.
    clinic.start(Role::Agent);
    clinic.drop_folder("one", &document("INC-1"), &[("a.log", b"bytes")]);
    clinic.wait_until("a sealed incident", |c| !c.incidents().is_empty());
    clinic.stop(Role::Agent);
    let artifact = files_below(&clinic.state("evidence"))
        .into_iter()
        .find(|path| path.ends_with("a.log"))
        .unwrap();
    fs::remove_file(&artifact).unwrap();
    fs::write(&artifact, b"other").unwrap();
    // What the uploader cannot read, and what the agent cannot remove.
    fs::write(clinic.state("outbox").join("x.order.json"), "{").unwrap();
    let stuck = clinic.state("receipts").join("x.receipt.json");
    fs::create_dir_all(stuck.join("inside")).unwrap();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.wait_until("the first samples", |_| {
        prometheus.finds("msp_evidence_quarantined_total") > 0
    });
    // Then what is quarantined, and what was seen before, is growth.
    clinic.drop_document("two.json", &document("INC-2"));
    clinic.drop_document("broken.json", b"{");
    clinic.wait_until("the second incident", |c| c.incidents().len() == 2);
    clinic.drop_document("two-again.json", &document("INC-2"));

    let rules = prometheus.ask("rules");
    let rules: Vec<Value> = rules["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.len() > 15, "{rules:#?}");
    let queries = queries_of_dashboard();
    assert!(queries.len() > 40, "{queries:#?}");
    let read: BTreeSet<String> = rules
        .iter()
        .flat_map(|rule| selectors(rule["query"].as_str().unwrap()))
        .collect();
    assert!(
        read.contains("msp_evidence_destination_state{state=\"parked\"}"),
        "{read:?}"
    );
    for query in queries.iter().chain(&read) {
        clinic.wait_until(query, |_| prometheus.finds(query) > 0);
    }
    for alert in [
        "MspEvidenceAlarm",
        "MspEvidenceBlocked",
        "MspEvidenceDestinationParked",
        "MspEvidenceQuarantineForgotten",
        "MspEvidenceQuarantineGrows",
        "MspEvidenceUnreadableOrders",
    ] {
        clinic.wait_until(alert, |_| prometheus.alerts().contains(alert));
    }
    assert!(!prometheus.alerts().contains("MspEvidenceDaemonDown"));
    clinic.stop(Role::Uploader);
    clinic.wait_until("the alert of a daemon that stopped", |_| {
        prometheus.alerts().contains("MspEvidenceDaemonDown")
    });
    let rules = prometheus.ask("rules")["groups"][0]["rules"].clone();
    for rule in rules.as_array().unwrap() {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }
}
