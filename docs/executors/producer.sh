#!/bin/sh
# Hands an incident to msp-evidence. Reference producer: copy it, or call it.
#
# usage: producer.sh [-d FOLDER] [-n NAME] DOCUMENT [ARTIFACT...]
#
# DOCUMENT is a JSON file (`-`: standard input), ARTIFACT any regular file. Prints
# the path that was dropped. Exit: 0 dropped, 1 not dropped, with the reason.
#
# The agent takes a drop as soon as it sees its name, so a drop appears under its
# name only when it is whole and on the disk, and never in the place of another:
#
# 1. write below a name that starts with `.part-`, which the agent leaves alone;
# 2. fsync every file, then every folder that holds one;
# 3. rename, refusing a name that exists;
# 4. fsync the drop folder, so that the name survives a power cut as well.
#
# Killed anywhere on the way, it leaves a whole drop or a `.part-` name that nobody
# takes, and exit status 0 means that the drop is durable.
#
# A POSIX shell with GNU coreutils 8.30 or later (2018): its `sync FILE` is fsync(2),
# and its `mv -n` asks the kernel not to replace.
set -eu

fail() {
    echo "producer.sh: not dropped: $*" >&2
    exit 1
}

drop=${MSP_EVIDENCE_PATHS__DROP:-/var/lib/msp/drop}
name=
while getopts d:n: option; do
    case $option in
    d) drop=$OPTARG ;;
    n) name=$OPTARG ;;
    *) exit 1 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || fail "usage: producer.sh [-d FOLDER] [-n NAME] DOCUMENT [ARTIFACT...]"
document=$1
shift
[ -d "$drop" ] || fail "$drop is not a folder"
case $name in
*/* | .* | *.tmp | *.part) fail "the agent leaves a drop of the name $name alone" ;;
esac

# A folder that nobody else has, and that goes whatever happens.
part=$(mktemp -d "$drop/.part-XXXXXXXXXX") || fail "you may not write in $drop"
trap 'rm -rf -- "$part"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
[ -n "$name" ] || name=$(date -u +%Y%m%dT%H%M%S.%6NZ)-$$-${part##*-}

copy() { # FROM TO
    if [ "$1" = - ]; then cat >"$2"; else cat -- "$1" >"$2"; fi || fail "copying $1"
    chmod 0640 -- "$2"
    sync -- "$2"
}

chmod 2770 -- "$part"
if [ $# -gt 0 ]; then
    mkdir -- "$part/artifacts"
    chmod 2770 -- "$part/artifacts"
    for artifact in "$@"; do
        [ -f "$artifact" ] || fail "$artifact is not a regular file"
        to=$part/artifacts/$(basename -- "$artifact")
        [ ! -e "$to" ] || fail "two artifacts have the name of $artifact"
        copy "$artifact" "$to"
    done
    copy "$document" "$part/incident.json"
    sync -- "$part/artifacts" "$part"
    from=$part target=$drop/$name
else
    copy "$document" "$part/incident.json"
    from=$part/incident.json target=$drop/$name.json
fi

# Where the name is taken, some releases of mv say so by their exit status and some
# do not: what counts is whether the file is gone from its old place.
mv -n -T -- "$from" "$target" || true
[ ! -e "$from" ] || fail "a drop of this name waits already: $target"
sync -- "$drop"
echo "$target"
