//! What the policies allow, by a simulator of IAM that is not ours, and that both templates mean the
//! same. `packaging/bucket/tests/evaluate` prints the same table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tests::tools::{self, Tool};

use crate::workbench::{Workbench, said, succeeded};

/// The policies as the Terraform module renders them: without a provider, so offline.
pub(crate) fn rendered(tofu: &Path, bench: &Workbench) -> BTreeMap<String, Value> {
    let terraform = bench.terraform(tofu, None, "tests/render");
    terraform.succeeds(&["init", "-no-color"]);
    terraform.succeeds(&["apply", "-auto-approve", "-no-color"]);
    let output = terraform.run(&["output", "-json", "rendered"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn save(bench: &Workbench, name: &str, value: &impl serde::Serialize) -> PathBuf {
    let path = bench.path(name);
    fs::write(&path, serde_json::to_vec(value).unwrap()).unwrap();
    path
}

/// The folder `node_modules` that has the simulator; the variable names a file of its package.
fn modules(simulator: &Path) -> &Path {
    simulator
        .ancestors()
        .find(|folder| folder.ends_with("node_modules"))
        .unwrap()
}

#[test]
fn each_role_may_do_its_work_and_no_more_and_each_statement_is_needed() {
    let test = "each_role_may_do_its_work_and_no_more_and_each_statement_is_needed";
    let Some(tofu) = tools::find(Tool::Tofu, test) else {
        return;
    };
    let Some(simulator) = tools::find(Tool::IamSimulate, test) else {
        return;
    };
    let bench = Workbench::new();
    for (variant, requests) in [("plain", 156), ("kms", 177)] {
        let output = Command::new(bench.path("tests/evaluate"))
            .args([variant, "--each-statement-matters"])
            .env("TERRAFORM", &tofu)
            .env("IAM_SIMULATE", modules(&simulator))
            .output()
            .unwrap();
        let text = succeeded(&output, variant);
        println!("{text}");
        let wanted = format!("{requests} requests, 0 answered wrongly");
        assert!(text.contains(&wanted), "{text}");
        assert!(text.contains("\n0 statements could go unnoticed"), "{text}");
    }
    // A policy that is too wide is found.
    let mut wide = rendered(&tofu, &bench)["plain"].clone();
    wide["writer"]["Statement"][2]["Resource"] = "arn:aws:s3:::example-evidence/*".into();
    let policies = save(&bench, "wide.json", &wide);
    let link = bench.path("tests/node_modules");
    std::os::unix::fs::symlink(modules(&simulator), link).unwrap();
    let output = Command::new("node")
        .arg(bench.path("tests/evaluate.mjs"))
        .arg(policies)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("WRONG: must be denied"), "{text}");
}

#[test]
fn both_templates_and_the_policy_for_minio_mean_the_same() {
    let test = "both_templates_and_the_policy_for_minio_mean_the_same";
    let Some(tofu) = tools::find(Tool::Tofu, test) else {
        return;
    };
    let Some(lint) = tools::find(Tool::CfnLint, test) else {
        return;
    };
    // Of the same environment, which has a parser of YAML.
    let python = lint.with_file_name("python");
    let bench = Workbench::new();
    let rendered = rendered(&tofu, &bench);
    let ours = save(&bench, "terraform.json", &rendered);
    let resolve = || {
        Command::new(&python)
            .arg(bench.path("tests/render_cloudformation.py"))
            .output()
            .unwrap()
    };
    let compare = |output: &Output| {
        assert!(output.status.success(), "{}", said(output));
        let theirs = bench.path("cloudformation.json");
        fs::write(&theirs, &output.stdout).unwrap();
        Command::new(&python)
            .arg(bench.path("tests/compare.py"))
            .args([&ours, &theirs])
            .output()
            .unwrap()
    };
    let text = succeeded(&compare(&resolve()), "compare");
    assert_eq!(text, "10 policies compared, 0 differ\n");
    bench.replace(
        "cloudformation/bucket.yaml",
        "\"s3:if-none-match\": \"true\"",
        "\"s3:if-none-match\": \"false\"",
    );
    let output = compare(&resolve());
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));

    let minio: Value = serde_json::from_str(&tests::sts::writer_policy(
        "example-evidence",
        "clinic-012",
        "srv-1",
    ))
    .unwrap();
    assert_eq!(minio, rendered["plain"]["writer"]);
}
