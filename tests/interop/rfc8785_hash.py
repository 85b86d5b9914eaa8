#!/usr/bin/env python3
"""Recomputes evidence_bundle_hash with a JCS implementation that is not ours.

usage: rfc8785_hash.py FILE|FOLDER...

For each EB-*.json: SHA-256 over RFC 8785 of the document without
evidence_bundle_hash, signatures and storage_locations, compared with the hash
the document claims. Needs the package rfc8785. Exit: 0 all agree, 2 a mismatch,
1 nothing to check.
"""

import hashlib
import json
import pathlib
import sys

import rfc8785

NOT_HASHED = ("evidence_bundle_hash", "signatures", "storage_locations")


def unique_pairs(pairs):
    """I-JSON (RFC 7493, 2.3): member names are unique."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member name")
    return members


def refuse_constant(name):
    """NaN and the infinities are not JSON."""
    raise ValueError(f"{name} is not JSON")


def recompute(data):
    """The claimed and the recomputed hash of a bundle's bytes."""
    # RFC 8785 sees every number as an IEEE 754 double, so integers are read as one.
    document = json.loads(
        data,
        parse_int=float,
        parse_constant=refuse_constant,
        object_pairs_hook=unique_pairs,
    )
    claimed = document["evidence_bundle_hash"]
    for name in NOT_HASHED:
        document.pop(name, None)
    return claimed, "sha256:" + hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def bundles(arguments):
    """Every file named, and every EB-*.json below every folder named."""
    for argument in map(pathlib.Path, arguments):
        if argument.is_dir():
            for path in sorted(argument.rglob("EB-*.json")):
                if not path.name.endswith(".locations.json"):
                    yield path
        else:
            yield argument


def main(arguments):
    seen = bad = 0
    for path in bundles(arguments):
        seen += 1
        try:
            claimed, recomputed = recompute(path.read_bytes())
        except (OSError, ValueError, KeyError, TypeError) as error:
            bad += 1
            print(f"BAD {path}: {error!r}")
            continue
        if claimed == recomputed:
            print(f"OK  {path}")
        else:
            bad += 1
            print(f"BAD {path}: claims {claimed}, is {recomputed}")
    print(f"{seen} bundles, {bad} bad")
    if seen == 0:
        return 1
    return 2 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
