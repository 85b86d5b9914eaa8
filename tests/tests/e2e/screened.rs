//! Nothing sensitive anywhere: the real programs get drops with secrets and identifiers in every place that a drop has,
//! and then everything that they wrote, said, sent or hold in memory is searched.
//!
//! What is not searched is the drop itself where it lies in quarantine: it is kept as it came, for whoever mends it.
//!
//! Of memory it holds that what was freed is wiped, by the agent's allocator. What is left are copies that no allocator
//! sees: a few bytes in stack frames that are no longer used, and in structures that were moved out of such frames. So
//! of hundreds of secrets at most one in a hundred may be found. And the buffer in which the C library lists a folder
//! keeps the names of drops: what drops are called is searched for everywhere but in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Child;

use screen::Screen;
use serde_json::{Value, json};
use tests::clinic::{BUCKET, Clinic, Place, Role, files_below};
use tests::screening::SEED;
use tests::screening::judge::ours;
use tests::screening::leak::{leaked, struck_out};
use tests::screening::search::Needles;
use tests::screening::sensitive::{Form, Sample, sensitive};

use crate::incident::document;

/// Of each class and form so many lines, of those that the rules find at all: which these are, the test of the corpus
/// says.
const EACH: usize = 2;
/// As long as a block of SHA-256.
const END: &str = "the end of a log, which is sixty-four bytes long and harmless...";

fn samples() -> Vec<Sample> {
    let screen = Screen::built_in();
    let mut taken: BTreeMap<(String, Form), usize> = BTreeMap::new();
    let mut samples = sensitive(SEED);
    samples.retain(|sample| {
        let alarms = ours(&screen, &sample.text);
        let ranges: Vec<_> = alarms.into_iter().map(|(_, range)| range).collect();
        let left = struck_out(&sample.text, &ranges);
        let is_caught = leaked(&left, &sample.secrets, &sample.around).is_none();
        let count = taken
            .entry((sample.class.clone(), sample.form))
            .or_default();
        *count += usize::from(is_caught);
        is_caught && *count <= EACH
    });
    samples
}

/// A text that a file may be named by.
fn file_name(sample: &Sample) -> Option<&str> {
    let text = sample.text.as_str();
    (sample.form == Form::Plain
        && text.len() < 120
        && !text.contains(['/', '\n'])
        && !text.starts_with(['.', '-']))
    .then_some(text)
}

/// By class the line that its drops are named by.
fn named(samples: &[Sample]) -> BTreeMap<&str, &Sample> {
    let mut named = BTreeMap::new();
    for sample in samples.iter().filter(|s| file_name(s).is_some()) {
        named.entry(sample.class.as_str()).or_insert(sample);
    }
    named
}

/// A drop document with the lines of one class in each place that takes text.
fn drop_with(id: &str, lines: &[&Sample]) -> Value {
    let mut document: Value = serde_json::from_slice(&document(id)).unwrap();
    let text = |n: usize| Value::from(lines[n % lines.len()].text.as_str());
    let all: Vec<&str> = lines.iter().map(|s| s.text.as_str()).collect();
    document["incident"]["details"] = json!({
        "log": all.join("\n"), "list": all, "nested": {"deeper": [{"note": text(1)}]},
        lines[0].text.as_str(): "a key", "by_line": {lines[1 % lines.len()].text.as_str(): {"more": text(2)}},
    });
    // At most 256 characters and one line.
    if let Some(name) = lines.iter().find_map(|s| file_name(s)) {
        document["execution"]["operator"] = Value::from(name);
    }
    let step = &mut document["actions"][0];
    step["stdout_excerpt"] = text(4);
    step["stderr_excerpt"] = text(5);
    step["error_message"] = text(6);
    document["artifacts"] = json!({
        "log_excerpts": {"syslog": text(7), lines[2 % lines.len()].text.as_str(): text(8)},
        "outputs": {"said": text(9)}, "checksums": {},
    });
    document["outputs"]["note"] = text(10);
    document["anything_else"] = json!({"unknown": [text(11)]});
    document
}

