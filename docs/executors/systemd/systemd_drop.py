#!/usr/bin/env python3
"""Runs a shell runbook with systemd-run and hands its result to msp-evidence.

usage: systemd_drop.py --incident FILE --runbook-id ID --runbook-version VERSION
                       --sla SECONDS [--operator NAME] [--drop FOLDER]
                       [--setenv NAME=VALUE]... [--finished UNIT]
                       RUNBOOK [ARGUMENT...]

FILE holds the incident as your monitoring saw it: incident_id, event_type,
severity, detected_at, hostname, and what else belongs to it. RUNBOOK is a program
that announces its steps as restart-service.sh does.

The runbook runs as a transient service, its output in the journal. When it has
ended, its exit status and times are asked of systemd and its output of journald.
The journal of the run and the runbook go along as artifacts. A runbook that fails
is evidence like one that succeeds.

Exit: 0 the runbook succeeded, 2 it failed; both are dropped. 1: nothing dropped;
systemd then keeps the unit, and --finished UNIT hands it over without running
anything.

Needs producer.py beside it or one folder up; Python 3.8 or later; systemd 240 or
later (tested with 252); root, or who else may start transient services and read
their journal.
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

MANAGER = "org.freedesktop.systemd1"
# What `man 5 org.freedesktop.systemd1` calls them; the times are microseconds of UTC.
ASKED = (
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "ExecMainStartTimestamp",
    "ExecMainExitTimestamp",
)


def output_of(*command):
    """What a command that must succeed prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode("utf-8", "replace")


def run_as_service(unit, environment, runbook, arguments):
    """Runs the runbook to its end; systemd then still knows the unit."""
    subprocess.run(
        [
            "systemd-run",
            "--quiet",
            f"--unit={unit}",
            # systemd-run waits for a oneshot, and RemainAfterExit= keeps one that succeeded
            # until its result is read. (`--wait` would unload it first.)
            "--property=Type=oneshot",
            "--property=RemainAfterExit=yes",
            # journald drops what comes too fast; not here.
            "--property=LogRateLimitIntervalSec=0",
            *(f"--setenv={variable}" for variable in environment),
            "--",
            str(runbook),
            *arguments,
        ],
        # It fails when the runbook does, which is told by the unit's result.
        check=False,
    )


def ask_systemd(unit):
    """The unit's result, and the id of its one invocation."""
    path = output_of(
        "busctl", "--json=short", "call", MANAGER, "/org/freedesktop/systemd1",
        f"{MANAGER}.Manager", "GetUnit", "s", unit,
    )  # fmt: skip
    path = json.loads(path)["data"][0]
    answer = output_of(
        "busctl", "--json=short", "get-property", MANAGER, path, f"{MANAGER}.Service", *ASKED
    )
    result = dict(zip(ASKED, (json.loads(line)["data"] for line in answer.splitlines())))
    answer = output_of(
        "busctl", "--json=short", "get-property", MANAGER, path, f"{MANAGER}.Unit", "InvocationID"
    )
    return result, bytes(json.loads(answer)["data"]).hex()


def forget(unit):
    """Lets systemd unload the unit, whichever way it ended."""
    for verb in ("stop", "reset-failed"):
        subprocess.run(["systemctl", verb, unit], stderr=subprocess.DEVNULL, check=False)


def read_journal(unit):
    """The journal of the run: its raw lines, and the messages of the runbook itself."""
    # journald takes what was printed before it answers this.
    output_of("journalctl", "--sync")
    raw = output_of("journalctl", f"--unit={unit}", "--output=json", "--all", "--no-pager")
    messages = []
    for line in raw.splitlines():
        entry = json.loads(line)
        # Not by invocation id: journald does not find that of a process which is gone by then.
        # The unit's name is as unique, and systemd itself tells journald to whom a stream belongs.
        if entry.get("_SYSTEMD_UNIT") == unit and entry["_TRANSPORT"] == "stdout":
            message = entry["MESSAGE"]
            # Bytes that are not UTF-8 come as a list of numbers.
            if isinstance(message, list):
                message = bytes(message).decode("utf-8", "replace")
            messages.append(message)
    return raw, messages


