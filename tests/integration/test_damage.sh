#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damage on one node's disk: a rotten table is found, said, and does not lead; a lost log is not
# taken for a new one.
source "$(dirname "$0")/lib.sh"
start_cluster 3
seq 1 20000 | estreat -o json ingest --key numbers - >/dev/null

# A leader is stopped (it flushes), one byte of its largest table rots, and it comes back.
victim=$(leader_of)
cluster stop-node "$victim" --dir "$work/cluster"
table=$(find "$work/cluster/$victim/data/tables" -name '*.sst' -printf '%s %p\n' | sort -rn | head -n 1 | cut -d' ' -f2-)
offset=$(($(stat -c %s "$table") / 2))
byte=$(od -An -tu1 -j "$offset" -N 1 "$table")
printf "\\$(printf %o $((byte ^ 255)))" | dd of="$table" bs=1 seek="$offset" conv=notrunc status=none
cluster start-node "$victim" --dir "$work/cluster"
wait_until 20 estreat --timeout 3 audit
expect 1 estreat -o json audit --deep >"$work/audit"
equal "$(json '[n["id"] for n in v["nodes"] if n["verdict"] != "CONSISTENT"]' <"$work/audit")" "[\"$victim\"]"
grep -q "$(basename "$table")" "$work/audit" || fail "the audit does not name the file"
state=$(estreat -o json status | json "[n['state'] for n in v['nodes'] if n['id'] == '$victim'][0]")
case $state in fault:*) ;; *) fail "the status of $victim is \"$state\"" ;; esac
not_victim() { [ "$(leader_of)" != "$victim" ]; }
wait_until 10 not_victim
# It goes on storing: appends need it when another is away.
other=$(sed -n 's/^# node \([^ ]*\) .*/\1/p' "$work/environment" | grep -vx "$victim" | grep -vx "$(leader_of)")
cluster kill "$other" --dir "$work/cluster"
expect 0 estreat --timeout 10 append k v
cluster start-node "$other" --dir "$work/cluster"

# A log that is gone is lost: its node may have voted.
wait_until 20 estreat --timeout 3 audit
cluster stop-node "$other" --dir "$work/cluster"
mv "$work/cluster/$other/data/wal" "$work/wal"
expect 1 estreatd --config "$work/cluster/$other/estreat.conf"
said "$work/cluster/$other/data/wal"
rm -rf "$work/cluster/$other/data/wal"
mv "$work/wal" "$work/cluster/$other/data/wal"
cluster start-node "$other" --dir "$work/cluster"
wait_until 20 estreat --timeout 3 audit
cluster stop --dir "$work/cluster"
