#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each planted bug is found by the seed that plants.txt gives, and that seed passes without it.
set -euo pipefail
here=$(dirname "$0")
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# compare SEED [OPTION...]: exits as run.sh does, and prints the summary and what differs.
compare() {
    local seed=$1 code=0 output
    shift
    output=$("$here/run.sh" --no-install --seeds "$seed..$((seed + 1))" "$@" 2>&1) || code=$?
    printf '%s\n' "$output" | grep -E '^(ours: |etcd: |skipped|scripts )' || true
    return "$code"
}

# The first run builds what the others use.
compare 1
root=$(cd "$here/../.." && pwd)
export RAFT_DRIVE=${RAFT_DRIVE:-$root/build/dev/tests/raft-drive}
export ETCD_DRIVE=$root/build/oracle/etcd-drive

count=0
while read -r plant seed; do
    case $plant in '' | '#'*) continue ;; esac
    code=0
    printf '%s, seed %s:\n' "$plant" "$seed"
    compare "$seed" --plant "$plant" || code=$?
    [ "$code" -eq 1 ] || fail "$plant: seed $seed exits $code"
    compare "$seed" >/dev/null || fail "seed $seed differs without $plant"
    count=$((count + 1))
done <"$here/plants.txt"
[ "$count" -ge 10 ] || fail "only $count plants are in the table"
