#!/usr/bin/env python3
"""Runs a playbook with ansible-runner and hands its result to msp-evidence.

usage: ansible_drop.py --incident FILE --runbook-id ID --runbook-version VERSION
                       --sla SECONDS [--operator NAME] [--drop FOLDER]
                       [--finished IDENT]
                       PRIVATE_DATA_DIR PLAYBOOK [-- ARGUMENTS OF ansible-runner run]

FILE holds the incident as your monitoring saw it: incident_id, event_type,
severity, detected_at, hostname, and what else belongs to it. PLAYBOOK lies below
PRIVATE_DATA_DIR/project. With --finished nothing is run: the artifacts of an
earlier run are handed over.

Each result of a task on a host becomes a step, failed ones too. What ansible-runner
printed, every job event and the playbook go along as artifacts. A playbook that
fails is evidence like one that succeeds.

Exit: 0 the playbook succeeded, 2 it failed; both are dropped. 1: nothing dropped,
and IDENT is named if there was a run.

Needs producer.py beside it or one folder up. Python 3.8 or later; ansible-runner
2.x on the PATH.
"""

import argparse
import datetime
import json
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import producer  # noqa: E402  (found by the line before)

RESULTS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "failed",
    "runner_on_skipped": "skipped",
}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_playbook(data_dir, playbook, ident, arguments):
    """Runs the playbook; what came of it is read from its artifacts."""
    command = ["ansible-runner", "run", str(data_dir), "-p", playbook, "--ident", ident]
    # To standard error, since what this program prints is the path of the drop.
    subprocess.run([*command, *arguments], stdout=sys.stderr, check=False)


def read_events(folder):
    """The job events in their order."""
    # A `-partial` file is an event that was being written when the run was killed.
    paths = [p for p in (folder / "job_events").glob("*.json") if "partial" not in p.name]
    events = [json.loads(path.read_bytes()) for path in paths]
    return sorted(events, key=lambda event: event["counter"])


def read_text(path):
    """A file of the run's, empty if it never came to it."""
    return path.read_text("utf-8", "replace") if path.exists() else ""


def moment(event):
    """When an event was made. ansible-runner before 2.3 left the offset out: UTC."""
    time = datetime.datetime.fromisoformat(event["created"].replace("Z", "+00:00"))
    return time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)


def step(event, playbook, runbook):
    """A task's result on one host."""
    data = event["event_data"]
    result = data.get("res") or {}
    code = result.get("rc")
    made = {
        "action": data.get("task") or data.get("task_action") or "unnamed task",
        "host": data.get("host"),
        "module": data.get("task_action"),
        "changed": bool(result.get("changed")),
        "result": RESULTS[event["event"]],
        # Only modules that run a command have one.
        "exit_code": code if isinstance(code, int) else None,
        "timestamp": producer.rfc3339(moment(event)),
    }
    task_file = pathlib.Path((data.get("task_path") or "").rpartition(":")[0])
    if task_file.is_file() and not task_file.samefile(playbook):
        # A role's or an included file's task.
        made["script_hash"] = producer.sha256(task_file.read_bytes())
    else:
        made["script_hash"] = producer.sha256(runbook)
    for name, value in (
        # `no_log: true` leaves nothing but this word of it.
        ("stdout_excerpt", result.get("stdout", result.get("censored"))),
        ("stderr_excerpt", result.get("stderr")),
        ("error_message", result.get("msg") if made["result"] == "failed" else None),
    ):
        if value not in (None, ""):
            made[name] = producer.excerpt(value if isinstance(value, str) else json.dumps(value))
    if data.get("ignore_errors"):
        made["ignored"] = True
    return made


def hand_over(given, incident, runbook, playbook, began):
    """Drops the run IDENT; true if the playbook succeeded."""
    folder = given.data_dir / "artifacts" / given.ident
    if not folder.is_dir():
        raise ValueError(f"ansible-runner left no artifacts in {folder}")
    events = read_events(folder)
    status = read_text(folder / "status").strip()
    code = read_text(folder / "rc").strip()
    stdout = COLOUR.sub("", read_text(folder / "stdout"))
    succeeded = status == "successful" and code == "0"
    steps = [step(e, playbook, runbook) for e in events if e["event"] in RESULTS]
    start = moment(events[0]) if events else began
    end = moment(events[-1]) if events else datetime.datetime.now(datetime.timezone.utc)
    if not steps:
        # Not one task was reached, such as for a playbook with a mistake in it.
        steps = [
            {
                "action": "ansible-runner run",
                "result": "ok" if succeeded else "failed",
                "exit_code": int(code) if code else None,
                "timestamp": producer.rfc3339(end),
                "stdout_excerpt": producer.excerpt(stdout),
            }
        ]
    stats = [e["event_data"] for e in events if e["event"] == "playbook_on_stats"]
    counts = ("ok", "changed", "failures", "dark", "skipped", "rescued", "ignored")
    document = producer.document(
        incident,
        # How many tasks it might have come to, nobody knows before.
        {"id": given.runbook_id, "version": given.runbook_version, "bytes": runbook,
         "steps_total": None},
        steps,
        {
            "start": start,
            "end": end,
            "operator": given.operator,
            "sla_seconds": given.sla,
            "succeeded": succeeded,
            "log_excerpts": {"runner-stdout.txt": producer.excerpt(stdout)},
            "checksums": {playbook.name: producer.sha256(runbook)},
            "outputs": {
                "runner_ident": given.ident,
                "runner_status": status,
                "runner_rc": int(code) if code else None,
                "stats": {name: stats[-1].get(name) for name in counts} if stats else None,
            },
        },
    )
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        # The very bytes of which the document has the digest, and one event a line.
        (scratch / "playbook").write_bytes(runbook)
        (scratch / "events").write_text("".join(json.dumps(e) + "\n" for e in events))
        # Not the file `command` of the run: it holds the environment, and so secrets.
        artifacts = {
            playbook.name: scratch / "playbook",
            "job_events.jsonl": scratch / "events",
        }
        for name in ("stdout", "stderr"):
            if read_text(folder / name):
                artifacts[f"runner-{name}.txt"] = folder / name
        print(producer.drop(document, artifacts, given.drop))
    return succeeded


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--incident", type=pathlib.Path, required=True)
    parser.add_argument("--runbook-id", required=True)
    parser.add_argument("--runbook-version", required=True)
    parser.add_argument("--sla", type=float, required=True, help="in seconds")
    parser.add_argument("--operator", default="service:ansible-runner")
    parser.add_argument("--drop", default=producer.DEFAULT_DROP, help="default: %(default)s")
    parser.add_argument("--finished", dest="ident", metavar="IDENT", help="run nothing")
    parser.add_argument("data_dir", type=pathlib.Path)
    parser.add_argument("playbook")
    parser.add_argument("runner", nargs="*", help="after --: arguments of ansible-runner run")
    given = parser.parse_args(arguments)
    try:
        incident = json.loads(given.incident.read_bytes())
        playbook = given.data_dir / "project" / given.playbook
        runbook = playbook.read_bytes()
        began = datetime.datetime.now(datetime.timezone.utc)
        if given.ident is None:
            given.ident = f"{began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
            run_playbook(given.data_dir, given.playbook, given.ident, given.runner)
        succeeded = hand_over(given, incident, runbook, playbook, began)
    except (OSError, ValueError, KeyError) as error:
        print(f"ansible_drop.py: not dropped: {error}", file=sys.stderr)
        if given.ident is not None:
            print(f"once mended: the same with --finished {given.ident}", file=sys.stderr)
        return 1
    return 0 if succeeded else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
