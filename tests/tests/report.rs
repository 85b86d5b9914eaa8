//! The report, as a browser and an accessibility checker see it: a real Chromium, headless, opens the
//! file at every size and scheme; axe-core judges it; the tabulator walks through it.
//!
//! The reports are of synthetic results, damaged and with hostile text in every field that others
//! choose. Pictures are left in target/tmp/report/ for whoever wants to look.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use audit::report::{self, Limits};
use evidence::controls::Citation;
use serde_json::Value;
use tempfile::TempDir;
use tests::browser::{Browser, Look, complaints, requests};
use tests::report::{Shape, Synthetic};
use tests::tools::{Tool, find};

/// Three hosts over three days; small enough for a section each.
const DAMAGED: Shape = Shape {
    seed: 7,
    hosts: 3,
    hours: 64,
    incidents_per_mille: 90,
    damaged: true,
};

/// One host, of which everything is in order.
const GOOD: Shape = Shape {
    seed: 8,
    hosts: 1,
    hours: 40,
    incidents_per_mille: 200,
    damaged: false,
};

/// More bundles than have sections or lines of their own.
const LARGE: Shape = Shape {
    seed: 9,
    hosts: 3,
    hours: 9_000,
    incidents_per_mille: 30,
    damaged: true,
};

const LOOKS: [(&str, Look); 6] = [
    ("desktop-light", look(1280, 900, false, false, false)),
    ("desktop-dark", look(1280, 900, false, true, false)),
    ("phone-light", look(390, 844, true, false, false)),
    ("phone-dark", look(390, 844, true, true, false)),
    ("print", look(800, 1100, false, false, true)),
    ("print-of-a-dark-screen", look(800, 1100, false, true, true)),
];

const fn look(width: u32, height: u32, phone: bool, dark: bool, print: bool) -> Look {
    Look {
        width,
        height,
        phone,
        dark,
        print,
    }
}

fn write(shape: Shape, limits: Limits, folder: &Path) -> PathBuf {
    report::write(&Synthetic::new(shape), folder, limits).expect("the report is written");
    folder.join("report.html")
}

/// The browser and the checker's script, or none after saying that `test` is skipped.
fn tools(test: &str) -> Option<(Browser, String)> {
    let chromium = find(Tool::Chromium, test)?;
    let axe = find(Tool::Axe, test)?;
    let axe = fs::read_to_string(axe).expect("axe-core can be read");
    Some((Browser::start(&chromium), axe))
}

/// What axe-core says is wrong, each rule with what it is about.
fn violations(browser: &mut Browser, axe: &str) -> Vec<String> {
    browser.evaluate(&format!("{axe}; 0"));
    let found = browser.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => \
         v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + ' ' + n.failureSummary).join(' | ')))",
    );
    texts(&found)
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|text| text.as_str().expect("a text").to_owned())
        .collect()
}

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&folder).expect("a folder for the pictures");
    folder
}

#[test]
fn the_report_asks_for_nothing_complains_of_nothing_and_is_accessible_at_every_size_and_scheme() {
    let test = "the_report_asks_for_nothing_complains_of_nothing_and_is_accessible_at_every_size_and_scheme";
    let Some((mut browser, axe)) = tools(test) else {
        return;
    };
    for (name, shape) in [("damaged", DAMAGED), ("good", GOOD)] {
        let file = write(shape, Limits::default(), &pictures().join(name));
        for (look_name, look) in LOOKS {
            let place = format!("{name}, {look_name}");
            browser.look(look);
            let events = browser.open(&file);
            assert_eq!(requests(&events, &file), Vec::<&str>::new(), "{place}");
            assert_eq!(complaints(&events), Vec::<String>::new(), "{place}");
            assert_eq!(browser.evaluate("document.readyState"), "complete");
            let overflow = browser.evaluate(
                "[...document.querySelectorAll('body *')].filter(e => !e.closest('.wide, .skip') && \
                 e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))",
            );
            assert_eq!(
                texts(&overflow),
                Vec::<String>::new(),
                "{place}: wider than the window"
            );
            // Folded, and with some sections unfolded.
            assert_eq!(
                violations(&mut browser, &axe),
                Vec::<String>::new(),
                "{place}"
            );
            fs::write(
                pictures().join(format!("{name}-{look_name}.png")),
                browser.picture(),
            )
            .unwrap();
            // What unfolds looks alike at the other sizes.
            if matches!(look_name, "desktop-light" | "phone-dark") {
                browser.evaluate(
                    "for (const fold of [...document.querySelectorAll('details')].slice(0, 40)) fold.open = true",
                );
                assert_eq!(
                    violations(&mut browser, &axe),
                    Vec::<String>::new(),
                    "{place}, unfolded"
                );
            }
        }
    }
}

