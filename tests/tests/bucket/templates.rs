//! The templates by the tools that their users run. Each check is shown to fail once, on a copy that
//! is broken on purpose.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tests::tools::{self, Tool, workspace_root};

use crate::workbench::{Terraform, Workbench, providers, said, succeeded};

const FOLDERS: [&str; 3] = [
    "terraform",
    "terraform/examples/one-host",
    "terraform/examples/fleet-kms",
];

/// The module's own tests, by one program.
fn tests_pass(terraform: &Terraform) {
    let text = terraform.succeeds(&["test", "-no-color"]);
    assert!(text.contains("Success! 9 passed, 0 failed."), "{text}");
}

#[test]
fn terraform_finds_the_module_and_its_examples_valid_and_their_tests_pass() {
    let test = "terraform_finds_the_module_and_its_examples_valid_and_their_tests_pass";
    let Some(program) = tools::find(Tool::Terraform, test) else {
        return;
    };
    let Some(mirror) = providers(test) else {
        return;
    };
    let bench = Workbench::new();
    for folder in FOLDERS {
        let terraform = bench.terraform(&program, Some(&mirror), folder);
        terraform.succeeds(&["init", "-no-color"]);
        terraform.succeeds(&["validate", "-no-color"]);
    }
    let terraform = bench.terraform(&program, Some(&mirror), FOLDERS[0]);
    tests_pass(&terraform);
    // An argument that the provider does not know.
    bench.replace(
        "terraform/main.tf",
        "block_public_policy ",
        "block_public_polices ",
    );
    let output = terraform.run(&["validate", "-no-color"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("block_public_polices"));
}

#[test]
fn the_tests_of_the_module_pass_in_opentofu_and_notice_a_weaker_bucket() {
    let test = "the_tests_of_the_module_pass_in_opentofu_and_notice_a_weaker_bucket";
    let Some(program) = tools::find(Tool::Tofu, test) else {
        return;
    };
    let Some(mirror) = providers(test) else {
        return;
    };
    let bench = Workbench::new();
    let terraform = bench.terraform(&program, Some(&mirror), FOLDERS[0]);
    terraform.succeeds(&["init", "-no-color"]);
    tests_pass(&terraform);
    bench.replace(
        "terraform/main.tf",
        "mode = \"COMPLIANCE\"",
        "mode = \"GOVERNANCE\"",
    );
    // The first run is enough, and each takes its time.
    let file = bench.path("terraform/tests/module.tftest.hcl");
    let text = fs::read_to_string(&file).unwrap();
    let (first, _) = text.split_once("# Planned only").unwrap();
    fs::write(&file, first).unwrap();
    let output = terraform.run(&["test", "-no-color"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("The default rule is not COMPLIANCE"));
}

#[test]
fn the_policies_need_no_provider_and_refuse_what_would_widen_them() {
    let test = "the_policies_need_no_provider_and_refuse_what_would_widen_them";
    let Some(program) = tools::find(Tool::Tofu, test) else {
        return;
    };
    let bench = Workbench::new();
    let terraform = bench.terraform(&program, None, "terraform/modules/policies");
    terraform.succeeds(&["init", "-no-color"]);
    let text = terraform.succeeds(&["test", "-no-color"]);
    assert!(text.contains("Success! 18 passed, 0 failed."), "{text}");
    let whole = bench.terraform(&program, None, "terraform");
    whole.succeeds(&["fmt", "-check", "-diff", "-recursive", "-no-color"]);
    // Without the check of ids a wildcard would get through.
    bench.replace(
        "terraform/modules/policies/variables.tf",
        "{0,127}$\", id)) && id",
        "{0,127}$\", id)) || id",
    );
    assert!(!terraform.run(&["test", "-no-color"]).status.success());
}

#[test]
fn the_readme_of_the_module_names_every_variable_and_output() {
    let module = workspace_root().join("packaging/bucket/terraform");
    let read = |file: &str| fs::read_to_string(module.join(file)).unwrap();
    let readme = read("README.md");
    let mut named = 0;
    for (file, word) in [("variables.tf", "variable"), ("outputs.tf", "output")] {
        for line in read(file).lines() {
            let Some(rest) = line.strip_prefix(&format!("{word} \"")) else {
                continue;
            };
            let name = rest.split('"').next().unwrap();
            assert!(readme.contains(&format!("`{name}`")), "{name} is missing");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} were looked for");
}

fn lint(program: &Path, bench: &Workbench) -> Output {
    Command::new(program)
        .args(["--non-zero-exit-code", "informational"])
        .arg(bench.path("cloudformation/bucket.yaml"))
        .arg(bench.path("cloudformation/writer.yaml"))
        .output()
        .unwrap()
}

#[test]
fn cfn_lint_has_nothing_to_say_of_the_cloudformation_templates() {
    let test = "cfn_lint_has_nothing_to_say_of_the_cloudformation_templates";
    let Some(program) = tools::find(Tool::CfnLint, test) else {
        return;
    };
    let bench = Workbench::new();
    assert_eq!(succeeded(&lint(&program, &bench), "cfn-lint"), "");
    bench.replace(
        "cloudformation/bucket.yaml",
        "Mode: COMPLIANCE",
        "Mode: COMPLIANT",
    );
    let output = lint(&program, &bench);
    assert!(!output.status.success());
    assert!(said(&output).contains("COMPLIANT"), "{}", said(&output));
}

fn scan(program: &Path, bench: &Workbench, framework: &str) -> Output {
    Command::new(program)
        // It would ask its vendor for its guidelines.
        .args(["--skip-download", "--compact", "--quiet"])
        .args(["--framework", framework, "--directory"])
        .arg(bench.path(framework))
        .output()
        .unwrap()
}

#[test]
fn checkov_finds_no_weakness_but_those_that_are_explained() {
    let test = "checkov_finds_no_weakness_but_those_that_are_explained";
    let Some(program) = tools::find(Tool::Checkov, test) else {
        return;
    };
    let bench = Workbench::new();
    for (framework, skipped) in [("terraform", 4), ("cloudformation", 2)] {
        let text = succeeded(&scan(&program, &bench, framework), framework);
        let wanted = format!("Failed checks: 0, Skipped checks: {skipped}");
        assert!(text.contains(&wanted), "{text}");
    }
    bench.replace(
        "cloudformation/bucket.yaml",
        "BlockPublicPolicy: true",
        "BlockPublicPolicy: false",
    );
    bench.replace(
        "terraform/main.tf",
        "restrict_public_buckets = true",
        "restrict_public_buckets = false",
    );
    for framework in ["terraform", "cloudformation"] {
        let output = scan(&program, &bench, framework);
        assert!(!output.status.success(), "{framework}: {}", said(&output));
    }
}
