#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The simulator's command line: what it refuses, and that one seed always gives one trace.
set -euo pipefail
sim=$1
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

for bad in "--seed x" "--seeds 5..5" "--seeds 5" "--nodes 2" "--nodes 8" "--ops 0" "--plant none" "extra"; do
    code=0
    # shellcheck disable=SC2086
    "$sim" $bad >/dev/null 2>&1 || code=$?
    [ "$code" -eq 64 ] || fail "$bad exits $code"
done
# Seed 57 has snapshots, changes of members and quick elections.
one=$("$sim" --seed 57 --trace 2>/dev/null)
# Elsewhere in memory, and on memory that holds something else.
two=$(MALLOC_PERTURB_=170 setarch "$(uname -m)" "$sim" --seed 57 --trace 2>/dev/null)
[ "$one" = "$two" ] || fail "one seed gave two traces"
[ "$(printf '%s\n' "$one" | wc -l)" -gt 1000 ] || fail "--trace prints too little"
three=$("$sim" --seed 4 --ops 400 2>/dev/null | tail -n 1)
[ "$(printf '%s\n' "$one" | tail -n 1)" != "$three" ] || fail "two seeds gave one trace"
printf '%s\n' "$three" | grep -Eq '^seeds 1 failed 0 trace [0-9a-f]{16}$' || fail "the last line is: $three"
for nodes in 3 7; do
    last=$("$sim" --seeds 1..4 --nodes "$nodes" --ops 400 2>/dev/null | tail -n 1) || fail "$nodes nodes"
    [[ $last == "seeds 3 failed 0 trace "* ]] || fail "1..4 is not half-open: $last"
done
# What a seed was is printed, and is what a seed must be.
counts=$("$sim" --seed 5 2>/dev/null)
count() { sed -n "s/.* $1 \([0-9]*\) .*/\1/p" <<<"$counts"; }
[[ $(count ops) -ge 2000 && $(count faults) -ge 10 && $(count crashes) -ge 1 && $(count compared) -ge 1 ]] ||
    fail "a seed is: $counts"
[ "$("$sim" --list-plants | wc -l)" -ge 12 ] || fail "fewer than twelve plants"
# A campaign goes on where it was stopped, and counts once.
account=$(mktemp "${TMPDIR:-/tmp}/estreat-campaign.XXXXXX")
trap 'rm -f "$account"' EXIT
campaign=$(dirname "$0")/campaign.sh
"$campaign" "$account" 1..3 "$sim" >/dev/null || fail "a campaign of two seeds"
sum=$("$campaign" "$account" 1..4 "$sim") || fail "a campaign that goes on"
[[ $sum == "seeds 3 failed 0 "* && $(wc -l <"$account") -eq 2 ]] || fail "the campaign's account: $sum"
printf 'seeds 4 9 5 failed 1 ms 3 commit x\n' >>"$account"
if "$campaign" "$account" 1..9 "$sim" >/dev/null; then
    fail "a campaign that forgets a failure"
fi
