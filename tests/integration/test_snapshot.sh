#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A node that lacks log which nobody has any more comes back by a snapshot: while appends go on,
# though it is killed in the middle, twice, and though the node that serves it is. So does a new
# node come, which has nothing. Memory stays below the snapshot's size on both sides.
source "$(dirname "$0")/lib.sh"
options=(--set storage.memtable_mib=1 --set storage.segment_mib=4 --set storage.retain_mib=16
    --set storage.block_cache_mib=8)
start_cluster 3 -- "${options[@]}"
total_bytes=160000000 # of lines; base64 does not compress far
rss_kib_max=$((96 * 1024))
head -c "$((total_bytes * 3 / 4))" /dev/urandom | base64 -w 1000 >"$work/lines"
count=$(wc -l <"$work/lines")

data() { echo "$work/cluster/$1/data"; }
bytes_in() { du -sb "$1" 2>/dev/null | cut -f1 || echo 0; }
start_node() { cluster start-node "$1" --dir "$work/cluster" -- "${options[@]}"; }
kill_node() { cluster kill "$1" --dir "$work/cluster"; }
# count_log NODE TEXT: how many lines of its log have this.
count_log() { grep -c "$2" "$work/cluster/$1/log" || true; }
# caught_up NODE...: all of them have applied what the cluster has.
caught_up() {
    estreat --timeout 5 -o json status | python3 -c 'import json,sys
v = json.load(sys.stdin)
sys.exit(0 if all(n["state"] == "ok" and n["lag"] == 0 for n in v["nodes"]) else 1)'
}
# staged_beyond NODE BYTES: so much of a snapshot is staged, or all of it is installed already.
staged_beyond() { [ "$(bytes_in "$(data "$1")/incoming")" -gt "$2" ]; }
others() { for node in n1 n2 n3; do [ "$node" = "$1" ] || echo "$node"; done; }
# connections NODE OTHER: how many NODE has made to the peer port of OTHER.
connections() {
    python3 - "$(cat "$work/cluster/$1/pid")" "$(peer_of "$2")" <<'EOT'
import glob, os, sys
pid, port = sys.argv[1], int(sys.argv[2])
sockets = {os.readlink(fd)[8:-1] for fd in glob.glob(f"/proc/{pid}/fd/*")}
rows = [line.split() for line in open(f"/proc/{pid}/net/tcp").readlines()[1:]]
print(sum(int(r[2].split(":")[1], 16) == port and r[3] == "01" and r[9] in sockets for r in rows))
EOT
}
has_its_own() { [ "$(connections "$behind" "$leader")" = 2 ]; }
peer_of() { sed -n "/^\[member.$1\]/,/^peer/s/^peer = .*://p" "$work/cluster/$1/estreat.conf"; }
# The peak from now on.
forget_peak() { echo 5 >"/proc/$(cat "$work/cluster/$1/pid")/clear_refs"; }
peak_kib() { awk '/VmHWM/ {print $2}' "/proc/$(cat "$work/cluster/$1/pid")/status"; }

seq 1 100 | estreat ingest --batch 50 --key first - >/dev/null
leader=$(leader_of)
behind=$(others "$leader" | head -n 1)
kill_node "$behind"
estreat --timeout 60 ingest --batch 200 --key lines "$work/lines" >/dev/null
# What is kept is far less than what the node lacks.
log_is_short() { [ "$(bytes_in "$(data "$leader")/wal")" -lt 40000000 ]; }
wait_until 20 log_is_short

# --- killed in the middle, twice ---------------------------------------------------------------
for mib in 20 60; do
    start_node "$behind"
    # The second time there may be nothing left to pull.
    [ "$mib" -eq 60 ] || wait_until 20 has_its_own
    wait_until 60 staged_beyond "$behind" $((mib * 1000000))
    kill_node "$behind"
    equal "$(count_log "$behind" 'snapshot "installed"')" 0 "it was killed too late"
done
staged=$(bytes_in "$(data "$behind")/incoming")
[ "$staged" -lt "$total_bytes" ] || fail "nothing was left to be pulled: $staged"

