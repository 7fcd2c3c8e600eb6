#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A follower whose disk is slow leaves the others alone: an append is acknowledged in less time than
# one write takes there, the leader keeps no more in memory for it than its cache of entries holds, and
# once its disk is well it catches up by the log.
source "$(dirname "$0")/../integration/lib.sh"
# shellcheck source=tests/crash/faulty_nodes.sh
source "$root/tests/crash/faulty_nodes.sh"
sync_ms=500
entry_cache_kib=$((64 * 1024))
start_faulty_cluster 3 --set storage.memtable_mib=4 --set storage.block_cache_mib=8
leader=$(leader_of)
slow=$([ "$leader" = n1 ] && echo n2 || echo n1)
peak_kib() { awk '/VmHWM/ {print $2}' "/proc/$(cat "$work/cluster/$leader/pid")/status"; }
load() { estreat --timeout 30 -o json bench --workload "$1" "${@:2}"; }
of_slow() { estreat --timeout 5 -o json status | json "[n for n in v['nodes'] if n['id'] == '$slow'][0]['$1']"; }
caught_up() { [ "$(of_slow state)" = ok ] && [ "$(of_slow lag)" = 0 ]; }

rate=$(load batch --events 500000 | json "v['events_per_s']") # 150 MB
wait_until 60 caught_up
before=$(peak_kib)

echo "$sync_ms" >"$work/cluster/$slow/faults/slow"
load serial --duration 3 >"$work/serial"
longest=$(json "v['p999_ms']" <"$work/serial")
# Until it lags by twice what the cache of entries holds.
for _ in $(seq 20); do
    slow_rate=$(load batch --events 250000 | json "v['events_per_s']")
    lag_kib=$(($(of_slow lag_bytes) / 1024))
    [ "$lag_kib" -lt $((2 * entry_cache_kib)) ] || break
done
grown=$(($(peak_kib) - before))
echo "append: p99.9 $longest ms, the follower's sync $sync_ms more; $rate events/s, then $slow_rate;" \
    "it lags by $lag_kib KiB; the leader has $grown KiB more than $before"
[ "$lag_kib" -ge $((2 * entry_cache_kib)) ] || fail "the follower is not slow"
python3 -c 'import sys; sys.exit(float(sys.argv[1]) > float(sys.argv[2]) / 2)' "$longest" "$sync_ms" ||
    fail "appends wait for the slow follower"
# The machine may be loaded by others; what waited for the follower would be a hundred times slower.
python3 -c 'import sys; sys.exit(float(sys.argv[2]) < float(sys.argv[1]) / 2)' "$rate" "$slow_rate" ||
    fail "the slow follower slows the others"
[ "$grown" -lt $((entry_cache_kib * 7 / 4)) ] || fail "the leader keeps what the follower lacks"
equal "$(leader_of)" "$leader" "the leader"

rm "$work/cluster/$slow/faults/slow"
wait_until 120 caught_up
! grep -q 'snapshot "installed"' "$work/cluster/$slow/log" || fail "it caught up by a snapshot"
estreat --timeout 60 audit >/dev/null || fail "the nodes differ"
cluster stop --dir "$work/cluster"
