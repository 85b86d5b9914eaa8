#!/usr/bin/env python3
"""Hands an incident to msp-evidence. Reference producer: copy it, or import it.

usage: producer.py [--drop FOLDER] [--name NAME] DOCUMENT [ARTIFACT...]

DOCUMENT is a JSON file (`-`: standard input), ARTIFACT any regular file. Prints
the path that was dropped. Exit: 0 dropped, 1 not dropped, with the reason.

The agent takes a drop as soon as it sees its name, so a drop appears under its
name only when it is whole and on the disk, and never in the place of another:

1. write under a name that starts with `.part-`, which the agent leaves alone;
2. fsync every file, then every folder that holds one;
3. rename, refusing a name that exists;
4. fsync the drop folder, so that the name survives a power cut as well.

Killed anywhere on the way, it leaves a whole drop or a `.part-` name that nobody
takes, and exit status 0 means that the drop is durable.

Python 3.8 or later on Linux; the standard library only.
"""

import argparse
import datetime
import errno
import hashlib
import json
import os
import secrets
import shutil
import signal
import stat
import sys

try:
    import ctypes
except ImportError:  # Some minimal installations leave it out.
    ctypes = None

DEFAULT_DROP = os.environ.get("MSP_EVIDENCE_PATHS__DROP", "/var/lib/msp/drop")
# The agent reads files and, as a member of the folder's group, removes folders.
FILE_MODE = 0o640
FOLDER_MODE = 0o2770
# Longer output belongs into an artifact.
EXCERPT_CHARACTERS = 2000


def drop(document, artifacts=None, folder=DEFAULT_DROP, name=None):
    """Drops an incident and returns its path.

    document:  the incident, as a dict or as the bytes of its JSON
    artifacts: {name: path of a regular file} to go with it, copied
    folder:    the drop folder
    name:      without `.json`; not given: a name that nobody else makes

    Raises FileExistsError when a drop of that name waits, OSError when a file
    cannot be read or written, ValueError when something given is not usable.
    Nothing is dropped then; only if the very last fsync fails it is, and may not
    survive a power cut.
    """
    data = document if isinstance(document, bytes) else encode(document)
    if not isinstance(json.loads(data), dict):
        raise ValueError("the document is not a JSON object")
    name = plain_name(unique_name() if name is None else name)
    artifacts = {plain_name(n): path for n, path in (artifacts or {}).items()}
    part = os.path.join(folder, f".part-{secrets.token_hex(8)}-{name}")
    target = os.path.join(folder, name if artifacts else name + ".json")
    try:
        if artifacts:
            write_folder(part, data, artifacts)
        else:
            write_file(part, data)
        rename_noreplace(part, target)
    except BaseException:
        # Also on Ctrl-C: what is left would only be in the way.
        remove(part)
        raise
    sync_folder(folder)
    return target


def document(incident, runbook, steps, run):
    """The document of one run of one runbook, so that its sums agree.

    incident: {incident_id, event_type, severity, detected_at, hostname, ...}
    runbook:  {id, version, bytes, steps_total or None}
    steps:    [{action, result, exit_code, timestamp, ...}] in their order
    run:      {start, end: aware datetimes; operator, sla_seconds, succeeded,
               outputs: {}, log_excerpts: {}, checksums: {}}

    A step without script_hash is taken to be one of the runbook itself.
    """
    runbook_hash = sha256(runbook["bytes"])
    mttr = round((run["end"] - run["start"]).total_seconds(), 6)
    actions = [
        {"step": number, "script_hash": runbook_hash, **step}
        for number, step in enumerate(steps, 1)
    ]
    executed = sum(step["result"] != "skipped" for step in steps)
    return {
        "incident": incident,
        "runbook": {
            "runbook_id": runbook["id"],
            "runbook_version": runbook["version"],
            "runbook_hash": runbook_hash,
            "steps_total": max(runbook["steps_total"] or 0, len(steps)),
            "steps_executed": executed,
        },
        "execution": {
            "timestamp_start": rfc3339(run["start"]),
            "timestamp_end": rfc3339(run["end"]),
            "operator": run["operator"],
            "mttr_seconds": mttr,
            "sla_target_seconds": run["sla_seconds"],
            "sla_met": mttr <= run["sla_seconds"],
            "resolution_type": "auto" if run["succeeded"] else "escalated",
        },
        "actions_taken": actions,
        "artifacts": {
            "log_excerpts": run.get("log_excerpts", {}),
            "checksums": run.get("checksums", {}),
            "outputs": run.get("outputs", {}),
        },
        "outputs": {"resolution_status": "success" if run["succeeded"] else "failed"},
    }


