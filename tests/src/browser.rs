//! A headless Chromium, driven over the pipe of its DevTools protocol: no driver is installed, no port
//! is opened, and what the page asks for or complains of is seen as it happens.
//!
//! `--remote-debugging-pipe` reads messages from descriptor 3 and writes them to 4, each ended by a zero
//! byte; a shell puts our pipes there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Nothing that a test asks for takes so long; more is a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    next_id: u64,
    events: Vec<Value>,
    runs_scripts: bool,
    _profile: TempDir,
}

/// How the page is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Width of the window in CSS pixels.
    pub width: u32,
    /// Height of the window in CSS pixels.
    pub height: u32,
    /// Whether it is a phone.
    pub phone: bool,
    /// Whether the reader prefers a dark scheme.
    pub dark: bool,
    /// Whether it is looked at as if printed.
    pub print: bool,
}

impl Browser {
    /// Starts the browser `program`.
    ///
    /// # Panics
    /// When it does not start or does not answer.
    pub fn start(program: &Path) -> Self {
        let profile = TempDir::new().expect("a folder for the profile");
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2"])
            .arg(program)
            // Its own sandbox needs rights that root in a container does not have; it opens nothing
            // but our own file.
            .args(["--headless=new", "--no-sandbox", "--remote-debugging-pipe"])
            .args([
                "--disable-gpu",
                "--no-first-run",
                "--disable-extensions",
                "--disable-sync",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let to = child.stdin.take().expect("it is piped");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let (send, from) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while out.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else {
                    return;
                };
                if send.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            session: None,
            next_id: 0,
            events: Vec::new(),
            runs_scripts: true,
            _profile: profile,
        };
        browser.open_page();
        browser
    }

    fn open_page(&mut self) {
        let page = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = self.call(
            "Target.attachToTarget",
            json!({"targetId": page["targetId"], "flatten": true}),
        );
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Sends a command and returns its result.
    ///
    /// # Panics
    /// When the browser refuses it or does not answer.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser listens");
        loop {
            let mut message = self.receive(method);
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    fn receive(&mut self, waiting_for: &str) -> Value {
        match self.from.recv_timeout(PATIENCE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("{waiting_for}: no answer in {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                panic!(
                    "{waiting_for}: the browser ended: {:?}",
                    self.child.try_wait()
                )
            }
        }
    }

    /// Opens a file, waits until it is loaded, and returns everything that happened meanwhile.
    ///
    /// # Panics
    /// When it does not load.
    pub fn open(&mut self, file: &Path) -> Vec<Value> {
        self.events.clear();
        let url = format!("file://{}", file.display());
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        while !self
            .events
            .iter()
            .any(|event| event["method"] == "Page.loadEventFired")
        {
            let event = self.receive("the page is loaded");
            self.events.push(event);
        }
        // Whatever a page asks for once it is drawn has been told before this is answered.
        if self.runs_scripts {
            self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))");
        } else {
            self.picture();
        }
        std::mem::take(&mut self.events)
    }

    /// Looks at the page so.
    ///
    /// # Panics
    /// As [`Browser::call`].
    pub fn look(&mut self, look: Look) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": look.width, "height": look.height, "mobile": look.phone,
                "deviceScaleFactor": if look.phone { 2 } else { 1 }}),
        );
        let scheme = if look.dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            json!({"media": if look.print { "print" } else { "screen" },
                "features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
    }

    /// What a script says, promises awaited.
    ///
    /// # Panics
    /// When it throws.
    pub fn evaluate(&mut self, script: &str) -> Value {
        let mut answer = self.call(
            "Runtime.evaluate",
            json!({"expression": script, "awaitPromise": true, "returnByValue": true}),
        );
        assert!(
            answer["exceptionDetails"].is_null(),
            "{}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].take()
    }

    /// Whether pages that are opened from now on may run scripts; questions can be asked all the same.
    ///
    /// # Panics
    /// As [`Browser::call`].
    pub fn allow_scripts(&mut self, allowed: bool) {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({"value": !allowed}),
        );
        self.runs_scripts = allowed;
    }

    /// Presses the tabulator once.
    ///
    /// # Panics
    /// As [`Browser::call`].
    pub fn press_tab(&mut self) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}),
            );
        }
    }

    /// A picture of what the window shows, as PNG.
    ///
    /// # Panics
    /// As [`Browser::call`].
    pub fn picture(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        decode(&answer)
    }

    /// The page as it would be printed, as PDF.
    ///
    /// # Panics
    /// As [`Browser::call`].
    pub fn print(&mut self) -> Vec<u8> {
        let answer = self.call(
            "Page.printToPDF",
            json!({"preferCSSPageSize": true, "printBackground": false}),
        );
        decode(&answer)
    }
}

fn decode(answer: &Value) -> Vec<u8> {
    let data = answer["data"].as_str().expect("the browser sends data");
    STANDARD.decode(data).expect("it is base64")
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that cannot be ended is a left-over, not a failed test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the page asked for, other than itself.
pub fn requests<'a>(events: &'a [Value], file: &Path) -> Vec<&'a str> {
    let own = format!("file://{}", file.display());
    events
        .iter()
        .filter(|event| event["method"] == "Network.requestWillBeSent")
        .filter_map(|event| event["params"]["request"]["url"].as_str())
        .filter(|url| *url != own)
        .collect()
}

/// What the page complained of.
pub fn complaints(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .filter(|event| {
            [
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
            ]
            .iter()
            .any(|method| event["method"] == *method)
        })
        .map(|event| event["params"].to_string())
        .collect()
}