/// Hands over, for each class: a document, a folder with artifacts, and what cannot be sealed. Returns how many drops
/// must be sealed and how many not.
fn hand_over(clinic: &Clinic, samples: &[Sample]) -> (usize, usize) {
    let classes: BTreeSet<&str> = samples.iter().map(|s| s.class.as_str()).collect();
    let names = named(samples);
    let mut malformed = 0;
    for class in &classes {
        let lines: Vec<&Sample> = samples.iter().filter(|s| s.class == *class).collect();
        let name = names.get(class).and_then(|s| file_name(s));
        let named =
            |what: &str| name.map_or(format!("{class}-{what}"), |name| format!("{name} {what}"));
        let document = drop_with(&format!("INC-{class}"), &lines);
        clinic.drop_document(
            &format!("{}.json", named("document")),
            document.to_string().as_bytes(),
        );

        let whole: Vec<&str> = lines.iter().map(|s| s.text.as_str()).collect();
        // Far from each other, too, and over the pieces in which a file is read.
        let log = format!("{}\n{END}\n", whole.join("\n"));
        let long = whole.join(&format!("\n{}\n", "nothing to see here\n".repeat(4000)));
        let document = drop_with(&format!("INC-{class}-folder"), &lines);
        clinic.drop_folder(
            &named("folder"),
            document.to_string().as_bytes(),
            &[
                (&format!("{}.log", named("log")), log.as_bytes()),
                ("long.txt", format!("{long}\n{END}\n").as_bytes()),
            ],
        );

        let mut no_string = drop_with(&format!("INC-{class}-wrong"), &lines);
        no_string["incident"]["severity"] = json!({lines[0].text.as_str(): 1});
        let cut = drop_with(&format!("INC-{class}-cut"), &lines).to_string();
        let key = Value::from(lines[0].text.as_str());
        let twice = format!("{{{key}:1,{key}:2}}");
        for (what, bytes) in [
            ("wrong", no_string.to_string()),
            ("cut", cut[..cut.len() - 9].to_owned()),
            ("twice", twice),
        ] {
            clinic.drop_document(&format!("{}.json", named(what)), bytes.as_bytes());
            malformed += 1;
        }
    }
    (2 * classes.len(), malformed)
}