def sha256(data):
    """The digest of bytes, as documents write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def rfc3339(moment):
    """An aware datetime in UTC, to the microsecond."""
    utc = moment.astimezone(datetime.timezone.utc)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def excerpt(text):
    """The end of a text, where what went wrong usually stands."""
    left_out = len(text) - EXCERPT_CHARACTERS
    return text if left_out <= 0 else f"[{left_out} characters before]{text[left_out:]}"


def encode(value):
    """JSON that the agent takes: no NaN, no half of a surrogate pair."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    # Python keeps bytes that were no UTF-8 as lone surrogates, which are not JSON.
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


def unique_name():
    """A name that nobody else makes; in the order of time, for whoever lists them."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"{now:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}-{secrets.token_hex(4)}"


def plain_name(name):
    """A name for a file, refused if it is a path, or hidden, or a half-written one."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError(f"{name!r} is no name for a file")
    if name.startswith(".") or name.endswith((".tmp", ".part")):
        raise ValueError(f"{name!r}: the agent leaves such names alone")
    return name


def write_folder(folder, data, artifacts):
    """A folder drop, every byte and every name of it on the disk."""
    inside = os.path.join(folder, "artifacts")
    for new in (folder, inside):
        os.mkdir(new, FOLDER_MODE)
        os.chmod(new, FOLDER_MODE)  # Whatever the umask is.
    for name, path in artifacts.items():
        with open(path, "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise ValueError(f"{path} is not a regular file")
            write_file(os.path.join(inside, name), source)
    write_file(os.path.join(folder, "incident.json"), data)
    sync_folder(inside)
    sync_folder(folder)


def write_file(path, source):
    """A new file from bytes or an open file, on the disk when this returns."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, FILE_MODE), "wb") as file:
        os.fchmod(file.fileno(), FILE_MODE)  # Whatever the umask is.
        if isinstance(source, bytes):
            file.write(source)
        else:
            shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path):
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def find_renameat2():
    """renameat2(2) of the C library (glibc 2.28 or later, 2018), or None."""
    if ctypes is None:
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


renameat2 = find_renameat2()
AT_FDCWD = -100
RENAME_NOREPLACE = 1


def rename_noreplace(source, target):
    """Renames, or raises FileExistsError; never replaces, also when two race."""
    if renameat2 is not None:
        names = os.fsencode(source), os.fsencode(target)
        if renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        # An old kernel, or a file system (NFS) that does not know the flag.
        if code not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code), target)
    if not os.path.isdir(source):
        # The agent waits for a file with two names to lose one.
        os.link(source, target)
        os.unlink(source)
        return
    try:
        # Of a folder, rename(2) replaces at most an empty folder, which is no drop.
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, "File exists", target) from error
        raise


def remove(path):
    """Removes a half-written drop, if it is there."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.unlink(path)


def main(arguments):
    parser = argparse.ArgumentParser(description="Hands an incident to msp-evidence.")
    parser.add_argument("--drop", default=DEFAULT_DROP, help="default: %(default)s")
    parser.add_argument("--name", help="default: a name that nobody else makes")
    parser.add_argument("document", help="a JSON file, or - for standard input")
    parser.add_argument("artifact", nargs="*", help="a file to go with it")
    given = parser.parse_args(arguments)
    # So that what is half written is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        artifacts = {os.path.basename(path): path for path in given.artifact}
        if len(artifacts) != len(given.artifact):
            raise ValueError("two artifacts have the same name")
        if given.document == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(given.document, "rb") as file:
                data = file.read()
        print(drop(data, artifacts, given.drop, given.name))
    except FileExistsError as error:
        print(f"producer.py: a drop of this name waits already: {error.filename}", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"producer.py: not dropped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
