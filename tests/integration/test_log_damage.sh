#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A byte of a log rots where it was acknowledged. A member cuts its log there, says so, helps to elect nobody
# until the others have refilled it, and is whole then; a node alone does not start.
source "$(dirname "$0")/lib.sh"
start_cluster 3
node_line() { sed -n "s/^# node $1 .* $2 \([^ ]*\).*/\1/p" "$work/environment"; }
state_of() { estreat --timeout 5 -o json status | json "[n['state'] for n in v['nodes'] if n['id'] == '$1'][0]"; }
is_ok() { [ "$(state_of "$1")" = ok ]; }
rot() { # data directory: a byte in the middle of what its newest log file holds, of an event
    local log at byte
    log=$(grep -la numbers "$1"/wal/*.wal | tail -n 1)
    at=$(grep -abo numbers "$log" | cut -d: -f1 | awk '{a[NR] = $1} END {print a[int((NR + 1) / 2)]}')
    byte=$(od -An -tu1 -j "$at" -N 1 "$log")
    printf "\\$(printf %o $((byte ^ 255)))" | dd of="$log" bs=1 seek="$at" conv=notrunc status=none
}
seq 1 5000 | estreat -o json ingest --batch 50 --key numbers - >/dev/null
estreat head >/dev/null # so all have signed what they may lose

# All are killed, and one log rots. With nobody to refill it its node says what it lacks.
victim=$(sed -n 's/^# node \([^ ]*\) .*/\1/p' "$work/environment" | grep -vx "$(leader_of)" | head -n 1)
data=$work/cluster/$victim/data
sleep 1 # idle logs attest their end
for node in n1 n2 n3; do cluster kill "$node" --dir "$work/cluster"; done
rot "$data"
cluster start-node "$victim" --dir "$work/cluster"
refilling() { ESTREAT_ENDPOINTS=$(node_line "$victim" client) state_of "$victim" | grep -Eq '^log fault: refilling, [0-9]+ of [0-9]+ entries$'; }
wait_until 20 refilling
[ -s "$data/refill" ] || fail "there is no $data/refill"
grep -q 'log is damaged' "$work/cluster/$victim/log" || fail "its log file does not say that the log was cut"
compgen -G "$data/wal/*.damaged" >/dev/null || fail "the damaged file is not kept"

# A restart in between changes nothing.
cluster kill "$victim" --dir "$work/cluster"
cluster start-node "$victim" --dir "$work/cluster"
wait_until 20 refilling

# The others come back, and refill it.
for node in n1 n2 n3; do [ "$node" = "$victim" ] || cluster start-node "$node" --dir "$work/cluster"; done
wait_until 30 is_ok "$victim"
grep -q 'the log is refilled' "$work/cluster/$victim/log" || fail "its log file does not say that it is refilled"
gone() { [ ! -e "$data/refill" ]; }
wait_until 10 gone
expect 0 estreat -o json audit --deep >"$work/audit"
equal "$(json 'v["verdict"]' <"$work/audit")" CONSISTENT
equal "$(estreat -o raw get numbers)" 5000

# It votes again: with it alone beside a new leader the cluster goes on.
cluster kill "$(leader_of)" --dir "$work/cluster"
expect 0 estreat --timeout 20 append k v
cluster stop --dir "$work/cluster"

# A table is gone, too: it says both, and what refills its log brings back no table.
cluster start -n 3 --dir "$work/cluster" >"$work/environment"
seq 1 5000 | estreat --timeout 20 ingest --batch 50 --key numbers - >/dev/null
sleep 1
for node in n1 n2 n3; do cluster kill "$node" --dir "$work/cluster"; done
rot "$data"
rm "$(find "$data/tables" -name '*.sst' | head -n 1)"
cluster start-node "$victim" --dir "$work/cluster"
says_both() { ESTREAT_ENDPOINTS=$(node_line "$victim" client) state_of "$victim" | grep -Eq '^log fault: refilling, [0-9]+ of [0-9]+ entries; fault: .* missing'; }
wait_until 20 says_both
for node in n1 n2 n3; do [ "$node" = "$victim" ] || cluster start-node "$node" --dir "$work/cluster"; done
says_tables() { state_of "$victim" | grep -q '^fault: .* missing'; }
wait_until 30 says_tables
wait_until 10 gone
cluster stop --dir "$work/cluster"

# A node alone has nobody to refill it: it does not start, and changes nothing.
cluster start -n 1 --dir "$work/alone" >"$work/environment"
eval "$(grep '^export' "$work/environment")"
seq 1 5000 | estreat ingest --batch 50 --key numbers - >/dev/null
cluster kill n1 --dir "$work/alone"
rot "$work/alone/n1/data"
for _ in 1 2; do
    expect 1 estreatd --config "$work/alone/n1/estreat.conf"
    said "$work/alone/n1/data/wal/" damaged
done
[ ! -e "$work/alone/n1/data/refill" ] || fail "a node alone waits to be refilled"