#[test]
fn a_broken_copy_of_the_report_is_found_out() {
    let test = "a_broken_copy_of_the_report_is_found_out";
    let Some((mut browser, axe)) = tools(test) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let whole = fs::read_to_string(write(GOOD, Limits::default(), folder.path())).unwrap();
    let mut broken = |what: &str, from: &str, to: &str| {
        assert!(whole.contains(from), "{what}: the report has no {from}");
        let file = folder.path().join("broken.html");
        fs::write(&file, whole.replacen(from, to, 1)).unwrap();
        let events = browser.open(&file);
        let asked = requests(&events, &file).len();
        let complaints = complaints(&events);
        (asked, complaints, violations(&mut browser, &axe))
    };
    let (_, _, violations) = broken("no language", "<html lang=\"en\">", "<html>");
    assert!(
        violations.iter().any(|v| v.starts_with("html-has-lang:")),
        "{violations:?}"
    );
    let (_, _, violations) = broken(
        "a mute drawing",
        "<svg role=\"img\" aria-labelledby=\"tl-t tl-d\" viewBox=\"0 0 760 264\" width=\"760\" height=\"264\">\n<title id=\"tl-t\">Timeline of incidents and custody</title>",
        "<svg role=\"img\">",
    );
    assert!(
        violations.iter().any(|v| v.starts_with("svg-img-alt:")),
        "{violations:?}"
    );
    // Evidence that became markup would be stopped by the policy, and heard.
    let image = "<img alt=\"\" src=\"http://127.0.0.1:9/x.png\">";
    let with_image = format!("<main id=\"main\" tabindex=\"-1\">{image}");
    let main = "<main id=\"main\" tabindex=\"-1\">";
    let (_, heard, _) = broken("an image", main, &with_image);
    assert!(
        heard
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{heard:?}"
    );
    let script = format!("{main}<script>document.title = 'taken'</script>");
    let (_, heard, _) = broken("a script", main, &script);
    assert!(
        heard
            .iter()
            .any(|line| line.contains("Content Security Policy")),
        "{heard:?}"
    );
    // And without the policy the test would see the request.
    let open = whole.replacen("Content-Security-Policy", "X-Nothing", 1);
    let file = folder.path().join("open.html");
    fs::write(&file, open.replacen(main, &with_image, 1)).unwrap();
    let events = browser.open(&file);
    assert_eq!(requests(&events, &file), ["http://127.0.0.1:9/x.png"]);
}

