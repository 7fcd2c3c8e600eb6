#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: regressions.sh ESTREAT-SIM: runs the seeds of regressions.txt.
set -euo pipefail
sim=$1
count=0
while read -r seed nodes what; do
    case $seed in '' | '#'*) continue ;; esac
    "$sim" --seed "$seed" --nodes "$nodes" 2>/dev/null || {
        printf 'FAILED: seed %s of %s nodes (once: %s)\n' "$seed" "$nodes" "$what" >&2
        exit 1
    }
    count=$((count + 1))
done <"$(dirname "$0")/regressions.txt"
[ "$count" -gt 0 ]
