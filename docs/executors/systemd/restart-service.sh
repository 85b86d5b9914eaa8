#!/bin/sh
# RB-SERVICE-001, version 1.0.0: the example service is down, bring it back.
#
# The service is stood in for by a file, so that the example breaks nothing: it is up when
# $SERVICE_DIR/service.pid exists.
#
# The journal gets whatever this prints. Lines that begin with `step` and this run's invocation
# id, which systemd chose at random, are read back by systemd_drop.py; text that a command
# prints cannot pass for one, since nothing outside of this run knows the id.

say() { # A line of its own, also when the command before it left its last line open.
    printf '\nstep %s %s\n' "${INVOCATION_ID:?is set by systemd}" "$*"
}

step() { # NAME COMMAND...
    step_name=$1
    shift
    say begin "$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)" "$step_name"
    step_code=0
    "$@" || step_code=$?
    say end "$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)" "$step_code"
    return "$step_code"
}

# What follows is the runbook. How many steps it has:
say total 3

check() { cat "$SERVICE_DIR/service.pid"; }
start() { echo 4711 >"$SERVICE_DIR/service.pid"; }

step check_service check && exit 0
step start_service start || exit 1
step check_service_again check