#[test]
fn the_tabulator_reaches_everything_that_can_be_used() {
    let test = "the_tabulator_reaches_everything_that_can_be_used";
    let Some((mut browser, _)) = tools(test) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let file = write(GOOD, Limits::default(), folder.path());
    browser.look(LOOKS[0].1);
    browser.open(&file);
    // Some folded, some not.
    browser.evaluate(
        "document.querySelectorAll('details.bundle').forEach((d, i) => d.open = i % 9 === 0)",
    );
    let usable = texts(&browser.evaluate(
        "window.all = [...document.querySelectorAll('a[href], button, input, summary, [tabindex=\"0\"]')]\
         .filter(e => e.checkVisibility({contentVisibilityAuto: true, visibilityProperty: true}));\
         window.all.map((e, i) => i + ' ' + e.outerHTML.slice(0, 60))",
    ));
    assert!(usable.len() > 100, "{}", usable.len());
    let mut reached = BTreeSet::new();
    let mut before = -1;
    loop {
        browser.press_tab();
        let now = browser.evaluate("window.all.indexOf(document.activeElement)");
        let now = now.as_i64().expect("a number");
        if now < 0 {
            break;
        }
        assert_eq!(
            now,
            before + 1,
            "the tabulator goes another way than the page reads"
        );
        before = now;
        assert!(
            browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid",
            "no focus is seen on {}",
            usable[usize::try_from(now).unwrap()]
        );
        reached.insert(usize::try_from(now).unwrap());
    }
    let missed: Vec<&String> = usable
        .iter()
        .enumerate()
        .filter(|(index, _)| !reached.contains(index))
        .map(|(_, element)| element)
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn the_report_reads_without_a_script_and_filters_with_one() {
    let test = "the_report_reads_without_a_script_and_filters_with_one";
    let Some((mut browser, _)) = tools(test) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let file = write(DAMAGED, Limits::default(), folder.path());
    let shown =
        "[...document.querySelectorAll('details.bundle')].filter(d => d.checkVisibility()).length";
    let tools = "[...document.querySelectorAll('.tools')].filter(d => d.checkVisibility()).length";
    browser.allow_scripts(false);
    let events = browser.open(&file);
    assert_eq!(complaints(&events), Vec::<String>::new());
    let all = browser.evaluate(shown).as_u64().unwrap();
    assert!(all > 150, "{all}");
    assert_eq!(
        browser.evaluate(tools),
        0,
        "tools that do nothing are shown"
    );

    browser.allow_scripts(true);
    browser.open(&file);
    assert_eq!(browser.evaluate(tools), 2);
    let type_into = |text: &str| {
        format!(
            "(() => {{ const input = document.querySelector('#bundles input[type=search]'); input.value = '{text}'; \
             input.dispatchEvent(new Event('input')); }})()"
        )
    };
    let one = browser.evaluate("document.querySelector('#bundles .about bdi').textContent");
    browser.evaluate(&type_into(one.as_str().unwrap()));
    assert_eq!(browser.evaluate(shown), 1);
    browser.evaluate(&type_into(""));
    assert_eq!(browser.evaluate(shown), all);
    browser.evaluate("document.querySelector('#bundles input[type=checkbox]').click()");
    let not_passed = browser.evaluate(shown).as_u64().unwrap();
    assert!((1..all / 10).contains(&not_passed), "{not_passed} of {all}");
}

#[test]
fn a_link_unfolds_the_bundle_that_it_leads_to() {
    let test = "a_link_unfolds_the_bundle_that_it_leads_to";
    let Some((mut browser, _)) = tools(test) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let file = write(DAMAGED, Limits::default(), folder.path());
    browser.open(&file);
    let dangling = browser.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.getElementById(a.hash.slice(1)))\
         .map(a => a.outerHTML)",
    );
    assert_eq!(texts(&dangling), Vec::<String>::new());
    let open = "document.querySelectorAll('details.bundle[open]').length";
    assert_eq!(browser.evaluate(open), 0);
    browser.evaluate(
        "document.querySelector('#findings td a').click(); new Promise(done => setTimeout(done, 100))",
    );
    assert_eq!(browser.evaluate(open), 1);
}

#[test]
fn what_is_printed_holds_what_is_folded_on_the_screen() {
    let test = "what_is_printed_holds_what_is_folded_on_the_screen";
    let Some((mut browser, _)) = tools(test) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let file = write(GOOD, Limits::default(), folder.path());
    browser.open(&file);
    let pdf = browser.print();
    fs::write(pictures().join("good.pdf"), &pdf).unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    browser.look(LOOKS[4].1);
    let hidden = browser.evaluate(
        "[...document.querySelectorAll('details .inside dd')].filter(e => e.getBoundingClientRect().height === 0).length",
    );
    assert_eq!(hidden, 0, "folded facts are not printed");
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for folder in [&one, &two] {
        write(DAMAGED, Limits::default(), folder.path());
    }
    let mut names: Vec<_> = fs::read_dir(one.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "bundles.csv",
            "checks.csv",
            "controls.csv",
            "findings.csv",
            "hours.csv",
            "report.html",
            "report.json"
        ]
    );
    for name in names {
        let bytes = |folder: &TempDir| fs::read(folder.path().join(&name)).unwrap();
        assert!(bytes(&one) == bytes(&two), "{name:?} differs");
    }
    // A test of sameness that cannot tell a difference would be none.
    write(
        Shape {
            seed: 77,
            ..DAMAGED
        },
        Limits::default(),
        two.path(),
    );
    assert_ne!(
        fs::read(one.path().join("report.html")).unwrap(),
        fs::read(two.path().join("report.html")).unwrap()
    );
}

