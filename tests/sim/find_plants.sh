#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prints plants.txt: for each planted bug the first seed that finds it, and finds nothing without it.
# usage: tests/sim/find_plants.sh [ESTREAT-SIM [SEEDS-AT-MOST [NODES]]]
set -euo pipefail
sim=${1:-$(dirname "$0")/../../build/dev/tests/estreat-sim}
most=${2:-1000}
nodes=${3:-5}
sed -n '/^#/p' "$(dirname "$0")/plants.txt"
while read -r plant _; do
    for seed in $(seq "$most"); do
        if ! out=$("$sim" --seed "$seed" --nodes "$nodes" --plant "$plant" 2>/dev/null) &&
            "$sim" --seed "$seed" --nodes "$nodes" >/dev/null 2>&1; then
            printf '%-20s %5d %5d   %s\n' "$plant" "$seed" "$nodes" \
                "$(grep FAILED <<<"$out" | head -n 1 | sed 's/seed [0-9]* FAILED: //; s/:.*//')"
            continue 2
        fi
    done
    printf '# %s: not found in %d seeds\n' "$plant" "$most"
done < <("$sim" --list-plants)
