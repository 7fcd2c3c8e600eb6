#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The power fails at random moments, at one node or at all three at once, under load: what was not
# synced is gone (estreatd-crash), and no acknowledged event is lost, duplicated or reordered.
# ESTREAT_POWER_ROUNDS=6; ESTREAT_POWER_OPTION=--no-sync is for test_power_loss_must_fail.sh.
# Exit 3: events were lost, or a node refused to start again. Prints its seed.
source "$(dirname "$0")/../integration/lib.sh"
rounds=${ESTREAT_POWER_ROUNDS:-6}
seed=${ESTREAT_SEED:-$RANDOM}
RANDOM=$seed
echo "seed $seed, $rounds rounds ${ESTREAT_POWER_OPTION-}"
export ESTREATD=${ESTREATD:-$ESTREAT_BIN/../tests/estreatd-crash}
# Small, so that flushes, merges and new log segments are going on whenever the power fails.
options=(--mirror '{dir}/mirror' --set storage.memtable_mib=1 --set storage.segment_mib=4
    --set storage.retain_mib=16 ${ESTREAT_POWER_OPTION-})
timeout=60 # nobody waits that long for nodes that are bound to be of no use
[ -z "${ESTREAT_POWER_OPTION-}" ] || timeout=5
start_cluster 3 -- "${options[@]}"

writers=()
at_end_too() {
    for pid in "${writers[@]}"; do
        pkill -9 -P "$pid" || true
        kill -9 "$pid" 2>/dev/null || true
    done
}

lost() {
    printf 'LOST: %s\n' "$*"
    exit 3
}

padding=$(printf '%0300d' 0)
numbered() { seq -f "%.0f $padding" "$1" "$2"; } # [$1, $2]

# A writer appends numbered lines to a key of its own and stops when told.
writer() { # number
    local i=0
    while [ ! -e "$work/stop" ]; do
        numbered $((i * 500 + 1)) $((i * 500 + 500)) |
            estreat --timeout "$timeout" ingest --batch 50 --key "writer-$1" - >/dev/null || return 1
        i=$((i + 1))
        echo $((i * 500)) >"$work/acknowledged-$1.new"
        mv "$work/acknowledged-$1.new" "$work/acknowledged-$1" # whole, for who reads it
    done
}

acknowledged() { cat "$work/acknowledged-$1" 2>/dev/null || echo 0; }

# Both writers get something acknowledged after now, unless one has failed.
load_goes_on() {
    local w before
    for w in 1 2; do
        before=$(acknowledged $w)
        for _ in $(seq 600); do
            [ "$(acknowledged $w)" = "$before" ] || continue 2
            kill -0 "${writers[w - 1]}" 2>/dev/null || return 1
            sleep 0.1
        done
        return 1
    done
}

serves() { grep -q ' "serving"' "$work/cluster/$1/log"; }
serves_or_has_ended() { serves "$1" || grep -q '^estreatd-crash:' "$work/cluster/$1/log"; }

check_events() { # of writer $1: those that were acknowledged, once, in order
    local count
    count=$(acknowledged "$1")
    [ "$count" -gt 0 ] || fail "writer $1 wrote nothing"
    estreat --timeout "$timeout" -o raw history "writer-$1" >"$work/back" || lost "writer $1: no history"
    # The last request may have been stored and its answer lost: more is right, less is not.
    head -n "$count" "$work/back" | cmp -s - <(numbered 1 "$count") ||
        lost "writer $1: $count events were acknowledged; $(wc -l <"$work/back") are there"
    numbered 1 "$(wc -l <"$work/back")" | cmp - "$work/back" || fail "writer $1: behind those, others"
    echo "writer $1: $count events, each once, in order"
}

power_fails() { # at $nodes, and comes back
    local node pids=()
    for node in "${nodes[@]}"; do pids+=("$(cat "$work/cluster/$node/pid")"); done
    kill -9 "${pids[@]}" || lost "a node had ended: $(tail -qn 1 "$work"/cluster/*/log)"
    for node in "${nodes[@]}"; do
        cluster kill "$node" --dir "$work/cluster"
        cat "$work/cluster/$node/log" >>"$work/cluster/$node/log.before"
        : >"$work/cluster/$node/log"
        cluster start-node "$node" --dir "$work/cluster" -- "${options[@]}" || true # looked at below
    done
}

for w in 1 2; do
    writer $w &
    writers+=($!)
done

for round in $(seq "$rounds"); do
    load_goes_on || break
    sleep "0.$((RANDOM % 10))"
    case $((RANDOM % 2)) in
    0) nodes=(n1 n2 n3) ;;
    *) nodes=("n$((RANDOM % 3 + 1))") ;;
    esac
    [ "$round" -gt 1 ] || nodes=(n1 n2 n3)
    echo "round $round: ${nodes[*]} at $(acknowledged 1) and $(acknowledged 2)"
    power_fails
    # Once more while they start, or while they have just begun again.
    [ $((RANDOM % 3)) -ne 0 ] || { sleep "0.$((RANDOM % 4))$((RANDOM % 10))"; power_fails; }
    for node in "${nodes[@]}"; do
        wait_until 30 serves_or_has_ended "$node"
        serves "$node" || lost "$node does not start: $(tail -n 1 "$work/cluster/$node/log")"
    done
done
load_goes_on || echo "a writer has stopped"
touch "$work/stop"
failed=0
for pid in "${writers[@]}"; do wait "$pid" || failed=1; done

for w in 1 2; do check_events $w; done
[ "$failed" -eq 0 ] || fail "a writer failed"
wait_until 60 estreat --timeout 5 audit
estreat --timeout 60 audit --deep >/dev/null || fail "the deep audit finds a difference"
cluster stop --dir "$work/cluster"