#[test]
fn json_and_csv_have_every_bundle_and_finding_when_the_page_has_not() {
    let folder = TempDir::new().unwrap();
    let file = write(LARGE, Limits::default(), folder.path());
    let html = fs::read_to_string(file).unwrap();
    let json: Value =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let bundles = json["bundles"].as_array().unwrap().len();
    let findings = json["findings"].as_array().unwrap().len();
    assert!(bundles > 20_000, "{bundles}");
    let lines = |name: &str| {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().count() - 1
    };
    assert_eq!(lines("bundles.csv"), bundles);
    assert_eq!(lines("findings.csv"), findings);
    assert_eq!(json["counts"]["bundles"], bundles);
    let sections = html.matches("<details class=\"bundle\"").count();
    assert!((1..=2_000).contains(&sections), "{sections}");
    assert!(html.contains("this page holds at most 2,000 sections"));
    assert!(html.len() < 8 << 20, "{} bytes", html.len());
}

#[test]
fn hostile_text_is_text_wherever_it_stands() {
    let folder = TempDir::new().unwrap();
    let file = write(DAMAGED, Limits::default(), folder.path());
    let html = fs::read_to_string(file).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(html.contains("<span class=\"unseen\">U+202E</span>"));
    assert_eq!(html.matches("<script").count(), 1, "only our own script");
    assert!(!html.contains("<img"));
    let odd = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c)
    };
    assert_eq!(html.chars().find(|c| odd(*c)), None);
    for name in ["bundles.csv", "findings.csv"] {
        let csv = fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            csv.replace("\r\n", "")
                .chars()
                .find(|c| odd(*c) || *c == '\n'),
            None,
            "{name}"
        );
    }
    let json: Value =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let exact =
        json["bundles"].as_array().unwrap().iter().any(|bundle| {
            bundle["proven"]["body"]["incident"]["event_type"] == tests::report::HOSTILE
        });
    assert!(exact, "JSON has it exactly as it was");
}

#[test]
fn the_figures_are_those_of_the_bundles() {
    let folder = TempDir::new().unwrap();
    write(DAMAGED, Limits::default(), folder.path());
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("report.json")).unwrap();
    let incidents: Vec<&Value> = json["bundles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bundle| &bundle["proven"]["body"]["incident"])
        .filter(|incident| !incident.is_null())
        .collect();
    assert!(!incidents.is_empty());
    assert_eq!(json["counts"]["incidents"], incidents.len());

    let hours = read("hours.csv");
    let cells = |column: usize| {
        let lines = hours.lines().skip(1);
        lines.map(move |line| line.rsplit(',').nth(column).unwrap().to_owned())
    };
    let drawn: usize = cells(0).map(|count| count.parse::<usize>().unwrap()).sum();
    assert_eq!(drawn, incidents.len(), "each incident is in one hour");
    let silent = cells(1).filter(|shows| shows == "silent").count();
    assert!(silent > 0);
    assert_eq!(json["counts"]["silent_hours"], silent);
    assert_eq!(json["counts"]["hours"], cells(1).count());
    assert!(cells(1).any(|shows| shows == "stopped"));

    for control in json["controls"].as_array().unwrap() {
        let cites = |incident: &&&Value| {
            let cited = incident["hipaa_controls"].as_array().unwrap();
            cited.iter().any(|text| {
                let citation = text.as_str().unwrap().parse::<Citation>();
                match control["citation"].as_str() {
                    Some(wanted) => citation.is_ok_and(|citation| citation.as_str() == wanted),
                    None => citation.is_err(),
                }
            })
        };
        let citing: Vec<&&Value> = incidents.iter().filter(cites).collect();
        let missed = citing
            .iter()
            .filter(|incident| incident["sla_met"] == false);
        assert_eq!(control["cited"]["incidents"], citing.len(), "{control}");
        assert_eq!(control["cited"]["sla_missed"], missed.count(), "{control}");
    }
}
