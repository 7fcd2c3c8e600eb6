#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SIGTERM under load: each node that is told to stop does so cleanly and soon, whatever is under
# way in it (appends, reads, followers of the log, deep audits, a start that is not over), the
# others go on, and nothing acknowledged is lost. ESTREAT_STOP_ROUNDS=10. Prints its seed.
source "$(dirname "$0")/lib.sh"
rounds=${ESTREAT_STOP_ROUNDS:-10}
seed=${ESTREAT_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $rounds rounds"
# Little memory and small files, so that seals, compactions and purges are under way, too; with
# retain_mib a member that was away needs entries that the leader has only on disk.
options=(-- --set storage.memtable_mib=1 --set storage.segment_mib=4 --set storage.retain_mib=64)
start_cluster 3 "${options[@]}"

until_stopped() { # command...: repeats it, whatever comes of it
    while [ ! -e "$work/stop" ]; do
        "$@" >/dev/null 2>&1 || true
    done
}
writer() {
    local i=0
    while [ ! -e "$work/stop" ]; do
        seq -f "%.0f $(printf '%0300d' 0)" "$((i * 2000 + 1))" "$((i * 2000 + 2000))" |
            estreat --timeout 60 ingest --batch 100 --key written - >/dev/null || return 1
        i=$((i + 1))
        echo "$((i * 2000))" >"$work/acknowledged"
    done
}
writer &
writer_pid=$!
started+=($!)
for command in "read --from 0 --limit 100" "history written" "count --prefix w" "audit --deep" \
    "tail -f --from 0"; do
    # shellcheck disable=SC2086
    until_stopped timeout 5 estreat --timeout 5 $command &
    others+=($!)
    started+=($!)
done

for round in $(seq "$rounds"); do
    sleep "1.$((RANDOM % 10))"
    node=n$((RANDOM % 3 + 1))
    begin=$SECONDS
    cluster stop-node "$node" --dir "$work/cluster"
    [ $((SECONDS - begin)) -lt 15 ] || fail "round $round: $node took $((SECONDS - begin)) s to stop"
    tail -n 1 "$work/cluster/$node/log" | grep -q '"stopped"' || fail "round $round: $node did not stop cleanly"
    if [ $((RANDOM % 3)) -eq 0 ]; then # again, while it starts
        cluster start-node "$node" --dir "$work/cluster" "${options[@]}"
        sleep "0.$((RANDOM % 4))"
        cluster stop-node "$node" --dir "$work/cluster"
    fi
    cluster start-node "$node" --dir "$work/cluster" "${options[@]}"
done
touch "$work/stop"
wait "$writer_pid" || fail "the writer failed"
wait "${others[@]}" || true

acknowledged=$(cat "$work/acknowledged")
estreat --timeout 30 -o raw history written >"$work/back"
seq -f "%.0f $(printf '%0300d' 0)" 1 "$acknowledged" | cmp - "$work/back" || fail "$acknowledged were acknowledged"
echo "$acknowledged events, each once, in order"
wait_until 60 estreat --timeout 5 audit
estreat --timeout 60 audit --deep >/dev/null || fail "the deep audit finds a difference"
cluster stop --dir "$work/cluster"
for node in n1 n2 n3; do
    tail -n 1 "$work/cluster/$node/log" | grep -q '"stopped"' || fail "$node did not stop cleanly"
done

# What each did is there after its end.
for node in n1 n2 n3; do
    estreat-store stats "$work/cluster/$node/data" >"$work/stats"
    grep -q '^# as of 20' "$work/stats" || fail "$node left no metrics"
    for name in writes_total flush_seconds_count 'wal_group_bytes{quantile="0.99"}' \
        'wal_fdatasync_seconds{quantile="0.5"}' write_amplification_with_log; do
        value=$(sed -n "s/^estreat_storage_$name //p" "$work/stats")
        awk -v value="${value:-0}" 'BEGIN { exit !(value > 0) }' || fail "$node: $name is ${value:-missing}"
    done
done
