#!/bin/sh
# Checks a folder of evidence without the program that made it.
#
#   verify.sh [--folder FOLDER] [--interval MINUTES] [--host CLIENT/HOST] KEY...
#
# Whoever forges a folder can forge the script in it, too. If you did not pull the folder yourself, run
# a copy of your own with --folder: one from a folder that you pulled, or audit/src/pull/verify.sh of the
# program's source.
#
# KEY is a public key file (PEM) that you were given by another way than this folder, or its
# fingerprint, sha256:…. One of the two is required. A key that lies in this folder is never trusted:
# with a fingerprint, the copy in keys/ is used only if that is its fingerprint.
# --host before a KEY says whose key it is; otherwise a key may sign for one host, whichever it is.
# --folder is what to check, when it is another folder than the one this script is in: a pulled one,
# or a whole bucket's prefix copied as it is.
# --interval is how often custody should come, in minutes, if not each hour.
#
# Needs: a POSIX shell and its usual tools (find, sed, sort, awk, base64), sha256sum, jq 1.6 or later,
# and cosign: 3.1.3 or later, or 2.6.5 or later. COSIGN and JQ may name the programs.
# Nothing is sent anywhere.
#
# What it checks:
#   files      the folder holds what its manifest lists and nothing else, no links, no strange names
#   signature  each EB-….json is signed by a key that you gave, or one that such a key rotated to, in
#              Sigstore's bundle format 0.3 and no other; a file in cosign's legacy format, which can
#              bring its own key (GHSA-fx35-mq7g-6g98), is refused before cosign sees it
#   key        a key signs for one host only, and after its rotation for none
#   content    evidence_bundle_hash is that of the content, and the header agrees with itself
#   place      each bundle lies where its own header says
#   artifact   each artifact that a bundle names is there with its digest, and no other is
#   chain      each bundle names the bytes of the one before it; of a whole folder: no gap, no fork, and
#              each chain that begins names truly where the one before it ended
#   custody    custody bundles follow each other without a gap, and list exactly what they cover
#   index      what custody says was sealed is here, and is what custody says of it
#   confirmed  what custody says was stored is here, with those bytes
#   coverage   custody came at least every two intervals, where no stop or start of the agent is signed
#   time       no bundle is sealed earlier than the one before it, where no jump of the clock is signed
#   asked      everything that custody lists and the question asks for is here; and a sample is the
#              one that its seed draws
#
# What it cannot see:
#   - locks, retention, versions, delete markers, dates of the store: a folder has none. What store.json
#     says of them is the word of whoever pulled. `msp-evidence audit` asks the store.
#   - whether a key was revoked or had expired when the store received a bundle: that takes those dates.
#   - what was sealed after the newest custody bundle here (the open tail; its time is printed), and a
#     host of which nothing is here. Compare the hosts that are printed with those that you expect.
#   - whether the question was narrowed by whoever made this folder: it is printed, so read it. What was
#     asked for by words that stand in bundles cannot be asked again here, and is said to be so.
#   - operators' records of holds and longer locks (records/), which are signed by other keys.
#   - the JSON schema, and names that stand twice in a signed document.
#   - that what was reported is true, or that everything was.
#
# Exit codes: 0 everything was checked and is good; 1 wrong usage, nothing was checked; 2 something is
# bad; 3 nothing is bad, and something could not be checked, which is not a pass.

set -u
LC_ALL=C
export LC_ALL
unset CDPATH

usage() {
    printf 'verify.sh: %s\n' "$1" >&2
    printf 'usage: verify.sh [--folder FOLDER] [--interval MINUTES] [--host CLIENT/HOST] KEY...   (KEY: a file, or sha256:…)\n' >&2
    exit 1
}

cosign=${COSIGN:-cosign}
jq=${JQ:-jq}
for tool in "$cosign" "$jq" sha256sum base64 awk; do
    command -v "$tool" >/dev/null 2>&1 || usage "$tool is not installed, or not on the PATH"
done

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/keys" "$work/hints" "$work/scratch"
: >"$work/trust"
: >"$work/said"
: >"$work/verified"
: >"$work/facts"

# --- what we are asked -------------------------------------------------------------------------------

here=$(cd "$(dirname "$0")" && pwd -P) || exit 1
folder=
for argument in "$@"; do
    if [ "${previous:-}" = --folder ]; then folder=$argument; fi
    previous=$argument
done
folder=$(cd "${folder:-$here}" 2>/dev/null && pwd -P) || usage "there is no folder $folder"

# The DER of the one public key in a PEM file, as base64 in one line; nothing when it is not one.
der_of() {
    [ "$(grep -c '^-----BEGIN' "$1")" = 1 ] || return 1
    tr -d '\r' <"$1" | awk '
        /^-----BEGIN PUBLIC KEY-----$/ { inside = 1; next }
        /^-----END PUBLIC KEY-----$/ { inside = 0; ended = 1; next }
        inside && /^[A-Za-z0-9+\/=]+$/ { der = der $0; next }
        inside { wrong = 1 }
        END { if (ended && !wrong) print der }'
}

# Trusts a key, bound to a host or not: writes it anew, so that cosign reads what was fingerprinted.
trust() { # DER HOST WORDS
    hex=$(printf '%s' "$1" | base64 -d 2>/dev/null | sha256sum | cut -d' ' -f1)
    {
        echo '-----BEGIN PUBLIC KEY-----'
        printf '%s\n' "$1" | fold -w 64
        echo '-----END PUBLIC KEY-----'
    } >"$work/keys/$hex"
    # The hint in a signature is the same digest, in base64.
    octal=$(printf '%s\n' "$hex" | awk '{
        digits = "0123456789abcdef"
        for (i = 1; i <= length($0); i += 2)
            printf "\\%03o", (index(digits, substr($0, i, 1)) - 1) * 16 + index(digits, substr($0, i + 1, 1)) - 1 }')
    # shellcheck disable=SC2059
    hint=$(printf "$octal" | base64)
    printf '%s' "$hex" >"$work/hints/$(printf '%s' "$hint" | tr '/+' '_-')"
    printf '%s\t%s\t%s\n' "$hex" "$2" "$3" >>"$work/trust"
}