# --- while appends go on -------------------------------------------------------------------------
while [ ! -e "$work/stop" ]; do
    seq 1 100 | estreat --timeout 30 ingest --batch 10 --key meanwhile - >/dev/null || echo failed >>"$work/failed"
    echo 100 >>"$work/meanwhile"
done &
started+=($!)
writer=$!
forget_peak "$leader"
term=$(estreat -o json status | json "v['term']")
start_node "$behind"
grown() { [ "$(count_log "$behind" 'snapshot "installed"')" -gt 0 ]; }
wait_until 60 grown
equal "$(cat "$work/failed" 2>/dev/null || echo)" "" "appends failed meanwhile"
equal "$(estreat -o json status | json "v['term']")" "$term" "the term: heartbeats came through"
touch "$work/stop"
wait "$writer" || true
wait_until 30 caught_up
kept=$(grep 'snapshot "pulled"' "$work/cluster/$behind/log" | tail -n 1 | grep -o 'kept=[0-9]*' | cut -d= -f2)
[ "$kept" -gt 50000000 ] || fail "only $kept bytes were kept of $staged"
for node in "$leader" "$behind"; do
    peak=$(peak_kib "$node")
    echo "$node: peak of $peak KiB for a snapshot of $((total_bytes / 1024)) KiB, $kept bytes kept"
    [ "$peak" -lt "$rss_kib_max" ] || fail "$node took $peak KiB"
done
appended=$(($(wc -l <"$work/meanwhile") * 100 + count + 100))
equal "$(estreat count)" "$appended" "events"
# Read at the node itself, from its tables.
endpoint=$(estreat -o json status | json "[n for n in v['nodes'] if n['id'] == '$behind'][0]['endpoint']")
estreat --endpoints "$endpoint" --timeout 60 -o raw history lines | cmp - "$work/lines" || fail "its events differ"
estreat --timeout 60 audit --deep >/dev/null || fail "the deep audit finds a difference"

# --- the source dies in the middle ----------------------------------------------------------------
leader=$(leader_of)
behind=$(others "$leader" | head -n 1)
other=$(others "$leader" | tail -n 1)
kill_node "$behind"
estreat --timeout 60 ingest --batch 200 --key more "$work/lines" >/dev/null
wait_until 20 log_is_short
before=$(count_log "$behind" 'snapshot "installed"')
start_node "$behind"
wait_until 60 staged_beyond "$behind" 20000000
kill_node "$leader"
installed_again() { [ "$(count_log "$behind" 'snapshot "installed"')" -gt "$before" ]; }
wait_until 60 installed_again
grep 'snapshot "pulled"' "$work/cluster/$behind/log" | tail -n 1 | grep -q "from=$other" || fail "not from $other"
wait_until 30 estreat --timeout 5 append k v
start_node "$leader"
wait_until 60 caught_up
estreat --timeout 60 audit --deep >/dev/null || fail "the deep audit finds a difference"
[ ! -e "$(data "$behind")/incoming" ] || fail "something is left in incoming"

# --- a new node, after the log it would need is gone ----------------------------------------------
leader=$(leader_of)
wait_until 20 log_is_short
add=$(cluster new-node n4 --dir "$work/cluster" -- "${options[@]}")
eval "$add"
is_voter() {
    [ "$(estreat --timeout 5 -o json member list | json "[m['role'] for m in v['members'] if m['id'] == 'n4']")" = '["voter"]' ]
}
wait_until 60 is_voter
equal "$(count_log n4 'snapshot "installed"')" 1 "how often n4 installed a snapshot"
cluster status --dir "$work/cluster" >"$work/environment"
eval "$(grep '^export' "$work/environment")" # with n4
wait_until 30 caught_up
endpoint=$(estreat -o json status | json "[n for n in v['nodes'] if n['id'] == 'n4'][0]['endpoint']")
estreat --endpoints "$endpoint" --timeout 60 -o raw history more | cmp - "$work/lines" || fail "its events differ"
estreat --timeout 60 audit --deep >"$work/audit" || fail "the deep audit finds a difference"
grep -q CONSISTENT "$work/audit" || fail "the audit says: $(cat "$work/audit")"
cluster stop --dir "$work/cluster"
