#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# open_bench.sh [EVENTS]: how long a store of EVENTS (10,000,000) events of 300 bytes takes to open,
# with what its log has written again: filled, closed, and opened three times, each in a process of
# its own; then once more with all in tables. Exits 1 if one takes longer than a second.
# engine_bench is built. DIRECTORY of the store: $BENCH_DIR, else one in $TMPDIR or /tmp; removed.
set -euo pipefail
# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib.sh"
events=${1:-10000000}
goal=1.0
build_preset release engine_bench >&2
work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/estreat-open.XXXXXX")
trap 'rm -rf "$work"' EXIT
bench() { "$root/build/release/bin/engine_bench" --db="$work" --num="$events" --events=1 --benchmarks="$1"; }

missed=0
# timed_open WHAT
timed_open() {
    local seconds
    seconds=$(bench open | sed -n 's/^open *: \([0-9.]*\) seconds$/\1/p')
    printf '%s: open of %s events: %s s (goal: %s)\n' "$1" "$events" "$seconds" "$goal"
    awk -v seconds="$seconds" -v goal="$goal" 'BEGIN {exit !(seconds != "" && seconds <= goal)}' || missed=1
}

bench fillevents
timed_open "as it was closed"
timed_open "again"
timed_open "again"
bench flush,waitforcompaction >/dev/null
timed_open "flushed"
exit "$missed"