add_key() { # KEY HOST
    case $1 in
    sha256:*)
        wanted=${1#sha256:}
        case $wanted in
        *[!0-9a-f]* | '') usage "$1 is no fingerprint" ;;
        esac
        for copy in "$folder"/keys/*.pub; do
            if [ ! -f "$copy" ] || [ -L "$copy" ]; then continue; fi
            der=$(der_of "$copy")
            [ -n "$der" ] || continue
            if [ "$(printf '%s' "$der" | base64 -d 2>/dev/null | sha256sum | cut -d' ' -f1)" = "$wanted" ]; then
                trust "$der" "$2" "by its fingerprint"
                return
            fi
        done
        usage "no key with the fingerprint $1 is in keys/: give the key file that you were given"
        ;;
    esac
    [ -f "$1" ] || usage "there is no key file $1"
    real=$(cd "$(dirname "$1")" && pwd -P)/$(basename "$1")
    while [ -L "$real" ]; do
        to=$(readlink "$real")
        case $to in /*) real=$to ;; *) real=$(dirname "$real")/$to ;; esac
    done
    real=$(cd "$(dirname "$real")" && pwd -P)/$(basename "$real")
    case $real in
    "$folder"/*) usage "$1 lies in the folder that is checked: whoever forges evidence forges the key beside it. Give the key that you were given by another way, or its fingerprint" ;;
    esac
    der=$(der_of "$1")
    [ -n "$der" ] || usage "$1 is not one public key in PEM form"
    trust "$der" "$2" "from $1"
}

bound=-
interval=60
while [ $# -gt 0 ]; do
    case $1 in
    --folder)
        [ $# -ge 2 ] || usage "--folder takes a folder"
        shift 2
        ;;
    --interval)
        case ${2:-} in '' | 0* | *[!0-9]*) usage "--interval takes minutes" ;; esac
        interval=$2
        shift 2
        ;;
    --host)
        [ $# -ge 2 ] || usage "--host takes CLIENT/HOST"
        case $2 in */*/* | /* | */ | '') usage "$2 is not CLIENT/HOST" ;; */*) bound=$2 ;; *) usage "$2 is not CLIENT/HOST" ;; esac
        shift 2
        ;;
    --*) usage "unknown option $1" ;;
    *)
        add_key "$1" "$bound"
        bound=-
        shift
        ;;
    esac
done
[ -s "$work/trust" ] || usage "give the public key that you trust, or its fingerprint"
[ "$bound" = - ] || usage "--host stands before a key"

say() { # FAIL|UNKNOWN|NOTE CHECK TEXT
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$work/said"
}

version=$("$cosign" version --json 2>/dev/null | "$jq" -r '.gitVersion // ""' 2>/dev/null)
case $version in
v2.6.[5-9] | v2.6.[1-9][0-9] | v2.[7-9].* | v2.[1-9][0-9].* | v3.1.[3-9] | v3.1.[1-9][0-9] | v3.[2-9].* | v3.[1-9][0-9].* | v[4-9].*) ;;
*) say NOTE signature "cosign is ${version:-of an unknown version}: use 3.1.3 or later, or 2.6.5 or later" ;;
esac
# It trusts nobody: cosign asks no network for keys, and every release refuses its legacy format.
printf '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}\n' >"$work/root.json"

# --- files -------------------------------------------------------------------------------------------

cd "$folder" || exit 1
find . ! -type f ! -type d | sed 's|^\./||' >"$work/odd"
while IFS= read -r name; do
    say FAIL files "$name: neither a file nor a folder; it was not followed"
done <"$work/odd"
find . -type f -name '*[!A-Za-z0-9._-]*' -o -type d ! -name . -name '*[!A-Za-z0-9._-]*' >"$work/strange"
if [ -s "$work/strange" ]; then
    say FAIL files "$(wc -l <"$work/strange" | tr -d ' ') names with other characters than A-Z a-z 0-9 . _ -; nothing below them was looked at"
fi
# No name has a space or a line break from here on.
find . ! -name . -name '*[!A-Za-z0-9._-]*' -prune -o -type f -print | sed 's|^\./||' | sort >"$work/files"
xargs sha256sum <"$work/files" >"$work/digests" 2>/dev/null ||
    say UNKNOWN files "some files cannot be read"

root=
kit=false
if [ -f manifest.json ]; then
    kit=true
    root=evidence/
    "$jq" -e 'type == "object"' manifest.json >"$work/scratch/m" 2>/dev/null || {
        say FAIL files "manifest.json is no JSON object"
        kit=false
    }
fi
if [ ! -f manifest.json ] && [ -f manifest.sha256 ]; then
    root=evidence/
    say FAIL files "manifest.json is missing: it was taken away, or a pull was interrupted"
fi
if $kit; then
    # What lies here is what the manifest lists. It is unsigned: it shows damage, not forgery.
    grep -v '  manifest\.sha256$' "$work/digests" >"$work/there"
    if [ -f manifest.sha256 ]; then
        sort -k2 manifest.sha256 >"$work/listed"
        sort -k2 "$work/there" | comm -3 "$work/listed" - 2>/dev/null |
            sed 's/^\t//' | sed 's/^[0-9a-f]*  //' | sort -u >"$work/differ"
        while IFS= read -r name; do
            say FAIL files "$name: not as manifest.sha256 lists it: changed, missing, or not listed"
        done <"$work/differ"
    else
        say FAIL files "manifest.sha256 is missing"
    fi
    grep -Ev '^(evidence/.*|keys/[^/]*\.pub|verify\.sh|index\.html|manifest\.json|manifest\.sha256|store\.json)$' \
        "$work/files" >"$work/extra"
    while IFS= read -r name; do
        say FAIL files "$name: belongs to no pulled folder"
    done <"$work/extra"
fi

sed -n "s|^$root||p" "$work/files" >"$work/objects"
folders='[^/]*/[^/]*/[^/]*/[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]'
bundle='EB-[0-9]\{8\}-[0-9]\{4,\}'
grep "^$folders/$bundle\.json\$" "$work/objects" >"$work/bundles"
grep "^$folders/$bundle\.json\.bundle\$" "$work/objects" >"$work/signatures"
grep "^$folders/$bundle/artifacts/[0-9a-f]\{64\}/[^/]*\$" "$work/objects" >"$work/artifacts"
grep "^$folders/$bundle\.locations\.json\$" "$work/objects" >"$work/locations"
# What people did at the store, signed by them with keys of their own.
grep '^records/REC-[0-9A-Z]*\.json\(\.bundle\)\{0,1\}$' "$work/objects" >"$work/records"
[ ! -s "$work/records" ] || say NOTE files "operators' records are here; they are not looked at: msp-evidence audit does"
if ! $kit; then
    # A folder may be a pulled one without its manifest, or hold this script.
    grep -v '^verify\.sh$' "$work/objects" >"$work/scratch/o"
    mv "$work/scratch/o" "$work/objects"
