//! Somebody is told: of what is wrong, once, and of its end, whatever dies meanwhile.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandbox::{Action, Fault};
use serde_json::Value;
use tests::clinic::{Clinic, Place, Role};
use tests::incident::document;

/// One request that was sent to us.
#[derive(Debug, Clone)]
struct Post {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Post {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Somebody who is told, and answers as it is told to.
struct Listener {
    address: SocketAddr,
    posts: Receiver<Post>,
    status: Arc<Mutex<u16>>,
}

impl Listener {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, posts) = channel();
        let status = Arc::new(Mutex::new(200));
        let answers = Arc::clone(&status);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                let mut piece = [0; 4096];
                let post = loop {
                    let n = stream.read(&mut piece).unwrap_or(0);
                    bytes.extend_from_slice(&piece[..n]);
                    match parse(&bytes) {
                        Some(post) => break post,
                        None if n == 0 => break parse(b"BROKEN\r\n\r\n").unwrap(),
                        None => {}
                    }
                };
                let status = *answers.lock().unwrap();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                if sender.send(post).is_err() || stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self {
            address,
            posts,
            status,
        }
    }

    fn answer(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    fn next(&self) -> Post {
        let patience = Duration::from_secs(90);
        self.posts.recv_timeout(patience).expect("nobody was told")
    }
}

fn parse(bytes: &[u8]) -> Option<Post> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let post = Post {
        line: lines.next().unwrap().to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: bytes[end..].to_vec(),
    };
    let length: usize = post.header("content-length").parse().unwrap_or(0);
    (post.body.len() >= length).then_some(post)
}

fn closed_file(clinic: &Clinic, name: &str, text: &str) -> PathBuf {
    let path = clinic.dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    path
}

/// A clinic that tells `listener`'s webhook, and whoever `more` says, at once.
fn telling(listener: &Listener, more: &str) -> Clinic {
    let clinic = Clinic::new();
    let url = format!("http://{}/hook?token=SECRET-TOKEN\n", listener.address);
    let url = closed_file(&clinic, "webhook-url", &url);
    let key = closed_file(&clinic, "webhook-key", "SECRET-KEY\n");
    let section = format!(
        "[notify]\nhold_secs = 0\nwebhook_url_file = \"{}\"\nwebhook_key_file = \"{}\"\n{more}",
        url.display(),
        key.display()
    );
    clinic.configure(&[Place::sandbox("main", &clinic.sandbox)], &section);
    clinic
}

/// What the post is signed with, by a program that is not ours.
fn signed_by_openssl(post: &Post) -> String {
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "SECRET-KEY"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = openssl.stdin.take().unwrap();
    let at = post.header("x-msp-evidence-timestamp");
    stdin.write_all(format!("{at}.").as_bytes()).unwrap();
    stdin.write_all(&post.body).unwrap();
    drop(stdin);
    let output = openssl.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha256={}", text.trim().rsplit(' ').next().unwrap())
}

fn told(post: &Post) -> (String, String, Value) {
    let json = post.json();
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    (text("event"), text("kind"), json["subject"].clone())
}

#[test]
fn a_destination_that_refuses_and_its_end_are_told_once_to_everybody_and_name_nobody() {
    let (listener, chat, topic) = (Listener::new(), Listener::new(), Listener::new());
    let clinic = Clinic::new();
    let slack = closed_file(
        &clinic,
        "slack-url",
        &format!("http://{}/services/T0/B0/SECRET-TOKEN", chat.address),
    );
    let page = clinic.dir.path().join("paged.json");
    let more = format!(
        "slack_url_file = \"{}\"\nsns_topic_arn = \"arn:aws:sns:eu-west-1:123456789012:alarms\"\n\
         sns_endpoint = \"http://{}\"\nsns_profile = \"main\"\n\
         command = [\"/bin/sh\", \"-c\", \"cat >>$0; env >>$0.env\", \"{}\"]\n",
        slack.display(),
        topic.address,
        page.display()
    );
    let mut clinic_telling = telling(&listener, &more);
    let fault = Fault::always(Action::answer(403, "AccessDenied"));
    let fault = clinic_telling.sandbox.faults().add(fault);
    clinic_telling.start(Role::Agent);
    clinic_telling.start(Role::Uploader);
    clinic_telling.drop_document("patient-name.json", &document("INC-SECRET-1"));

    let parked = listener.next();
    let parked_told = ("raised".to_owned(), "parked".to_owned(), "main".into());
    assert_eq!(told(&parked), parked_told);
    assert_eq!(parked.line, "POST /hook?token=SECRET-TOKEN HTTP/1.1");
    assert_eq!(parked.header("content-type"), "application/json");
    assert_eq!(parked.header("idempotency-key"), parked.json()["id"]);
    assert_eq!(
        parked.header("x-msp-evidence-signature"),
        signed_by_openssl(&parked)
    );
    assert_eq!(parked.json()["code"], "AccessDenied");
    let message = chat.next();
    assert_eq!(message.line, "POST /services/T0/B0/SECRET-TOKEN HTTP/1.1");
    let text = message.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("clinic-a/host-1: main refuses us"), "{text}");
    let published = topic.next();
    let form = String::from_utf8(published.body.clone()).unwrap();
    assert!(
        form.starts_with("Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns"),
        "{form}"
    );
    let authorization = published.header("authorization");
    assert!(
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=")
            && authorization.contains("/eu-west-1/sns/aws4_request"),
        "{authorization}"
    );

    clinic_telling.sandbox.faults().remove(fault);
    let recovered = listener.next();
    let recovered_told = ("recovered".to_owned(), "parked".to_owned(), "main".into());
    assert_eq!(told(&recovered), recovered_told);
    clinic_telling.drop_document("Jane Doe.json", b"{");
    let quarantine = listener.next();
    assert_eq!(
        told(&quarantine),
        ("raised".to_owned(), "quarantine".to_owned(), Value::Null)
    );
    assert_eq!(quarantine.json()["count"], 1);

    let read = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
    clinic_telling.wait_until("three pages", |_| read(&page).lines().count() == 3);
    let environment = read(&page.with_extension("json.env"));
    assert!(
        environment.contains("PATH=") && !environment.contains("AWS"),
        "{environment}"
    );
    let mut all = read(&page);
    for post in [&parked, &message, &published, &recovered, &quarantine] {
        all.push_str(&String::from_utf8_lossy(&post.body));
    }
    for name in ["Jane", "patient", "INC-", "EB-", "SECRET"] {
        assert!(!all.contains(name), "{name} in {all}");
    }
    clinic_telling.stop(Role::Uploader);
    let book = read(&clinic_telling.state("delivery").join("notify.json"));
    assert!(
        !book.contains("SECRET") && book.contains("quarantine"),
        "{book}"
    );
    assert!(listener.posts.try_recv().is_err(), "once each");
}

