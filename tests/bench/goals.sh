#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# goals.sh [NAME...]: what replication has to reach, measured one after another: failover, transfer,
# catch_up, dead_follower, raft_bench and sim_speed, or those that are named; alone on the machine,
# about half an hour. What they say goes to stderr, a table of what was measured and of the goals to
# stdout. Exits 1 if one is missed.
# Programs from $ESTREAT_BIN, else from the release build, which is made; estreat-sim from the dev build.
set -euo pipefail
# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib.sh"
[ $# -gt 0 ] || set -- failover transfer catch_up dead_follower raft_bench sim_speed
for name in "$@"; do
    case $name in
    failover | transfer | catch_up | dead_follower | raft_bench | sim_speed) ;;
    *)
        say "there is no goal $name"
        exit 64
        ;;
    esac
done
if [ -z "${ESTREAT_BIN-}" ]; then
    build_preset release estreatd estreat_program estreat-record-history estreat-check-history raft_bench >&2
    export ESTREAT_BIN=$root/build/release/bin
fi
[[ " $* " != *" sim_speed "* ]] || build_preset dev estreat-sim >&2
said=$(mktemp "${TMPDIR:-/tmp}/estreat-goals.XXXXXX")
trap 'rm -f "$said"' EXIT

rows=()
missed=0
# measure WHAT GOAL FIGURES COMMAND...: FIGURES takes them, by sed, from what COMMAND says. It knows
# the goal itself: it exits 1 if that is missed.
measure() {
    local what=$1 goal=$2 figures=$3 verdict=ok
    shift 3
    say "$what"
    "$@" | tee "$said" >&2 || verdict=MISSED
    figures=$(sed -n "$figures" "$said" | paste -sd/)
    [ -n "$figures" ] || verdict=MISSED
    [ $verdict = ok ] || missed=1
    rows+=("$(printf '%-42s %-24s %-24s %s' "$what" "${figures:--}" "$goal" $verdict)")
}

bench=$root/tests/bench
failover() { measure "kill -9 to next append, p99" "below 1500" 's/.*p99 \([0-9]* ms\).*/\1/p' "$bench/failover.sh"; }
transfer() { measure "pause by a transfer, longest" "below 100" 's/^transfer: .*max //p' "$bench/transfer.sh"; }
catch_up() { measure "catch-up from the log, durable" "200" 's/.* \([0-9]* MB\/s\) (goal.*/\1/p' "$bench/catch_up.sh"; }
dead_follower() {
    for workload in batch single; do
        measure "dead follower: rate, CPU, memory ($workload)" ">= 0.9, <= 1.25, <= 1.25" \
            's/.*events\/s \([0-9.]*\) (goal: [0-9.]*), us an event \([0-9.]*\), resident \([0-9.]*\) .*/\1, \2, \3/p' \
            "$bench/dead_follower.sh" 8 10 $workload
    done
}
raft_bench() {
    measure "raft core, groups of 16/64/256/1024" "2 (M entries/s of CPU)" \
        's/^leader alone.* groups of *[1-9][0-9][0-9]*: *\([0-9.]*\) M .*/\1/p' "$ESTREAT_BIN/raft_bench"
}
sim_speed() { measure "simulator, one core" "50000" 's/\( seeds an hour\).*/\1/p' "$bench/sim_speed.sh"; }

for name in "$@"; do "$name"; done
printf '%-42s %-24s %-24s %s\n' what measured goal ''
printf '%s\n' "${rows[@]}"
exit $missed
