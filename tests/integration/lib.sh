# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the integration tests share. Source it first; it makes $work and removes it, and all nodes
# that were started in it, at the end.
set -euo pipefail

root=${ESTREAT_SOURCE_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
export ESTREAT_BIN=${ESTREAT_BIN:-$root/build/dev/bin}
PATH=$ESTREAT_BIN:$PATH
unset ESTREAT_ENDPOINTS ESTREAT_TRUST
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-test.XXXXXX")
started=() # process ids of nodes that a test started itself

cluster() { "$root/deploy/cluster.sh" "$@"; }

at_end() {
    local code=$? pid
    trap - EXIT
    if [ "$code" -ne 0 ] && [ "$code" -ne 77 ]; then
        printf 'FAILED with %s at line %s\n' "$code" "${failed_line-?}" >&2
        tail -n 5 "$work"/*/*/log "$work"/*.log >&2 2>/dev/null || true
    fi
    for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for dir in "$work"/*/; do
        if compgen -G "$dir*/estreat.conf" >/dev/null; then cluster stop --dir "${dir%/}" >/dev/null 2>&1 || true; fi
    done
    at_end_too || true
    rm -rf "$work"
    exit "$code"
}
at_end_too() { :; }
trap at_end EXIT
trap 'failed_line=$LINENO' ERR

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# expect CODE COMMAND...: the command must exit with CODE. Its stderr goes to $work/stderr.
expect() {
    local want=$1 code=0
    shift
    "$@" 2>"$work/stderr" || code=$?
    if [ "$code" -ne "$want" ]; then
        cat "$work/stderr" >&2
        fail "exit $code instead of $want: $*"
    fi
}

# The last command of expect said, besides a server's log lines, one line on stderr that holds each
# of these texts.
said() {
    local text
    grep -Ev '^[0-9-]+T[0-9:.]+Z ' "$work/stderr" >"$work/said" || true
    [ "$(wc -l <"$work/said")" -eq 1 ] || { cat "$work/stderr" >&2; fail "not one line on stderr"; }
    for text in "$@"; do
        grep -qF -- "$text" "$work/said" || { cat "$work/stderr" >&2; fail "stderr lacks: $text"; }
    done
}

# An ingest that a full disk ended exited with $1 and left $2 on stderr. 1: refused. 2: an attempt that
# was under way as the disk became full was not answered in its time, and the refusal of its repeat does
# not tell whether it is in the log.
ended_by_full_disk() {
    [ "$1" -eq 1 ] || { [ "$1" -eq 2 ] && grep -q "outcome unknown; the last attempt got" "$2"; } ||
        { cat "$2" >&2; fail "ingest into a full disk exits $1"; }
    grep -q RESOURCE_EXHAUSTED "$2" || { cat "$2" >&2; fail "not RESOURCE_EXHAUSTED"; }
}

equal() { [ "$1" = "$2" ] || fail "\"$1\" is not \"$2\"${3:+ ($3)}"; }

# json EXPRESSION: evaluates a Python expression over the JSON value v on stdin.
json() {
    python3 -c 'import json,sys
v=json.loads(sys.stdin.read())
r=eval(sys.argv[1])
print(json.dumps(r) if isinstance(r,(dict,list,bool)) or r is None else r)' "$1"
}

lines_json() { python3 -c 'import json,sys
v=[json.loads(l) for l in sys.stdin]
print(eval(sys.argv[1]))' "$1"; }

start_cluster() { # nodes, options...
    local nodes=$1
    shift
    cluster start -n "$nodes" --dir "$work/cluster" "$@" >"$work/environment"
    eval "$(grep '^export' "$work/environment")"
}

leader_of() { estreat --timeout 5 -o json status | json 'v["leader"]'; }

wait_until() { # seconds, command...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "not within the time: $*"
        sleep 0.1
    done
}
