# Installs pinned tools; sourced by tests/run and packaging/build, which set where to:
# TOOLS, a folder for tools, and LOGS, one for what installing them said.
#
# Each tool is a folder of its own, named with its version, and moved into place only when it is
# whole, so that an interrupted run leaves nothing half made behind. How long it took, or `warm`, is
# in LOGS/NAME-VERSION.time.
# shellcheck shell=bash
# shellcheck disable=SC2154 # TOOLS and LOGS are the caller's.

install_go() { # NAME VERSION PACKAGE
    local name=$1 version=$2 package=$3 place=$TOOLS/$1-$2 began=$SECONDS log=$LOGS/$1-$2.log
    [ -x "$place/$name" ] && { echo "warm" >"$LOGS/$name-$version.time"; return 0; }
    if ! command -v go >/dev/null; then
        echo "no Go toolchain on this machine to build $name $version with" >"$log"
        return 1
    fi
    local fresh=$TOOLS/.go-$name-$version.$$
    mkdir -p "$fresh"
    # No cgo: cosign's PKCS#11 support is not used, and so no C library decides.
    if GOBIN=$fresh GOFLAGS='' CGO_ENABLED=0 nice -n 10 \
        go install -trimpath "$package@$version" >"$log" 2>&1; then
        rm -rf "$place"
        mv "$fresh" "$place"
        echo "$((SECONDS - began)) s" >"$LOGS/$name-$version.time"
    else
        rm -rf "$fresh"
        echo "go install of $name $version failed: $(tail -n 1 "$log")" >>"$log"
        return 1
    fi
}

install_python() { # NAME VERSION REQUIREMENTS
    local name=$1 version=$2 requirements=$3 place=$TOOLS/py-$1-$2 began=$SECONDS log=$LOGS/$1.log
    local complete
    # Its programs name the interpreter by its path, so what was moved is made anew.
    complete=$(echo "$place" && cat "$requirements")
    [ "$(cat "$place/complete" 2>/dev/null)" = "$complete" ] && {
        echo "warm" >"$LOGS/$name.time"
        return 0
    }
    if ! command -v python3 >/dev/null; then
        echo "no python3 on this machine" >"$log"
        return 1
    fi
    rm -rf "$place"
    if python3 -m venv "$place" >"$log" 2>&1 &&
        "$place/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r "$requirements" >>"$log" 2>&1; then
        echo "$complete" >"$place/complete"
        echo "$((SECONDS - began)) s" >"$LOGS/$name.time"
    else
        echo "the Python package $name could not be installed: $(tail -n 1 "$log")" >>"$log"
        return 1
    fi
}

install_cargo() { # NAME VERSION [PROGRAM [ARGUMENTS OF cargo install...]]
    local name=$1 version=$2 program=${3:-$1} place=$TOOLS/$1-$2 began=$SECONDS log=$LOGS/$1-$2.log
    shift $(($# < 3 ? $# : 3))
    [ -x "$place/bin/$program" ] && { echo "warm" >"$LOGS/$name-$version.time"; return 0; }
    local fresh=$TOOLS/.cargo-$name-$version.$$
    # In a target folder of its own, which it removes: ours is locked by the build of the tests.
    if env -u CARGO_TARGET_DIR nice -n 10 cargo install --quiet --locked --version "$version" \
        --root "$fresh" "$@" "$name" >"$log" 2>&1; then
        rm -rf "$place"
        mv "$fresh" "$place"
        echo "$((SECONDS - began)) s" >"$LOGS/$name-$version.time"
    else
        rm -rf "$fresh"
        echo "cargo install of $name $version failed: $(tail -n 1 "$log")" >>"$log"
        return 1
    fi
}

# Debian packages, on a Debian machine and as root; and whether that worked.
debian_packages() { # LOG PACKAGE...
    local log=$1
    shift
    command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ] || {
        echo "not root on Debian, so $* cannot be installed" >>"$log"
        return 1
    }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >>"$log" 2>&1 ||
        { apt-get update -q >>"$log" 2>&1 &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >>"$log" 2>&1; } ||
        { echo "apt-get install $* failed: $(tail -n 1 "$log")" >>"$log"; return 1; }
}
