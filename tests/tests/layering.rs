//! The crates' direction, and what may not be in a crate's tree, checked from `cargo tree`.
//!
//! Why: a break-in through the network must not reach the signing key, so the agent holds no
//! HTTP or TLS client; the domain in `evidence` must be testable without I/O; and neither
//! daemon may reach into the other's database. A dependency added in passing would undo
//! that without a word, so the tree itself is asserted.
//!
//! What this does not show: tokio's `net` is in the agent's tree (its signal handling is
//! built on it). That the agent cannot open a socket is the service unit's work.

use std::collections::BTreeSet;
use std::env;
use std::process::Command;

use tests::tools::workspace_root;

/// HTTP, TLS and SSH clients, and the S3 SDK: nothing without network needs one.
const NETWORK_CLIENTS: &[&str] = &[
    "attohttpc",
    "aws-config",
    "aws-sdk-*",
    "aws-sigv4",
    "aws-smithy-*",
    "curl",
    "curl-sys",
    "h2",
    "h3",
    "http",
    "http-body",
    "hyper",
    "hyper-*",
    "isahc",
    "minreq",
    "native-tls",
    "openssl",
    "openssl-sys",
    "quinn",
    "reqwest",
    "russh",
    "rustls",
    "rustls-native-certs",
    "rustls-webpki",
    "s2n-*",
    "s3s",
    "ssh2",
    "tokio-rustls",
    "tungstenite",
    "ureq",
    "webpki-roots",
];
const SQL: &[&str] = &["rusqlite", "libsqlite3-sys", "sqlx", "sqlx-*", "diesel"];
const ASYNC_IO: &[&str] = &["tokio", "tokio-*", "async-std", "smol", "mio", "socket2"];

/// What one of our crates may stand on.
struct Rule {
    package: &'static str,
    /// Of our own crates, all that may be in its tree.
    ours: &'static [&'static str],
    /// Of everybody's, what may not: names, or prefixes that end in `*`.
    forbidden: &'static [&'static [&'static str]],
}

const RULES: &[Rule] = &[
    Rule {
        package: "evidence",
        ours: &[],
        forbidden: &[NETWORK_CLIENTS, SQL, ASYNC_IO],
    },
    Rule {
        package: "screen",
        ours: &["evidence"],
        forbidden: &[NETWORK_CLIENTS, SQL, ASYNC_IO],
    },
    Rule {
        package: "host",
        ours: &["evidence"],
        forbidden: &[NETWORK_CLIENTS, SQL],
    },
    Rule {
        package: "spool",
        ours: &["evidence"],
        forbidden: &[NETWORK_CLIENTS, ASYNC_IO],
    },
    Rule {
        package: "agent",
        ours: &["evidence", "host", "screen", "spool"],
        forbidden: &[NETWORK_CLIENTS],
    },
    Rule {
        package: "destination",
        ours: &["evidence"],
        forbidden: &[SQL],
    },
    Rule {
        package: "uploader",
        ours: &["destination", "evidence", "host"],
        forbidden: &[&["s3s"]],
    },
    Rule {
        package: "audit",
        ours: &["destination", "evidence"],
        forbidden: &[&["s3s"]],
    },
    Rule {
        package: "fsck",
        ours: &["destination", "evidence", "host", "spool", "uploader"],
        forbidden: &[&["s3s"]],
    },
    // Everything but the sandbox, the man pages' maker and the tests, which are in no package.
    Rule {
        package: "cli",
        ours: &[
            "agent",
            "audit",
            "destination",
            "evidence",
            "fsck",
            "host",
            "screen",
            "spool",
            "uploader",
        ],
        // What makes man pages and completions does not weigh on what is shipped.
        forbidden: &[&["s3s", "clap_complete", "clap_mangen", "roff"]],
    },
];

/// The crates that see everything and so need no rule.
const SEES_EVERYTHING: &[&str] = &["pages", "sandbox", "tests"];

