#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A leader dies with entries that nobody else has. When it comes back it has a long log to apply again,
# and its end is cut off meanwhile: it goes on.
source "$(dirname "$0")/lib.sh"
start_cluster 3
seq -f "%.0f $(printf '%0100d' 0)" 1 40000 | estreat ingest --batch 8 --key numbers - >/dev/null
for round in 1 2; do
    leader=$(leader_of)
    mapfile -t others < <(printf '%s\n' n1 n2 n3 | grep -vx "$leader")
    for node in "${others[@]}"; do kill -9 "$(cat "$work/cluster/$node/pid")"; done
    # Nobody but the leader stores these.
    appends=()
    for i in 1 2 3 4; do
        estreat --timeout 1 append lost "$round-$i" >/dev/null 2>&1 &
        appends+=($!)
    done
    sleep 0.3
    cluster kill "$leader" --dir "$work/cluster"
    for pid in "${appends[@]}"; do ! wait "$pid" || fail "the leader alone acknowledged an append"; done
    for node in "${others[@]}"; do
        cluster kill "$node" --dir "$work/cluster" 2>/dev/null
        cluster start-node "$node" --dir "$work/cluster"
    done
    expect 0 estreat --timeout 20 append kept "$round" >/dev/null
    cluster start-node "$leader" --dir "$work/cluster"
    wait_until 60 estreat --timeout 5 audit
done
equal "$(estreat -o raw history numbers | wc -l)" 40000
equal "$(estreat -o raw history kept | wc -l)" 2
cluster stop --dir "$work/cluster"