fi
sort "$work/bundles" "$work/signatures" "$work/artifacts" "$work/locations" "$work/records" |
    comm -13 - "$work/objects" >"$work/others"
while IFS= read -r name; do
    say FAIL files "$root$name: belongs to no bundle"
done <"$work/others"
sed 's/\.bundle$//' "$work/signatures" | comm -23 - "$work/bundles" >"$work/lone"
while IFS= read -r name; do
    say FAIL signature "$root$name.bundle: a signature without its bundle"
done <"$work/lone"
[ -s "$work/bundles" ] || say UNKNOWN signature "no bundle is in this folder"

# --- signatures --------------------------------------------------------------------------------------

# Exactly the fields of a Sigstore bundle 0.3 with a public key, once each; says the key's hint.
cat >"$work/form.jq" <<'JQ'
if length == 1 then .[0] else empty end
| select(type == "object" and keys == ["mediaType", "messageSignature", "verificationMaterial"])
| select(.mediaType == "application/vnd.dev.sigstore.bundle.v0.3+json")
| select((.verificationMaterial | type == "object" and keys == ["publicKey"])
    and (.verificationMaterial.publicKey | type == "object" and keys == ["hint"])
    and (.messageSignature | type == "object" and keys == ["messageDigest", "signature"])
    and (.messageSignature.messageDigest | type == "object" and keys == ["algorithm", "digest"])
    and .messageSignature.messageDigest.algorithm == "SHA2_256"
    and ([.. | scalars] | all(type == "string")))
| .verificationMaterial.publicKey.hint
JQ

