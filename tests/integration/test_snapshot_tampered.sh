#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A leader whose tables are whole, but hold an event that was edited, gives a snapshot that does not fit
# its tree: it is refused, and another member gives one.
source "$(dirname "$0")/lib.sh"
options=(--set storage.memtable_mib=1 --set storage.segment_mib=4 --set storage.retain_mib=16)
start_cluster 3 -- "${options[@]}"
data() { echo "$work/cluster/$1/data"; }
start_node() { cluster start-node "$1" --dir "$work/cluster" -- "${options[@]}"; }
others() { for node in n1 n2 n3; do [ "$node" = "$1" ] || echo "$node"; done; }
log_of() { grep "$2" "$work/cluster/$1/log" || true; }
verdict_of() { json "[n['verdict'] for n in v['nodes'] if n['id'] == '$1'][0]" <"$work/audit"; }

liar=$(leader_of)
behind=$(others "$liar" | head -n 1)
third=$(others "$liar" | tail -n 1)
cluster kill "$behind" --dir "$work/cluster"
head -c 30000000 /dev/urandom | base64 -w 1000 | estreat --timeout 60 ingest --batch 200 --key lines - >/dev/null
log_is_short() { [ "$(du -sb "$(data "$third")/wal" | cut -f1)" -lt 24000000 ]; }
wait_until 20 log_is_short

cluster stop-node "$liar" --dir "$work/cluster"
hit=
for table in "$(data "$liar")"/tables/*.sst; do
    # Events are the rows whose keys are positions.
    ! "$ESTREAT_BIN/estreat-tamper" "$table" --info | grep -Eq '^smallest [0-9a-f]{16}$' ||
        ! "$ESTREAT_BIN/estreat-tamper" "$table" >/dev/null || { hit=$table; break; }
done
[ -n "$hit" ] || fail "no event could be changed"
start_node "$liar"
leads() { estreat transfer "$liar" >/dev/null 2>&1 && [ "$(leader_of)" = "$liar" ]; }
wait_until 20 leads

start_node "$behind"
caught_up() { estreat --timeout 5 -o json status | json "[n['lag'] for n in v['nodes'] if n['id'] == '$behind'][0]" | grep -qx 0; }
wait_until 60 caught_up
log_of "$behind" snapshot | grep -q "from=$liar.*does not hash to the leaf" ||
    { log_of "$behind" snapshot >&2; fail "$behind did not refuse what $liar gave"; }
[ -n "$(log_of "$behind" "\"pulled\" from=$third")" ] || fail "$behind did not get it from $third"
expect 1 estreat --timeout 20 -o json audit --deep >"$work/audit"
equal "$(verdict_of "$behind")" CONSISTENT
equal "$(verdict_of "$liar")" DIVERGENT
cluster stop --dir "$work/cluster"