def read_steps(messages, invocation):
    """The steps as the runbook announced them, and how many it has."""
    steps, total, output = [], None, None
    mark = re.compile(f"step {invocation} (total|begin|end) (.*)")
    for message in messages:
        found = mark.fullmatch(message)
        if not found:
            if output is not None:
                output.append(message)
            continue
        kind, rest = found.groups()
        if kind == "total":
            total = int(rest)
        elif kind == "begin":
            time, _, name = rest.partition(" ")
            output = []
            # Until its end is read, this is what is known of a step.
            steps.append({
                "action": name,
                "result": "error",
                "exit_code": None,
                "timestamp": time,
                "error_message": "the runbook ended before this step did",
            })  # fmt: skip
        elif output is not None:
            time, _, code = rest.partition(" ")
            del steps[-1]["error_message"]
            steps[-1].update(
                result="ok" if code == "0" else "failed",
                exit_code=int(code),
                timestamp=time,
                # The journal keeps one stream: what the step printed to either.
                stdout_excerpt=producer.excerpt("\n".join(output)),
            )
            output = None
    return steps, total


def moment(microseconds):
    """A time of systemd's."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return epoch + datetime.timedelta(microseconds=microseconds)


def hand_over(given, incident, runbook, unit):
    """Drops the run; true if the runbook succeeded."""
    result, invocation = ask_systemd(unit)
    raw, messages = read_journal(unit)
    steps, total = read_steps(messages, invocation)
    succeeded = result["Result"] == "success"
    output = "\n".join(m for m in messages if not m.startswith(f"step {invocation} "))
    if not result["ExecMainExitTimestamp"]:
        raise ValueError(f"{unit} has not ended")
    end = moment(result["ExecMainExitTimestamp"])
    if not steps:
        # It could not be executed, or announces no steps: then it is one.
        steps = [
            {
                "action": given.runbook.name,
                "result": "ok" if succeeded else "failed",
                "exit_code": result["ExecMainStatus"],
                "timestamp": producer.rfc3339(end),
                "stdout_excerpt": producer.excerpt(output),
            }
        ]
    document = producer.document(
        incident,
        {"id": given.runbook_id, "version": given.runbook_version, "bytes": runbook,
         "steps_total": total},
        steps,
        {
            "start": moment(result["ExecMainStartTimestamp"]),
            "end": end,
            "operator": given.operator,
            "sla_seconds": given.sla,
            "succeeded": succeeded,
            "log_excerpts": {"journal": producer.excerpt(output)},
            "checksums": {given.runbook.name: producer.sha256(runbook)},
            "outputs": {"unit": unit, "invocation_id": invocation, **result},
        },
    )
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        # The very bytes of which the document has the digest.
        (scratch / "runbook").write_bytes(runbook)
        (scratch / "journal").write_text(raw, "utf-8")
        artifacts = {
            given.runbook.name: scratch / "runbook",
            "journal.jsonl": scratch / "journal",
        }
        print(producer.drop(document, artifacts, given.drop))
    return succeeded


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--incident", type=pathlib.Path, required=True)
    parser.add_argument("--runbook-id", required=True)
    parser.add_argument("--runbook-version", required=True)
    parser.add_argument("--sla", type=float, required=True, help="in seconds")
    parser.add_argument("--operator", default="service:systemd-run")
    parser.add_argument("--drop", default=producer.DEFAULT_DROP, help="default: %(default)s")
    parser.add_argument("--setenv", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--finished", dest="unit", metavar="UNIT", help="run nothing")
    parser.add_argument("runbook", type=pathlib.Path)
    parser.add_argument("argument", nargs="*")
    given = parser.parse_args(arguments)
    try:
        incident = json.loads(given.incident.read_bytes())
        given.runbook = given.runbook.resolve()
        runbook = given.runbook.read_bytes()
        if given.unit is None:
            given.unit = f"runbook-{secrets.token_hex(8)}.service"
            run_as_service(given.unit, given.setenv, given.runbook, given.argument)
        succeeded = hand_over(given, incident, runbook, given.unit)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"systemd_drop.py: not dropped: {error}", file=sys.stderr)
        if given.unit is not None:
            print(f"once mended: the same with --finished {given.unit}", file=sys.stderr)
        return 1
    forget(given.unit)
    return 0 if succeeded else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
