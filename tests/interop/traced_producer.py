#!/usr/bin/env python3
"""Runs docs/executors/producer.py, and says each fsync and rename that it does.

usage: traced_producer.py PRODUCER [ARGUMENT...]

A line for each is added to the file LOG names. Operation number DIE_AT is not
done: the process dies there as by kill -9. WITHOUT_RENAMEAT2=1 hides renameat2(2),
as on a system that does not have it.
"""

import importlib.util
import os
import signal
import sys


def count():
    with open(os.environ["LOG"], "rb") as log:
        return len(log.readlines())


def traced(operation, describe):
    """`operation`, counted, said after it is done."""

    def run(*arguments):
        if count() + 1 >= int(os.environ["DIE_AT"]):
            os.kill(os.getpid(), signal.SIGKILL)
        line = describe(*arguments)
        operation(*arguments)
        with open(os.environ["LOG"], "a") as log:
            log.write(line + "\n")

    return run


def main(producer_file, *arguments):
    spec = importlib.util.spec_from_file_location("producer", producer_file)
    producer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(producer)
    os.fsync = traced(os.fsync, lambda fd: "sync " + os.readlink(f"/proc/self/fd/{fd}"))
    producer.rename_noreplace = traced(
        producer.rename_noreplace, lambda source, target: f"rename {source} {target}"
    )
    if os.environ.get("WITHOUT_RENAMEAT2") == "1":
        producer.renameat2 = None
    return producer.main(arguments)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main(*sys.argv[1:]))
