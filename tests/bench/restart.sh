#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How long a node takes from exec to its first LINEARIZABLE reply, with EVENTS events (default
# 1,000,000), after SIGTERM and after kill -9: one node alone, then a cluster of three that was
# killed whole. Prints milliseconds. Programs from $ESTREAT_BIN, else build/release/bin.
set -euo pipefail
events=${1:-1000000}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ESTREAT_BIN=${ESTREAT_BIN:-$root/build/release/bin}
PATH=$ESTREAT_BIN:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-restart.XXXXXX")
cluster() { "$root/deploy/cluster.sh" "$@" --dir "$work/cluster"; }
trap 'cluster stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

now_ms() { date +%s%3N; }

first_reply() { # starts all nodes, then asks until there is an answer
    local begin node
    begin=$(now_ms)
    for node in "$@"; do cluster start-node "$node"; done
    until estreat --timeout 5 count >/dev/null 2>&1; do :; done
    printf '%s ms\n' $(($(now_ms) - begin))
}

for nodes in 1 3; do
    eval "$(cluster start -n $nodes | grep '^export')"
    estreat bench --workload batch --events "$events" >/dev/null
    mapfile -t ids < <(cluster status | sed -n 's/^# node \([^ ]*\) .*/\1/p')
    for signal in KILL TERM; do
        for node in "${ids[@]}"; do
            if [ $signal = KILL ]; then cluster kill "$node"; else cluster stop-node "$node"; fi
        done
        printf '%s node(s), %s events, after %s: ' "$nodes" "$(printf '%s' "$events")" "$signal"
        first_reply "${ids[@]}"
    done
    cluster stop
    rm -rf "$work/cluster"
done
