#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Full disks in a cluster of three, each node on a small file system of its own: a follower's does
# not hinder appends, the leader's and everybody's are told to the caller, reads go on, and nothing
# that was acknowledged is lost or differs afterwards.
source "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || { echo "skipped: mounting small file systems needs root"; exit 77; }
mounted=()
at_end_too() {
    cluster stop --dir "$work/cluster" >/dev/null 2>&1 || true
    local data
    for data in "${mounted[@]}"; do umount "$data"; done
}
for n in n1 n2 n3; do
    data=$work/cluster/$n/data
    mkdir -p "$data"
    mount -t tmpfs -o size=96m tmpfs "$data" 2>/dev/null || { echo "skipped: cannot mount a tmpfs"; exit 77; }
    mounted+=("$data")
done
sets=(--set storage.reserve_mib=8 --set storage.segment_mib=8 --set storage.memtable_mib=8 --set storage.retain_mib=40)
cluster start -n 3 --dir "$work/cluster" -- "${sets[@]}" >"$work/environment"
eval "$(grep '^export' "$work/environment")"

fill() { head -c 90000000 /dev/zero >"$work/cluster/$1/data/ballast" 2>/dev/null || true; }
make_room() { rm "$work/cluster/$1/data/ballast"; }
full_in_log() { grep -q 'disk nearly full' "$work/cluster/$1/log"; }
lag_of() { estreat --timeout 5 -o json status | json "[n['lag'] for n in v['nodes'] if n['id']=='$1'][0]"; }
caught_up() { [ "$(lag_of "$1")" = 0 ]; }
lines() { seq -f "%.0f $(printf '%0200d' 0)" "$1" "$2"; }

lines 1 2000 | estreat ingest --key before - >/dev/null
leader=$(leader_of)
for n in n1 n2 n3; do [ "$n" = "$leader" ] || follower=$n; done

# A follower without room lets entries pass by; the other two are the quorum.
fill "$follower"
wait_until 10 full_in_log "$follower"
lines 1 20000 | estreat --timeout 20 ingest --key during - >/dev/null
equal "$(leader_of)" "$leader" "a follower's full disk must not end leadership"
[ "$(lag_of "$follower")" -gt 0 ] || fail "$follower has no room and yet no lag"
equal "$(estreat -o raw history during | wc -l)" 20000
make_room "$follower"
wait_until 60 caught_up "$follower"
estreat --timeout 30 audit >/dev/null || fail "the follower that had no room differs"

# The leader without room: appends are refused with the reason, reads go on there, too.
fill "$leader"
wait_until 10 full_in_log "$leader"
expect 1 estreat --timeout 3 append refused x
grep -q RESOURCE_EXHAUSTED "$work/stderr" || { cat "$work/stderr" >&2; fail "not RESOURCE_EXHAUSTED"; }
grep -qF "$leader" "$work/stderr" || { cat "$work/stderr" >&2; fail "which disk is full is not said"; }
equal "$(estreat -o raw history before | wc -l)" 2000

# All of them, while one writes: what was acknowledged is there, once and in order.
for n in n1 n2 n3; do [ "$n" = "$leader" ] || fill "$n"; done
expect 1 estreat --timeout 3 append refused y
make_room "$leader"
for n in n1 n2 n3; do [ "$n" = "$leader" ] || make_room "$n"; done
wait_until 20 estreat --timeout 2 append after z
expect 1 estreat --timeout 5 get refused

lines 1 1000000 | estreat --timeout 5 -o json ingest --key filling - >"$work/out" 2>"$work/ingest-errors" &
ingest=$!
# Soon after each other: who lags by more than the log that is kept would need a snapshot.
for n in n1 n2 n3; do
    fill "$n"
    sleep 0.1
done
code=0
wait "$ingest" || code=$?
ended_by_full_disk "$code" "$work/ingest-errors"
# The first line that was not acknowledged; several requests may have been under way.
unknown=$(sed -n 's/.*lines \([0-9]*\) to .*/\1/p' "$work/ingest-errors" | sort -n | head -n 1)
for n in n1 n2 n3; do make_room "$n"; done
wait_until 20 estreat --timeout 2 append after z
estreat -o raw history filling >"$work/back"
n=$(wc -l <"$work/back")
[ "$n" -ge $((unknown - 1)) ] || fail "$n events are there, $((unknown - 1)) were acknowledged"
lines 1 "$n" | cmp - "$work/back" || fail "what is there is no prefix of what was sent"

# kill -9 of all: still there, and all three alike.
for node in n1 n2 n3; do cluster kill "$node" --dir "$work/cluster"; done
cluster start --dir "$work/cluster" -- "${sets[@]}" >/dev/null
estreat --timeout 20 -o raw history filling | cmp - "$work/back" || fail "lost after a restart"
for node in n1 n2 n3; do wait_until 60 caught_up "$node"; done
estreat --timeout 60 audit --deep >/dev/null || fail "the nodes differ"