/// A crate in a tree: its name, and whether it is one of ours.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    name: String,
    ours: bool,
}

/// The crates of `cargo tree --prefix none`, of which `NAME vVERSION (/PATH)` is ours.
fn parse_tree(printed: &str) -> BTreeSet<Node> {
    printed
        .lines()
        .filter_map(|line| {
            let name = line.split_whitespace().next()?;
            Some(Node {
                name: name.to_owned(),
                ours: line.contains(" (/"),
            })
        })
        .collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

/// Every way in which `tree` breaks `rule`.
fn violations(rule: &Rule, tree: &BTreeSet<Node>) -> Vec<String> {
    let mut found = Vec::new();
    if !tree
        .iter()
        .any(|node| node.ours && node.name == rule.package)
    {
        found.push(format!(
            "{}: its own tree does not name it, so nothing was checked",
            rule.package
        ));
    }
    for node in tree {
        if node.ours && node.name != rule.package && !rule.ours.contains(&node.name.as_str()) {
            found.push(format!("{} depends on our {}", rule.package, node.name));
        }
        if rule
            .forbidden
            .iter()
            .copied()
            .flatten()
            .any(|pattern| matches(pattern, &node.name))
        {
            found.push(format!("{} has {} in its tree", rule.package, node.name));
        }
    }
    found
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .current_dir(workspace_root())
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "cargo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

#[test]
fn every_crate_stands_only_on_what_its_layer_may() {
    let broken: Vec<String> = RULES
        .iter()
        .flat_map(|rule| {
            let printed = cargo(&[
                "tree",
                "--locked",
                "--edges",
                "normal",
                "--prefix",
                "none",
                "-p",
                rule.package,
            ]);
            violations(rule, &parse_tree(&printed))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_member_of_the_workspace_has_a_rule() {
    let printed = cargo(&[
        "tree",
        "--locked",
        "--workspace",
        "--depth",
        "0",
        "--prefix",
        "none",
    ]);
    let members: BTreeSet<String> = parse_tree(&printed)
        .into_iter()
        .map(|node| node.name)
        .collect();
    let ruled: BTreeSet<String> = RULES
        .iter()
        .map(|rule| rule.package)
        .chain(SEES_EVERYTHING.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(members, ruled);
}

/// The rule of the agent, with a forged tree: the check is one that can fail.
fn forged(lines: &str) -> Vec<String> {
    let rule = RULES
        .iter()
        .find(|rule| rule.package == "agent")
        .expect("the agent has a rule");
    violations(
        rule,
        &parse_tree(&format!("agent v0.1.0 (/src/agent)\n{lines}")),
    )
}

#[test]
fn a_tree_within_the_layers_breaks_no_rule() {
    let honest = "spool v0.1.0 (/src/spool)\nevidence v0.1.0 (/src/evidence) (*)\ntokio v1.0.0\n\
                  tokio-macros v2.0.0 (proc-macro)\naws-lc-rs v1.0.0\nrustls-pki-types v1.0.0\n";
    assert_eq!(forged(honest), Vec::<String>::new());
}

#[test]
fn an_http_client_in_the_agents_tree_is_caught() {
    assert_eq!(
        forged("hyper-util v0.1.0\n"),
        ["agent has hyper-util in its tree"]
    );
    assert_eq!(
        forged("aws-sdk-s3 v1.0.0\n"),
        ["agent has aws-sdk-s3 in its tree"]
    );
    assert_eq!(forged("rustls v0.23.0\n"), ["agent has rustls in its tree"]);
}

#[test]
fn a_dependency_against_the_direction_is_caught() {
    assert_eq!(
        forged("uploader v0.1.0 (/src/uploader)\n"),
        ["agent depends on our uploader"]
    );
}

#[test]
fn a_tree_that_shows_nothing_is_caught() {
    assert_eq!(violations(&RULES[0], &BTreeSet::new()).len(), 1);
}