/// A place, and the secrets that are there.
type Leaks = Vec<(String, BTreeSet<(String, &'static str)>)>;

/// Everything outside the processes: files, what they are called, and what the store holds.
fn search_what_is_written(clinic: &Clinic, needles: &Needles) -> Leaks {
    let mut leaks = Leaks::new();
    let mut look = |place: &str, bytes: &[u8]| {
        let found = needles.find(bytes);
        if !found.is_empty() {
            leaks.push((place.to_owned(), found));
        }
    };
    let root = clinic.dir.path();
    for path in files_below(root) {
        let shown = path
            .strip_prefix(root)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let is_drop = shown.starts_with("state/quarantine/") && !shown.ends_with(".reason.json");
        if !is_drop {
            look(&shown, &fs::read(&path).unwrap());
        }
        look(&format!("the name {shown}"), shown.as_bytes());
    }
    let store = Place::sandbox("main", &clinic.sandbox).client();
    for version in clinic.sandbox.store().all_versions(BUCKET) {
        look(&format!("the key {}", version.key), version.key.as_bytes());
        let got = store
            .get_object()
            .bucket(BUCKET)
            .key(&version.key)
            .version_id(&version.version_id);
        let body = clinic
            .runtime()
            .block_on(async { got.send().await.unwrap().body.collect().await.unwrap() });
        look(&format!("object {}", version.key), &body.into_bytes());
    }
    for command in [
        &["status", "--json"][..],
        &["quarantine", "list", "--json"],
        &["quarantine", "list"],
        &["blocked", "list"],
        &["doctor", "--json"],
        &["fsck", "--bucket"],
    ] {
        let output = clinic.cli(command);
        look(
            &format!("{command:?}"),
            &[output.stdout, output.stderr].concat(),
        );
    }
    leaks
}

fn in_short(leaks: &Leaks) -> String {
    leaks
        .iter()
        .take(40)
        .map(|(place, found)| format!("{place}: {:?}\n", found.iter().take(3).collect::<Vec<_>>()))
        .collect()
}

/// A clinic that has had all these drops, with its daemons still running.
fn clinic_after(samples: &[Sample], more: &str) -> (Clinic, Child, Child) {
    let mut clinic = Clinic::new();
    clinic.configure(&[Place::sandbox("main", &clinic.sandbox)], more);
    let (sealed, refused) = hand_over(&clinic, samples);
    let agent = clinic.spawn(Role::Agent);
    let uploader = clinic.spawn(Role::Uploader);
    clinic.wait_until("every drop to be sealed or refused", |c| {
        let reasons = files_below(&c.state("quarantine"));
        let reasons = reasons
            .iter()
            .filter(|p| p.to_string_lossy().ends_with(".reason.json"));
        c.is_settled() && reasons.count() == refused && c.incidents().len() == sealed
    });
    (clinic, agent, uploader)
}

/// Ends a daemon in good order, so that it has said all that it says.
fn stop(mut child: Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn nothing_sensitive_is_in_files_objects_logs_or_memory_and_without_screening_it_is_everywhere() {
    let samples = samples();
    let needles = Needles::of(samples.iter().flat_map(|s| &s.secrets));
    assert!(needles.secrets() > 400, "{}", needles.secrets());

    let (clinic, agent, uploader) = clinic_after(&samples, "filter = \"debug\"\n");
    let in_names: BTreeSet<&String> = named(&samples)
        .into_values()
        .flat_map(|s| &s.secrets)
        .collect();
    let mut memory = Leaks::new();
    for (who, pid) in [("agent", agent.id()), ("uploader", uploader.id())] {
        let (mut found, read) = needles.find_in_process(pid);
        found.retain(|(secret, _)| !in_names.contains(secret));
        assert!(read > 4 << 20, "{read} bytes of the {who}");
        let secrets: BTreeSet<&String> = found.iter().map(|(secret, _)| secret).collect();
        if secrets.len() * 100 > needles.secrets() {
            memory.push((format!("the memory of the {who}"), found));
        }
    }
    // While they run the database has its log beside it, after a stop it may have free pages.
    let running = search_what_is_written(&clinic, &needles);
    stop(agent);
    stop(uploader);
    let stopped = search_what_is_written(&clinic, &needles);
    let leaks = [memory, running, stopped].concat();
    assert!(leaks.is_empty(), "{}", in_short(&leaks));
    let sealed: String = clinic
        .incidents()
        .iter()
        .map(|(path, _)| fs::read_to_string(path).unwrap())
        .collect();
    assert!(
        sealed.matches(screen::MARKER_START).count() > 1000,
        "something else kept it out"
    );

    // The same search, so that it is known to find what is there.
    let few: Vec<Sample> = samples
        .iter()
        .filter(|s| ["ssn", "email", "jwt"].contains(&s.class.as_str()))
        .cloned()
        .collect();
    let (clinic, agent, uploader) = clinic_after(&few, "[screening]\nenabled = false\n");
    let (in_agent, _) = needles.find_in_process(agent.id());
    stop(agent);
    stop(uploader);
    let places: BTreeSet<String> = search_what_is_written(&clinic, &needles)
        .into_iter()
        .map(|(place, _)| kind_of(&place))
        .collect();
    let wanted = ["a name", "evidence", "object", "quarantine", "spool"];
    for place in wanted {
        assert!(places.contains(place), "{place} is not in {places:?}");
    }
    // And that the memory holds no such things is no matter of where they would be.
    assert!(!in_agent.is_empty());
}

fn kind_of(place: &str) -> String {
    if place.starts_with("the ") {
        return "a name".to_owned();
    }
    let path = Path::new(place.strip_prefix("state/").unwrap_or(place));
    let first = path
        .components()
        .next()
        .map(|c| c.as_os_str().to_string_lossy().into_owned());
    first
        .unwrap_or_default()
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}