#[test]
fn what_was_not_taken_is_told_after_a_crash_under_the_same_id_and_not_told_anew_after_it_was() {
    let listener = Listener::new();
    listener.answer(503);
    let mut clinic = telling(&listener, "");
    clinic
        .sandbox
        .faults()
        .add(Fault::always(Action::answer(403, "AccessDenied")));
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    let first = listener.next();
    let again = listener.next();
    assert_eq!(first.json(), again.json(), "tried again by itself");
    clinic.kill(Role::Uploader);
    listener.answer(200);
    clinic.start(Role::Uploader);
    // What was on its way when the process was killed may come first.
    let taken = listener.next();
    assert_eq!(taken.json(), first.json());
    clinic.wait_until("the note that it was taken", |c| {
        let book = fs::read(c.state("delivery").join("notify.json")).unwrap();
        let book: Value = serde_json::from_slice(&book).unwrap();
        book["waiting"].as_array().unwrap().is_empty()
    });
    while listener.posts.try_recv().is_ok() {}
    // Parked all the while: another start tells nothing new of it.
    clinic.stop(Role::Uploader);
    clinic.start(Role::Uploader);
    clinic.drop_document("broken.json", b"{");
    assert_eq!(told(&listener.next()).1, "quarantine");
}

#[test]
fn starts_that_fail_are_told_by_the_uploader_and_of_the_agent_and_so_is_their_end() {
    let listener = Listener::new();
    let mut clinic = telling(&listener, "");
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("confirmation", Clinic::is_confirmed);
    clinic.stop(Role::Uploader);
    // A database of a version to come.
    let path = clinic.state("delivery").join("delivery.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    database.pragma_update(None, "user_version", 1000).unwrap();
    drop(database);
    let why = clinic.start_that_fails(Role::Uploader);
    assert!(why.contains("delivery.db"), "{why}");
    assert_eq!(
        told(&listener.next()),
        ("raised".to_owned(), "start_failed".to_owned(), Value::Null)
    );
    let _ = clinic.start_that_fails(Role::Uploader);
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .pragma_update(None, "user_version", version)
        .unwrap();
    drop(database);
    clinic.start(Role::Uploader);
    assert_eq!(
        told(&listener.next()),
        (
            "recovered".to_owned(),
            "start_failed".to_owned(),
            Value::Null
        ),
        "told once, however often it failed"
    );

    clinic.stop(Role::Agent);
    let key = clinic.dir.path().join("keys/evidence.key");
    fs::rename(&key, key.with_extension("away")).unwrap();
    let _ = clinic.start_that_fails(Role::Agent);
    assert_eq!(
        told(&listener.next()),
        (
            "raised".to_owned(),
            "agent_alarm".to_owned(),
            "start_failed".into()
        )
    );
    fs::rename(key.with_extension("away"), &key).unwrap();
    clinic.start(Role::Agent);
    assert_eq!(
        told(&listener.next()),
        (
            "recovered".to_owned(),
            "agent_alarm".to_owned(),
            "start_failed".into()
        )
    );
}

#[test]
fn an_address_that_others_can_read_is_not_used_and_the_evidence_goes_on() {
    let listener = Listener::new();
    let mut clinic = telling(&listener, "");
    let url = clinic.dir.path().join("webhook-url");
    fs::set_permissions(&url, fs::Permissions::from_mode(0o644)).unwrap();
    clinic.start(Role::Agent);
    clinic.start(Role::Uploader);
    clinic.drop_document("one.json", &document("INC-1"));
    clinic.wait_until("confirmation", Clinic::is_confirmed);
    let alarms = clinic.cli_json(&["status", "--json"])["alarms"].clone();
    assert_eq!(alarms[0]["code"], "notify", "{alarms}");
    let words = alarms[0]["message"].as_str().unwrap();
    assert!(
        words.contains("chmod") && !words.contains("SECRET"),
        "{words}"
    );
}
