#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Backups of nodes that run: one is made while appends go on, verified, restored, and a node that
# begins with it has what was acknowledged before, in a cluster of one and in a new one of three.
source "$(dirname "$0")/lib.sh"
options=(--set storage.memtable_mib=1)
# start_node NODE DIR: with its backups in DIR.
start_node() {
    cluster start-node "$1" --dir "$work/cluster" -- "${options[@]}" \
        --set backup.rate_mib=20 --set backup.keep=3 --set "backup.dir=$2"
}

# --- refusals ------------------------------------------------------------------------------------
start_cluster 3 -- "${options[@]}"
expect 1 estreat backup create --node n1
said "no [backup] dir"
for node in n1 n2 n3; do
    cluster kill "$node" --dir "$work/cluster"
    start_node "$node" "$work/kept-$node"
done
wait_until 20 estreat --timeout 2 append up x
expect 64 estreat backup
expect 64 estreat backup restore --node n1
expect 64 estreat backup create
said "3 nodes"
expect 1 estreat backup create --node n9
said "no node n9"

# --- under load ----------------------------------------------------------------------------------
seq 1 40000 | sed 's/$/ a line of some length, so that there are tables to be copied/' >"$work/lines"
estreat ingest --key before "$work/lines" >/dev/null
before=$(estreat -o json count | json 'v["count"]')
while [ ! -e "$work/stop" ]; do
    seq 1 100 | estreat --timeout 30 ingest --batch 10 --key meanwhile - >/dev/null || echo failed >>"$work/failed"
    echo 100 >>"$work/meanwhile"
done &
started+=($!)
writer=$!
wait_until 20 test -s "$work/meanwhile"
estreat -o json backup create --node n2 >"$work/first"
equal "$(json 'sorted(v)' <"$work/first")" '["bytes", "copied", "events", "node", "number", "removed", "tables"]'
equal "$(json 'v["node"], v["number"]' <"$work/first" | tr -d "()',")" "n2 1"
[ "$(json 'v["events"]' <"$work/first")" -ge "$before" ] || fail "what was acknowledged is not in it"
lines=$(wc -l <"$work/meanwhile")
more_appended() { [ "$(wc -l <"$work/meanwhile")" -gt $((lines + 2)) ]; }
wait_until 20 more_appended
estreat -o json backup create --node n2 >"$work/second"
equal "$(json 'v["number"]' <"$work/second")" 2
[ "$(json 'v["copied"]' <"$work/second")" -lt "$(json 'v["bytes"]' <"$work/second")" ] ||
    fail "the increment copied everything"
estreat -o json backup create --node n1 --full >/dev/null
touch "$work/stop"
wait "$writer"
[ ! -e "$work/failed" ] || fail "appends failed while backups were made"
equal "$(estreat -o json audit | json 'v["verdict"]')" CONSISTENT

# --- verified and restored -------------------------------------------------------------------------
estreat-store verify "$work/kept-n2" | grep -qx sound || fail "the backups are not sound"
equal "$(estreat-store backups "$work/kept-n2" | wc -l)" 2
events=$(json 'v["events"]' <"$work/second")
estreat -o raw read --to "$events" >"$work/expected"
cluster stop --dir "$work/cluster"
# One backup of one member, restored for all of them, under their ids.
for node in n1 n2 n3; do
    rm -rf "$work/cluster/$node/data"
    mkdir "$work/cluster/$node/data"
    estreat-store restore "$work/kept-n2" "$work/cluster/$node/data/tables" >/dev/null
    cluster start-node "$node" --dir "$work/cluster" -- "${options[@]}"
done
wait_until 20 estreat --timeout 2 append up again
equal "$(estreat -o json count --to "$events" | json 'v["count"]')" "$events"
estreat -o raw read --to "$events" | cmp - "$work/expected" || fail "what was restored differs"
wait_until 20 estreat audit --deep

# --- a directory that cannot be made -----------------------------------------------------------------
cluster kill n3 --dir "$work/cluster"
start_node n3 "$work/nowhere/kept"
wait_until 20 estreat --timeout 5 audit
expect 1 estreat backup create --node n3
said "$work/nowhere/kept"

# --- killed in the middle ------------------------------------------------------------------------------
cluster kill n3 --dir "$work/cluster"
cluster start-node n3 --dir "$work/cluster" -- "${options[@]}" --set backup.rate_mib=1 --set "backup.dir=$work/slow"
wait_until 20 estreat --timeout 5 audit
estreat --timeout 3 backup create --node n3 2>"$work/killed" &
maker=$!
some_are_copied() { compgen -G "$work/slow/*.sst"; }
wait_until 20 some_are_copied
expect 1 estreat backup create --node n3
said "a backup is being made"
cluster kill n3 --dir "$work/cluster"
code=0
wait "$maker" || code=$?
equal "$code" 2 "$(cat "$work/killed")"
equal "$(estreat-store backups "$work/slow" 2>/dev/null | wc -l)" 0
start_node n3 "$work/slow"
wait_until 20 estreat --timeout 5 audit
equal "$(estreat -o json backup create --node n3 | json 'v["number"]')" 1
estreat-store verify "$work/slow" | grep -qx sound || fail "the backup after the kill is not sound"
cluster stop --dir "$work/cluster"
