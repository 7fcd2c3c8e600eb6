#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What clients see of a cluster is a log's history, also across a leader's end; what they see of two
# clusters that pass for one is not, nor is a history in which one line has been changed, nor one of a log
# that gives back another payload.
source "$(dirname "$0")/lib.sh"
tools=$ESTREAT_BIN/../tests
record() { "$tools/estreat-record-history" "$@"; }
check() { "$tools/estreat-check-history" "$@"; }

expect 64 record
expect 64 record --out "$work/h" --endpoints a:1 --writers 0
start_cluster 3
record --out "$work/history" --seconds 5 >"$work/counts" &
recorder=$!
started+=($recorder)
sleep 2
cluster kill "$(leader_of)" --dir "$work/cluster"
wait $recorder || fail "nothing was recorded: $(cat "$work/counts")"
cluster start --dir "$work/cluster" >/dev/null
record --out "$work/history" --read-all
cat "$work/counts"
check "$work/history" || fail "the history is no log's"

# One line changed: an acknowledgement moved to another's position, an event that nobody appended,
# a read that lacks its last event.
last=$(grep -n '"op":"append".*"result":"ok"' "$work/history" | tail -n 1 | cut -d: -f1)
sed "${last}s/\"position\":[0-9]*/\"position\":3/" "$work/history" >"$work/changed"
expect 1 check "$work/changed"
sed "${last}d" "$work/history" >"$work/changed"
expect 1 check "$work/changed"
# The last read of the whole log.
last=$(grep -n '"op":"read","key":""' "$work/history" | tail -n 1 | cut -d: -f1)
sed -E "${last}s/,?\"[0-9]+:[^\"]*\"\]/]/" "$work/history" >"$work/changed"
! cmp -s "$work/history" "$work/changed" || fail "nothing was changed"
expect 1 check "$work/changed"

# Two clusters that take themselves for one: each client sees a log, together they do not.
for name in first second; do
    cluster start -n 1 --dir "$work/$name" >"$work/environment"
    endpoint=$(sed -n 's/^# node n1 .* client \([^ ]*\) .*/\1/p' "$work/environment")
    record --out "$work/two" --endpoints "$endpoint" --name "$name" --seconds 1 >/dev/null
done
expect 1 check "$work/two" >"$work/said"
grep -q 'unique-position' "$work/said" || fail "it says: $(cat "$work/said")"

# An event whose payload came back changed is none that anybody appended: a recorder writes "ID:" and
# padding that follows from the id, of which writer 0's first event has none.
cluster start -n 1 --dir "$work/alone" >"$work/environment"
eval "$(grep '^export' "$work/environment")"
judge_event() { # NAME PAYLOAD
    local position
    position=$(estreat -o json append "${1}0.0" "$2" | json 'v["position"]')
    printf '{"process":1,"op":"append","key":"%s0.0","payload":"","id":"%s0-0","invoke_ns":1,"return_ns":2,"result":"ok","position":%s}\n' \
        "$1" "$1" "$position" >>"$work/appends"
    cp "$work/appends" "$work/$1"
    record --out "$work/$1" --read-all >/dev/null
    check "$work/$1"
}
expect 0 judge_event right right0-0:
expect 1 judge_event wrong wrong0-0:x >"$work/said"
grep -q 'read-origin' "$work/said" || fail "it says: $(cat "$work/said")"
