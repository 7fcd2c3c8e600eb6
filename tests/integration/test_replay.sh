#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A node that has more log to replay than its memtables hold: it was killed before it sealed
# anything, and has less memory now. It seals on the way, and everything is there.
source "$(dirname "$0")/lib.sh"
start_cluster 1 -- --set storage.memtable_mib=64
seq -f "%.0f $(printf '%0300d' 0)" 1 20000 >"$work/lines"
estreat ingest "$work/lines" >/dev/null
cluster kill n1 --dir "$work/cluster"
cluster start-node n1 --dir "$work/cluster" -- --set storage.memtable_mib=1
wait_until 20 estreat --timeout 2 count
estreat -o raw history lines | cmp - "$work/lines"
cluster stop --dir "$work/cluster"