# What is said of a bundle below; only of verified bytes.
cat >"$work/fact.jq" <<'JQ'
{
  $path, $sha, $key,
  id: .bundle_id, version: .bundle_version, kind, client: .client_id, host: .host_id,
  at: .generated_at, chain: .chain.chain_id, seq: .chain.sequence, prev: .chain.previous_sha256,
  predecessor: .chain.predecessor, began: .chain.began,
  reseals: .reseals.sha256?,
  signatures, hash: .evidence_bundle_hash,
  rotation, custody,
  files: (.artifacts.files? // []),
  incident: (if .kind == "incident" then
    (.incident | {incident_id, event_type, severity, detected_at, hostname,
      hipaa_controls: (.hipaa_controls // [])})
    + (.execution | {resolution_type, sla_met, mttr_seconds, sla_target_seconds})
    + (if (.controls.soc2? // []) == [] then {} else {soc2: .controls.soc2} end)
    + {findings: ([.findings[]?.code] | unique)}
  else null end),
  # Everything below is what jq writes as RFC 8785 wants it.
  plain: ([.. | numbers | select(. != floor or . > 9007199254740991 or . < -9007199254740991)] == []
    and ([.. | if type == "object" then keys[] elif type == "string" then . else empty end
      | explode[] | select(. == 127 or . > 55295)] == []))
}
JQ

digest_of() { # PATH below the root
    awk -v name="$root$1" '$2 == name { print $1; exit }' "$work/digests"
}

# One bundle: verified, or said to be bad, or left for a key that a rotation may still bring.
check_bundle() { # PATH
    file=$root$1
    signature=$file.bundle
    if [ ! -f "$signature" ]; then
        say FAIL signature "$file: unsigned, no signature is beside it"
        return
    fi
    hint=$("$jq" -ser -f "$work/form.jq" "$signature" 2>/dev/null) || hint=
    "$jq" -cj . "$signature" 2>/dev/null | tr -d ' \n\r\t' >"$work/scratch/form"
    tr -d ' \n\r\t' <"$signature" >"$work/scratch/bytes"
    if [ -z "$hint" ] || ! cmp -s "$work/scratch/form" "$work/scratch/bytes"; then
        say FAIL signature "$signature: not a Sigstore bundle 0.3 with exactly its fields; in any other form it may bring a key of its own"
        return
    fi
    case $hint in
    *[!A-Za-z0-9+/=]*) key= ;;
    *) key=$(cat "$work/hints/$(printf '%s' "$hint" | tr '/+' '_-')" 2>/dev/null) ;;
    esac
    if [ -z "$key" ]; then
        printf '%s\n' "$1" >>"$work/waiting"
        return
    fi
    if ! answer=$("$cosign" verify-blob --key "$work/keys/$key" --bundle "$signature" \
        --trusted-root "$work/root.json" --insecure-ignore-tlog "$file" 2>&1) ||
        ! printf '%s\n' "$answer" | grep -qx 'Verified OK'; then
        say FAIL signature "$file: cosign does not verify it with sha256:$key"
        return
    fi
    sha=$(digest_of "$1")
    if ! "$jq" -c --arg path "$1" --arg sha "$sha" --arg key "$key" -f "$work/fact.jq" "$file" \
        >"$work/scratch/fact" 2>/dev/null || [ "$(wc -l <"$work/scratch/fact")" -ne 1 ]; then
        say FAIL content "$file: signed, and not one JSON document of a bundle's form"
        return
    fi
    # RFC 8785 of what is attested; jq's sorted, compact form is that, for what is plain.
    computed=$("$jq" -cjS 'del(.evidence_bundle_hash, .signatures, .storage_locations)
        | (.. | numbers) |= . + 0' "$file" 2>/dev/null | sha256sum | cut -d' ' -f1)
    if [ "$("$jq" -r .hash "$work/scratch/fact")" != "sha256:$computed" ]; then
        if [ "$("$jq" -r .plain "$work/scratch/fact")" = true ]; then
            say FAIL content "$file: evidence_bundle_hash is not that of its content"
        else
            say UNKNOWN content "$file: jq cannot write its numbers or names as RFC 8785 asks, so its evidence_bundle_hash was not computed"
        fi
    fi
    cat "$work/scratch/fact" >>"$work/facts"
    printf '%s\n' "$1" >>"$work/verified"
    if [ "$("$jq" -r '.kind' "$work/scratch/fact")" = rotation ]; then
        follow "$1" "$key"
    fi
}

# A rotation that its own key signed leads to one more key, for the same host.
follow() { # PATH KEY
    file=$root$1
    "$jq" -r '.rotation.to_public_key' "$file" >"$work/scratch/pem"
    der=$(der_of "$work/scratch/pem")
    to=$(printf '%s' "$der" | base64 -d 2>/dev/null | sha256sum | cut -d' ' -f1)
    if [ -z "$der" ] || [ "$("$jq" -r .rotation.from_key_id "$file")" != "sha256:$2" ] ||
        [ "$("$jq" -r .rotation.to_key_id "$file")" != "sha256:$to" ] || [ "$to" = "$2" ]; then
        say FAIL key "$file: a rotation that is not its signer's, or not to the key that it names; it was not followed"
        return
    fi
    grep -q "^$to	" "$work/trust" ||
        trust "$der" "$("$jq" -r '"\(.client_id)/\(.host_id)"' "$file")" "by the rotation in $1"
}

cp "$work/bundles" "$work/todo"
total=$(wc -l <"$work/bundles" | tr -d ' ')
looked=0
while [ -s "$work/todo" ]; do
    keys=$(wc -l <"$work/trust")
    : >"$work/waiting"
    while IFS= read -r path; do
        check_bundle "$path"
        looked=$((looked + 1))
        [ -t 2 ] && printf '\r%s of %s bundles' "$looked" "$total" >&2
    done <"$work/todo"
    mv "$work/waiting" "$work/todo"
    # Another round only if a rotation brought a key meanwhile.
    [ "$(wc -l <"$work/trust")" -gt "$keys" ] || break
    looked=$(($(wc -l <"$work/verified")))
done
[ -t 2 ] && printf '\r\033[K' >&2
if [ -s "$work/todo" ]; then
    while IFS= read -r path; do
        say FAIL signature "$root$path: signed by a key that you did not give"
    done <"$work/todo"
fi

# --- what the bundles say of each other ----------------------------------------------------------------

cat >"$work/judge.jq" <<'JQ'
def fail($check; $text): "FAIL\t\($check)\t\($text)";
def unknown($check; $text): "UNKNOWN\t\($check)\t\($text)";
def note($check; $text): "NOTE\t\($check)\t\($text)";
def count($check; $n): "COUNT\t\($check)\t\($n)";

# RFC 3339 to seconds.
def instant:
  capture("^(?<m>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}):(?<s>[0-9]{2})(?<f>[.][0-9]+)?(?<z>Z|[+-][0-9]{2}:[0-9]{2})$")
  | (.m + ":00Z" | fromdateiso8601) + (.s | tonumber) + ("0" + (.f // "") | tonumber)
    - (if .z == "Z" then 0 else
        (if .z[0:1] == "-" then -1 else 1 end) * ((.z[1:3] | tonumber) * 3600 + (.z[4:6] | tonumber) * 60)
      end);

def safe_name:
  explode | .[0:100]
  | map(if (. >= 48 and . <= 57) or (. >= 65 and . <= 90) or (. >= 97 and . <= 122)
        or . == 45 or . == 46 or . == 95 then . else 95 end)
  | (if length == 0 then [95] else . end)
  | (if .[0] == 46 then [95] + .[1:] else . end)
  | implode;

def folder: "\(.client)/\(.host)/\(.chain)/\(.id[3:7])/\(.id[7:9])/\(.id[9:11])";
def bare: gsub("\\s"; "")
  | sub("^(hipaa)?(45cfr|45c[.]f[.]r[.])?(part|section|sec[.])?(§§|§)?"; ""; "i");
def one_of($asked; f): ($asked | length) == 0 or any($asked[]; f);

# Whether a sealed entry answers the question, but for its words.
def answers($q; $client; $host):
  . as $e
  | one_of($q.clients; . == $client) and one_of($q.hosts; . == $host) and one_of($q.kinds; . == $e.kind)
  and (if $q.time == "detected" and $e.incident then $e.incident.detected_at else $e.generated_at end
    | instant as $at
    | ($q.from == null or $at >= ($q.from | instant)) and ($q.before == null or $at < ($q.before | instant)))
  and (if $e.incident then
      one_of($q.event_types; ascii_downcase == ($e.incident.event_type | ascii_downcase))
      and one_of($q.severities; ascii_downcase == ($e.incident.severity | ascii_downcase))
      and one_of($q.resolutions; ascii_downcase == ($e.incident.resolution_type | ascii_downcase))
      and one_of($q.controls; . as $c | any($e.incident.hipaa_controls[];
            bare | startswith($c) and (ltrimstr($c) | . == "" or startswith("("))))
      and one_of($q.soc2 // []; . as $c | any($e.incident.soc2[]?; startswith($c) and (ltrimstr($c) | . == "" or startswith("."))))
      and one_of($q.findings // []; . as $c | any($e.incident.findings[]?; . == $c))
      and (($q.sla_missed | not) or ($e.incident.sla_met | not))
    else
      ($q.sla_missed | not)
      and ([$q.event_types, $q.severities, $q.resolutions, $q.controls, $q.soc2 // [], $q.findings // []] | all(length == 0))
    end);

def place: "\(.chain) \(.seq)";
def range_of($from; $to): if $from == $to then "\($from)" else "\($from) to \($to)" end;

($manifest[0] // null) as $m
| ($m != null) as $kit
| ($m.query // null) as $q
| (if $kit and $q.from != null then ($q.from | instant) - (if $q.time == "detected" then 172800 else 0 end)
   else null end) as $since
| (if $kit and $q.before != null then ($q.before | instant) + (if $q.time == "detected" then 172800 else 0 end)
   else null end) as $until
| . as $facts
| ($digests | split("\n") | map(select(length > 66) | {key: .[66:], value: .[0:64]}) | from_entries) as $files
| ($trust | split("\n") | map(select(length > 0) | split("\t") | {key: .[0], value: .[1]}) | from_entries) as $bound
| INDEX($facts[]; place) as $by_place
| (reduce ($facts[] | select(.reseals)) as $f ({}; .[$f.reseals | ltrimstr("sha256:")] = $f.id)) as $resealed
| ($facts | map(select(.kind == "custody"))) as $custodies
| ([$facts[] | select(.kind == "rotation")]) as $rotations
| ($facts | group_by([.client, .host, .chain]) | map(sort_by(.seq))) as $chains
# What custody lists, by place: the client and host are those of the custody bundle.
| ([$custodies[] | . as $c | .custody.sealed[] | . + {client: $c.client, host: $c.host, chain: $c.chain,
     seq: .sequence, by: $c.id}]) as $listed
| (INDEX($listed[]; place)) as $listed_at

# key, content, place
| [ ($facts[]
  | . as $f
  | "\($root)\(.path)" as $file
  | ("\(.client)/\(.host)") as $whose
  | (select(.path != folder + "/" + .id + ".json")
     | fail("place"; "\($file): its own header says that it belongs to \(folder)/\(.id).json")),
    (select((.signatures | length) != 1 or .signatures[0].key_id != "sha256:" + .key
        or .signatures[0].file != .id + ".json.bundle" or .version != "1.0"
        or ((.seq == 1) != (.prev == null)) or (.seq != 1 and (.predecessor != null or .began != null))
        or (.id | test("^EB-[0-9]{8}-[0-9]{4,}$") | not))
     | fail("content"; "\($file): its header does not agree with itself or with its signature")),
    (select(($bound[.key] // "-") != "-" and $bound[.key] != $whose)
     | fail("key"; "\($file): sha256:\(.key) is the key of \($bound[$f.key]), and this is of \($whose)"))),

  ($facts | group_by(.key)[] | (map("\(.client)/\(.host)") | unique) as $hosts
    | select(($hosts | length) > 1)
    | fail("key"; "sha256:\(.[0].key) signs for several hosts, \($hosts | join(" and ")): say with --host whose it is")),

# artifact
  ($facts | map(. as $f | (.path | rtrimstr(".json")) as $below
      | .files[] | {path: "\($below)/artifacts/\(.sha256)/\(.name | safe_name)", sha: .sha256, id: $f.id})) as $wanted
  | ($wanted[] | . as $w | ($files[$root + .path]) as $there
      | if $there == null then fail("artifact"; "\($root)\(.path): \(.id) names it, and it is not here")
        elif $there != .sha then fail("artifact"; "\($root)\(.path): its bytes are not those that \(.id) names")
        else empty end),
    (($wanted | map({key: .path, value: true}) | from_entries) as $named
     | $artifacts | split("\n")[] | select(length > 0) | select($named[.] | not)
     | fail("artifact"; "\($root)\(.): no bundle here names it")),
    count("artifact"; $wanted | length),

# chain
  ($chains[] | . as $chain | .[0].chain as $id
    | (group_by(.seq)[] | select(length > 1)
        | fail("chain"; "chain \($id): \(map(.id) | join(" and ")) both claim place \(.[0].seq)")),
      (range(1; length) as $i | $chain[$i - 1] as $a | $chain[$i] as $b
        | select($b.seq == $a.seq + 1)
        | (select($b.prev != $a.sha)
            | fail("chain"; "chain \($id): \($b.id), place \($b.seq), names other bytes before it than those of \($a.id)")),
          (select($b.key != $a.key and (any($rotations[]; .chain == $id and .seq == $a.seq) | not))
            | fail("key"; "chain \($id): another key signs from place \($b.seq) on, and no rotation names it"))),
      ($rotations[] | select(.chain == $id) | . as $r
        | ($chain[] | select((.seq > $r.seq and "sha256:" + .key == $r.rotation.from_key_id)
              or (.seq <= $r.seq and "sha256:" + .key == $r.rotation.to_key_id))
          | fail("key"; "\($root)\(.path): signed by a key on the wrong side of the rotation in \($r.id)"))),
      # Any two neighbours here: the one key leads to the other by the rotations between them.
      (range(1; length) as $i | $chain[$i - 1] as $a | $chain[$i] as $b | select($b.seq > $a.seq + 1)
        | (reduce ($rotations | map(select(.chain == $id and .seq >= $a.seq and .seq < $b.seq)) | sort_by(.seq)[])
            as $r ("sha256:" + $a.key; if . == $r.rotation.from_key_id then $r.rotation.to_key_id else . end)) as $led
        | select($led != "sha256:" + $b.key)
        | fail("key"; "chain \($id): another key signs at place \($b.seq) than at \($a.seq), and no rotation here leads to it")),
      (if $kit then empty else
        (select(.[0].seq > 1) | fail("chain"; "chain \($id): places \(range_of(1; .[0].seq - 1)) are missing, at its beginning")),
        (range(1; length) as $i | $chain[$i - 1] as $a | $chain[$i] as $b | select($b.seq > $a.seq + 1)
          | ($listed_at["\($id) \($a.seq + 1)"].sha256 // $b.prev) as $gone
          | if $b.seq == $a.seq + 2 and $resealed[$gone] then
              note("chain"; "chain \($id): place \($a.seq + 1) is said again by \($resealed[$gone])")
            else fail("chain"; "chain \($id): places \(range_of($a.seq + 1; $b.seq - 1)) are missing") end),
        (.[0] | select(.seq == 1) | (.began.missing // [])[]
          | fail("chain"; "chain \(.chain_id): the host itself says that places \(range_of(.from_sequence; .to_sequence)) are lost"))
      end),
      (.[0] | select(.predecessor) | . as $first | .predecessor as $p
        | $by_place["\($p.chain_id) \($p.sequence)"] as $ended
        | if $ended == null then
            (if $kit then empty
             else fail("chain"; "chain \($id) follows place \($p.sequence) of chain \($p.chain_id), which is not here") end)
          elif $ended.sha != $p.sha256 then
            fail("chain"; "chain \($id) follows place \($p.sequence) of chain \($p.chain_id), and names other bytes than are there")
          else
            ([$facts[] | select(.chain == $p.chain_id) | .seq] | max) as $last
            | select($last > $p.sequence)
            | fail("chain"; "chain \($p.chain_id) went on to place \($last), after \($p.sequence), where chain \($id) says that it ended")
          end)),
  (if $kit then empty else
    ($chains | group_by(.[0].client + "/" + .[0].host)[]
      | map(.[0] | select(.seq == 1 and .predecessor == null)) | select(length > 1)
      | fail("chain"; "\(.[0].client)/\(.[0].host) has \(length) chains that follow none: \(map(.chain) | join(", "))"))
  end),
  count("chain"; $chains | length),

# custody
  ($custodies[] | . as $c | .custody as $s | "\($root)\(.path)" as $file
    | (if $s.covers == null then
         select(.seq != 1 or ($s.sealed | length) > 0)
       else
         select($s.covers.to_sequence >= .seq or $s.covers.from_sequence > $s.covers.to_sequence
           or ($s.sealed | map(.sequence)) != [range($s.covers.from_sequence; $s.covers.to_sequence + 1)])
       end
       | fail("custody"; "\($file): what it lists is not what it covers")),
      ($s.previous_custody | select(. != null) | . as $p
        | $by_place["\($p.chain_id) \($p.sequence)"]
        | select(. != null) | select(.sha != $p.sha256 or .kind != "custody")
        | fail("custody"; "\($file): the custody bundle before it is not the one that it names"))),
  ($chains[] | . as $all | map(select(.kind == "custody")) | . as $chain | $all[0].chain as $id
    | (range(1; length) as $i | $chain[$i - 1] as $a | $chain[$i] as $b
        | (select($b.custody.previous_custody != {chain_id: $id, sequence: $a.seq, sha256: $a.sha})
            | fail("custody"; "chain \($id): \($b.id) does not follow \($a.id): custody between them is missing, or one of them is not true")),
          (select(($b.custody.covers.from_sequence // 1) != ($a.custody.covers.to_sequence // 0) + 1)
            | fail("custody"; "chain \($id): \($a.id) covers up to place \($a.custody.covers.to_sequence // 0), and \($b.id) from \($b.custody.covers.from_sequence // 1)")),
          (["bundles", "incidents", "custody", "probes", "rotations"][] as $n
            | select($b.custody.totals[$n] < $a.custody.totals[$n])
            | fail("custody"; "chain \($id): \($b.id) counts fewer \($n) than \($a.id) before it"))),
      # The first one here: is there anything before it that should be?
      (.[0] | select(. != null) | . as $first | .custody as $s
        | ($s.previous_custody | if . == null then null else $by_place["\(.chain_id) \(.sequence)"] end) as $before
        | (if ($s.covers.from_sequence // 1) == 1 then true
           elif $kit and $since != null then (.at | instant) <= $since
           else false end) as $reaches
        | select($reaches | not)
        | fail("custody"; "chain \($id): the first custody bundle here, \(.id), covers from place \($s.covers.from_sequence) on; the ones before it are missing")),
      (.[0] | select(. != null) | . as $first
        | select(.custody.previous_custody != null and .custody.previous_custody.chain_id != $id)
        | select($by_place["\(.custody.previous_custody.chain_id) \(.custody.previous_custody.sequence)"] == null)
        | select($kit | not) | select(any($resealed[]; . == $first.id) | not)
        | fail("custody"; "chain \($id): the custody bundle before its first one, in chain \(.custody.previous_custody.chain_id), is not here")),
      (if $kit and $since != null and length > 0 and (.[0].at | instant) > $since
          and .[0].custody.previous_custody != null
          and $by_place["\(.[0].custody.previous_custody.chain_id) \(.[0].custody.previous_custody.sequence)"] == null
       then fail("custody"; "chain \($id): the custody bundle before \(.[0].id) is not here, and the period that was asked for begins before it")
       else empty end),
      (if length == 0 then
         if $kit and ($all | all(.kind == "rotation")) then empty
         else unknown("custody"; "chain \($id): no custody bundle is here, so nothing says what else there was") end
       else
         (map(.custody.covers.to_sequence // 0) | max) as $ended
         | (map(.custody.covers.from_sequence // 1) | min) as $began
         | (.[-1]) as $newest
         | ([$all[] | select(.seq > $ended and .seq != $newest.seq)] | length) as $tail
         | ($all[] | select(.seq <= $ended) | select($listed_at[place] == null)
             # A rotation is pulled for its key, however long before the period it was.
             | select(($kit and .kind == "rotation" and .seq < $began) | not)
             | fail("custody"; "\($root)\(.path): covered by no custody bundle here")),
           note("tail"; "\($newest.client)/\($newest.host), chain \($id): custody ends at \($newest.at) with \($newest.id); \($tail) bundles here came later, and others may have")
       end)),
  (if $kit and $until != null then
    ($custodies | group_by([.client, .host])[] | max_by(.at | instant)
      | select((.at | instant) < $until)
      | unknown("asked"; "\(.client)/\(.host): custody here ends at \(.at), before the end of the period that was asked for (for times of detection, two days after it)"))
   else empty end),
  count("custody"; $custodies | length),

# coverage, time
  ($custodies[] | . as $c | .custody.previous_custody | select(. != null)
    | $by_place["\(.chain_id) \(.sequence)"] | select(. != null) | . as $p
    | (($c.at | instant) - ($p.at | instant)) as $secs
    | select($secs > ($interval | tonumber) * 120)
    | "\($c.client)/\($c.host): no custody from \($p.at) to \($c.at)" as $what
    | if $p.custody.because == "stop" or $c.custody.because == "start" then
        note("coverage"; "\($what), while the agent was stopped, as it says")
      else fail("coverage"; "\($what): the host was silent") end),
  ($chains[] | . as $chain
    | ([.[] | select(.kind == "custody" and (.custody.clock_events | length) > 0) | .seq] | max) as $jumped
    | range(1; length) as $i | $chain[$i - 1] as $a | $chain[$i] as $b
    | select($b.seq > $a.seq and ($b.at | instant) < ($a.at | instant))
    | "chain \($b.chain): \($b.id), place \($b.seq), says that it was sealed at \($b.at), before \($a.id), place \($a.seq), at \($a.at)" as $what
    | if $jumped != null and $jumped >= $b.seq then note("time"; "\($what); custody tells of a jump of the clock")
      else fail("time"; $what) end),

# index
  ($listed[] | . as $e | $by_place[place] as $f
    | if $f == null then
        (if $resealed[.sha256] then note("index"; "\(.bundle_id), place \(.seq), is said again by \($resealed[$e.sha256])")
         elif $kit then empty
         else fail("index"; "\(.by) lists \(.bundle_id), place \(.seq) of chain \(.chain), and it is not here, or not proven") end)
      elif $f.sha != .sha256 or $f.id != .bundle_id or $f.kind != .kind or $f.at != .generated_at
          or $f.client != .client or $f.host != .host then
        fail("index"; "\(.by) lists \(.bundle_id), place \(.seq) of chain \(.chain), and the bundle there is another: \($f.id)")
      elif .incident != null and (.incident | .findings = (.findings // [])) != $f.incident then
        fail("index"; "\(.by) says of \(.bundle_id) something else than that bundle")
      elif .incident == null and $f.incident != null then
        fail("index"; "\(.by) does not say what \(.bundle_id) is about")
      else empty end),
  count("index"; $listed | length),

# confirmed
  ($custodies[] | . as $c | .custody.confirmed[] | . as $e
    | $files[$root + .object] as $there
    | if $there != null then
        select($there != .sha256)
        | fail("confirmed"; "\($root)\(.object): \($c.id) says that other bytes were stored")
      elif $kit and ($by_place["\(.chain_id) \(.sequence)"] == null) then empty
      else fail("confirmed"; "\($root)\(.object): \($c.id) says that it was stored, and it is not here") end),
  count("confirmed"; [$custodies[].custody.confirmed[]] | length),

# asked
  (if $kit | not then empty
   elif $q == null or ($q.clients | type) != "array" then unknown("asked"; "the manifest does not say what was asked for")
   else
     ($listed | map(select(answers($q; .client; .host)))) as $matching
     | (if ($q.words | length) > 0 then
          unknown("asked"; "bundles were chosen by words that stand in them (\($q.words | tojson)); which others of the \($matching | length) that custody names hold these words cannot be seen here")
        elif $m.sample != null then
          ("SAMPLE\t\($m.sample.seed)\t\($m.sample.size)",
           ($matching[] | "MEMBER\t\(.sha256)\t\(.bundle_id)"),
           (($m.sample.not_in_custody // [])[] | "MEMBER\t\(.sha256)\t\(.bundle_id)"),
           ($facts[] | "HERE\t\(.sha)\t\(.id)"))
        else
          ($matching[] | select($by_place[place] == null and ($resealed[.sha256] | not))
            | fail("asked"; "\(.bundle_id), place \(.seq) of chain \(.chain), answers the question, and is not here"))
        end),
       count("asked"; $matching | length)
   end),
  ($facts | group_by([.client, .host])[] | "HOST\t\(.[0].client)/\(.[0].host)\t\(length) bundles, \(map(select(.kind == "custody")) | length) of them custody, sealed from \(map(.at) | min) to \(map(.at) | max)"),
  ($m | select(. != null) | "QUERY\t\(.query | tojson)\t\(.sample | tojson)")
  ][]
JQ

: >"$work/judged"
if [ -s "$work/facts" ]; then
    if $kit; then manifest=manifest.json; else manifest=/dev/null; fi
    "$jq" -rs --slurpfile manifest "$manifest" --arg root "$root" --arg interval "$interval" \
        --rawfile digests "$work/digests" --rawfile trust "$work/trust" --rawfile artifacts "$work/artifacts" \
        -f "$work/judge.jq" "$work/facts" >"$work/judged" 2>"$work/scratch/error" || {
        say FAIL content "what is signed, or the manifest, is not of the form that it should be: $(head -c 300 "$work/scratch/error")"
    }
    grep -E '^(FAIL|UNKNOWN|NOTE)	' "$work/judged" >>"$work/said"
fi

# --- the sample --------------------------------------------------------------------------------------

# The members of the population in the order of SHA-256("SEED:SHA-256 of the bundle"); the first are drawn.
if grep -q '^SAMPLE	' "$work/judged"; then
    seed=$(sed -n 's/^SAMPLE	\([0-9]*\)	.*/\1/p' "$work/judged")
    size=$(sed -n 's/^SAMPLE	[0-9]*	\([0-9]*\)$/\1/p' "$work/judged")
    grep '^MEMBER	' "$work/judged" | cut -f2,3 | sort -u >"$work/members"
    mkdir "$work/rank"
    (
        cd "$work/rank" || exit 1
        awk -v seed="$seed" '{ printf "%s:%s", seed, $1 >$1; close($1) }' ../members
        cut -f1 ../members | xargs sha256sum | sort | head -n "${size:-0}" | sed 's/^[0-9a-f]*  //'
    ) | sort >"$work/drawn"
    grep '^HERE	' "$work/judged" | cut -f2 | sort -u >"$work/present"
    comm -23 "$work/drawn" "$work/present" >"$work/undrawn"
    while IFS= read -r sha; do
        say FAIL asked "the seed draws $(awk -v sha="$sha" '$1 == sha { print $2 }' "$work/members"), and it is not here"
    done <"$work/undrawn"
    printf 'COUNT\tsample\t%s of %s\n' "$(wc -l <"$work/drawn" | tr -d ' ')" "$(wc -l <"$work/members" | tr -d ' ')" >>"$work/judged"
fi

# --- what came of it -----------------------------------------------------------------------------------

# Only what a terminal shows as it is.
show() { tr -cd '\11\12\40-\176'; }

counted() { sed -n "s/^COUNT	$1	//p" "$work/judged"; }
{
    while IFS='	' read -r hex host how; do
        printf 'key        sha256:%s, %s%s\n' "$hex" "$how" "$([ "$host" = - ] || printf ', for %s' "$host")"
    done <"$work/trust"
    sed -n 's/^HOST	\([^	]*\)	/host       \1: /p' "$work/judged"
    sed -n 's/^QUERY	\([^	]*\)	null$/asked      \1/p; s/^QUERY	\([^	]*\)	\({.*\)$/asked      \1\
sample     \2/p' "$work/judged"
    printf 'checked    %s files; %s of %s bundles signed and proven, %s artifacts; %s chains, %s custody bundles, %s places and %s stored objects that they list' \
        "$(wc -l <"$work/files" | tr -d ' ')" "$(wc -l <"$work/verified" | tr -d ' ')" "$total" \
        "$(counted artifact)" "$(counted chain)" "$(counted custody)" "$(counted index)" "$(counted confirmed)"
    if $kit; then printf '; %s answer the question' "$(counted asked)"; fi
    if [ -n "$(counted sample)" ]; then printf '; %s drawn' "$(counted sample)"; fi
    printf '\n'
    grep '^NOTE	' "$work/said" | sed 's/^NOTE	tail	/open tail  /; s/^NOTE	[a-z]*	/note       /'
    grep '^UNKNOWN	' "$work/said" | sed 's/^UNKNOWN	\([a-z]*\)	/COULD NOT CHECK  \1: /'
    grep '^FAIL	' "$work/said" | sed 's/^FAIL	\([a-z]*\)	/FAILED  \1: /'
    printf 'not seen   locks, retention, versions and dates of the store, and revocation; see the head of verify.sh\n'
} | show

failed=$(grep -c '^FAIL	' "$work/said")
unknown=$(grep -c '^UNKNOWN	' "$work/said")
if [ "$failed" -gt 0 ]; then
    printf 'FAILED: %s\n' "$failed"
    exit 2
fi
if [ "$unknown" -gt 0 ]; then
    printf 'NOT PASSED: nothing failed, and %s could not be checked\n' "$unknown"
    exit 3
fi
printf 'PASSED\n'
