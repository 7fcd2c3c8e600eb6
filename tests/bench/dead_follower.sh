#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dead_follower.sh [PAIRS] [SECONDS] [WORKLOAD...]: what a dead follower costs. PAIRS (8) times, one
# after the other, "estreat bench" for SECONDS (10) with all three nodes and with one follower killed;
# which of the two is first alternates. Prints events/s of each pair, and the median of the ratios.
# Programs from $ESTREAT_BIN, else build/release/bin.
set -euo pipefail
pairs=${1:-8}
seconds=${2:-10}
[ $# -gt 2 ] && workloads=("${@:3}") || workloads=(batch single)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ESTREAT_BIN=${ESTREAT_BIN:-$root/build/release/bin}
PATH=$ESTREAT_BIN:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-dead-follower.XXXXXX")
cluster() { "$root/deploy/cluster.sh" "$@" --dir "$work/cluster"; }
trap 'cluster stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

field() { python3 -c 'import json, sys; print(eval(sys.argv[1], {"v": json.loads(sys.stdin.read())}))' "$1"; }
caught_up() {
    [ "$(estreat --timeout 3 -o json status 2>/dev/null |
        field 'all(n["state"] == "ok" and n["lag"] == 0 for n in v["nodes"]) and bool(v["leader"])')" = True ]
}
rate() { estreat -o json bench --workload "$1" --duration "$seconds" | field 'v["events_per_s"]'; }

measure() { # alive|dead, workload
    local follower=
    # Each from an empty log: nothing of the one before is left to flush, merge or catch up with.
    rm -rf "$work/cluster"
    eval "$(cluster start -n 3 | grep '^export')"
    if [ "$1" = dead ]; then
        follower=$(estreat -o json status | field 'next(n["id"] for n in v["nodes"] if n["role"] == "follower")')
        cluster kill "$follower"
        sleep 1
    else
        until caught_up; do sleep 0.2; done
    fi
    rate "$2"
    cluster stop 2>/dev/null
}

for workload in "${workloads[@]}"; do
    ratios=()
    for pair in $(seq "$pairs"); do
        order=(alive dead)
        [ $((pair % 2)) -eq 1 ] || order=(dead alive)
        declare -A events=()
        for state in "${order[@]}"; do events[$state]=$(measure "$state" "$workload"); done
        ratios+=("$(python3 -c 'import sys; print("%.3f" % (float(sys.argv[1]) / float(sys.argv[2])))' "${events[dead]}" "${events[alive]}")")
        printf '%s: alive %s, dead %s events/s: ratio %s\n' "$workload" "${events[alive]}" "${events[dead]}" "${ratios[-1]}"
    done
    printf '%s: median ratio %s of %s pairs\n' "$workload" \
        "$(printf '%s\n' "${ratios[@]}" | python3 -c 'import statistics, sys; print("%.3f" % statistics.median(map(float, sys.stdin)))')" "$pairs"
done
