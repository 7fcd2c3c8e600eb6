#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dead_follower.sh [PAIRS] [SECONDS] [WORKLOAD...]: what a dead follower costs. PAIRS (8) times, one
# after the other, "estreat bench" for SECONDS (10) with all three nodes and with one follower killed;
# which of the two is first alternates. Prints events/s of each pair, the processor time of the leader for
# an event (where nodes share processors, the dead one leaves its share to the others), the most that the
# leader had resident, and the medians of the ratios. Exits 1 if that of the events is below 0.9, or one
# of the others above 1.25.
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
# events/s, events
load() { estreat -o json bench --workload "$1" --duration "$seconds" | field '"%s %s" % (v["events_per_s"], v["events"])'; }

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
    leader=$(estreat -o json status | field 'v["leader"]')
    pid=$(cat "$work/cluster/$leader/pid")
    read -r rate events <<<"$(load "$2")"
    echo "$rate"
    awk -v events="$events" -v hz="$(getconf CLK_TCK)" '{ printf "%.3f\n", ($14 + $15) * 1e6 / hz / events }' "/proc/$pid/stat"
    awk '/^VmHWM:/ { printf "%.0f\n", $2 / 1024 }' "/proc/$pid/status"
    cluster stop 2>/dev/null
}

ratio() { python3 -c 'import sys; print("%.3f" % (float(sys.argv[1]) / float(sys.argv[2])))' "$@"; }
median() { python3 -c 'import statistics, sys; print("%.3f" % statistics.median(map(float, sys.argv[1:])))' "$@"; }

missed=0
for workload in "${workloads[@]}"; do
    speeds=()
    costs=()
    sizes=()
    for pair in $(seq "$pairs"); do
        order=(alive dead)
        [ $((pair % 2)) -eq 1 ] || order=(dead alive)
        declare -A events=() spent=() resident=()
        for state in "${order[@]}"; do
            figures=$(measure "$state" "$workload") # until the cluster is stopped, too
            { read -r "events[$state]" && read -r "spent[$state]" && read -r "resident[$state]"; } <<<"$figures"
        done
        speeds+=("$(ratio "${events[dead]}" "${events[alive]}")")
        costs+=("$(ratio "${spent[dead]}" "${spent[alive]}")")
        sizes+=("$(ratio "${resident[dead]}" "${resident[alive]}")")
        printf '%s: alive %s, dead %s events/s: ratio %s; leader %s and %s us an event, %s and %s MiB\n' \
            "$workload" "${events[alive]}" "${events[dead]}" "${speeds[-1]}" "${spent[alive]}" \
            "${spent[dead]}" "${resident[alive]}" "${resident[dead]}"
    done
    speed=$(median "${speeds[@]}")
    cost=$(median "${costs[@]}")
    size=$(median "${sizes[@]}")
    printf '%s: median ratios of %s pairs: events/s %s (goal: 0.9), us an event %s, resident %s (both: at most 1.25)\n' \
        "$workload" "$pairs" "$speed" "$cost" "$size"
    python3 -c 'import sys; v = [float(a) for a in sys.argv[1:]]; sys.exit(not (v[0] >= 0.9 and max(v[1:]) <= 1.25))' \
        "$speed" "$cost" "$size" || missed=1
done
exit "$missed"
