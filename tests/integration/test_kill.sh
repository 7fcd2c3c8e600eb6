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

# The last line of a node's log that says how it writes is this, but for its time.
writes() { # node, extended regular expression
    local line
    line=$(grep 'io "log writes"' "$work/cluster/$1/log" | tail -n 1 | cut -d ' ' -f 2-) || true
    echo "$1: $line"
    [[ $line =~ ^$2$ ]] || fail "$1 does not say how it writes: $line"
}
# By posix only if the kernel refuses, which this asks it without a node: 425 is io_uring_setup.
by_uring='info io "log writes" by=io_uring'
if ! python3 -c 'import ctypes, sys
sys.exit(ctypes.CDLL(None).syscall(425, 4, ctypes.create_string_buffer(120)) < 0)'; then
    by_uring='warn io "log writes" by=posix why="io_uring: [^"]+"'
fi
for node in n1 n2 n3; do
    writes $node "$by_uring"
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
writes n1 "$by_uring"

# By posix if that is asked for, or nothing is.
for options in "--set storage.io=posix" ""; do
    cluster kill n1 --dir "$work/cluster"
    # shellcheck disable=SC2086 # no word, or two
    cluster start-node n1 --dir "$work/cluster" -- $options
    writes n1 'info io "log writes" by=posix why="as set"'
done
cluster stop --dir "$work/cluster"
