#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 at random moments, of any and all of three nodes, under load: no acknowledged event is
# lost, duplicated or reordered. ROUNDS=20; more with ESTREAT_KILL_ROUNDS. Prints its seed. The
# nodes write their logs by io_uring, where the kernel allows it; those of other tests do not.
source "$(dirname "$0")/lib.sh"
rounds=${ESTREAT_KILL_ROUNDS:-20}
seed=${ESTREAT_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $rounds rounds"
options=(--set storage.io=uring)
start_cluster 3 -- "${options[@]}"
for node in n1 n2 n3; do
    grep 'io "log writes"' "$work/cluster/$node/log" | cut -d ' ' -f 2- || fail "$node does not say how it writes"
done

# A writer appends numbered lines to a key of its own and stops when told.
writer() { # number
    local i=0
    while [ ! -e "$work/stop" ]; do
        seq "$((i * 500 + 1))" "$((i * 500 + 500))" | estreat --timeout 60 ingest --batch 50 --key "writer-$1" - >/dev/null || {
            echo "writer $1 failed at $i" >&2
            return 1
        }
        i=$((i + 1))
        echo "$((i * 500))" >"$work/acknowledged-$1"
    done
}
for w in 1 2; do
    writer $w &
    writers+=($!)
    started+=($!) # also when the test ends early
done

for round in $(seq "$rounds"); do
    sleep "0.$((RANDOM % 10))"
    case $((RANDOM % 5)) in
    0) nodes=(n1 n2 n3) ;;
    1)
        nodes=(n1 n2 n3)
        unset "nodes[RANDOM % 3]"
        ;;
    *) nodes=("n$((RANDOM % 3 + 1))") ;;
    esac
    for node in "${nodes[@]}"; do
        kill -9 "$(cat "$work/cluster/$node/pid")" 2>/dev/null || true
    done
    for node in "${nodes[@]}"; do
        cluster kill "$node" --dir "$work/cluster"
        cluster start-node "$node" --dir "$work/cluster" -- "${options[@]}"
    done
    sleep "1.$((RANDOM % 10))"
done
touch "$work/stop"
for pid in "${writers[@]}"; do wait "$pid" || fail "a writer failed"; done

for w in 1 2; do
    acknowledged=$(cat "$work/acknowledged-$w")
    [ "$acknowledged" -gt 0 ] || fail "writer $w wrote nothing"
    estreat --timeout 30 -o raw history "writer-$w" >"$work/back"
    seq 1 "$acknowledged" | cmp - "$work/back" || fail "writer $w: $acknowledged were acknowledged"
    echo "writer $w: $acknowledged events, each once, in order"
done
wait_until 60 estreat --timeout 5 audit
estreat --timeout 60 audit --deep >/dev/null || fail "the deep audit finds a difference"

# A pid that nobody has any more, as after the machine's start, keeps no node from its start.
cluster kill n1 --dir "$work/cluster"
printf '999999999\n' >"$work/cluster/n1/pid"
cluster start-node n1 --dir "$work/cluster" -- "${options[@]}" || fail "a stale pid file"
cluster stop --dir "$work/cluster"
