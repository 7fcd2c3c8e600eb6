#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Three real nodes under load, and a random fault in each round (chaos_faults.sh): killed, paused,
# without disk space, with a disk that fails, cut off; or two of these, the second while the first one
# holds; or leadership that is handed over in the middle of one. At the end everything is well again, the
# history of all clients is a log's, the nodes agree down to their disks, and all can be read.
#
#   ESTREAT_CHAOS_ROUNDS=30, ESTREAT_SEED   which faults, in which order, for how long
#   ESTREAT_CHAOS_KINDS                     only these, e.g. "kill pause"
#   ESTREAT_CHAOS_NETWORK                   "proxy" where network namespaces must not be used
#   ESTREATD, ESTREAT_CHAOS_OPTIONS         other nodes (test_chaos_must_fail.sh)
#   ESTREAT_KEEP                            a directory for the history and logs of a failure
#
# Exit 3: something acknowledged is lost, or the history is no log's.
set -euo pipefail
# Where root may, all that is mounted and all networks are ours alone and go with us.
probe='mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && ip netns add probe &&
    ip link add bridge type bridge && ip link add outside type veth peer name inside netns probe'
if [ -z "${ESTREAT_CHAOS_INSIDE-}" ] && [ "${ESTREAT_CHAOS_NETWORK-}" != proxy ] &&
    [ "$(id -u)" -eq 0 ] && unshare --net --mount sh -c "$probe" 2>/dev/null; then
    ESTREAT_CHAOS_INSIDE=1 exec unshare --net --mount "$0" "$@"
fi
source "$(dirname "$0")/../integration/lib.sh"
source "$root/tests/crash/network.sh"
source "$root/tests/crash/chaos_faults.sh"
rounds=${ESTREAT_CHAOS_ROUNDS:-30}
seed=${ESTREAT_SEED:-$RANDOM}
RANDOM=$seed
tools=$ESTREAT_BIN/../tests
[ -z "${ESTREAT_CHAOS_KINDS-}" ] || read -ra kinds <<<"$ESTREAT_CHAOS_KINDS"
# Small, so that flushes, merges and new log segments are going on whenever something happens.
# By posix calls: libestreat-faults.so sees no others.
read -ra options <<<"--set storage.io=posix --set storage.memtable_mib=4 --set storage.segment_mib=4 --set storage.reserve_mib=8 --set storage.retain_mib=48 ${ESTREAT_CHAOS_OPTIONS-}"
network=proxy
[ -z "${ESTREAT_CHAOS_INSIDE-}" ] || network=namespaces
base_port=$((10000 + RANDOM % 18000))
echo "seed $seed, $rounds rounds, network: $network"

lost() {
    printf 'LOST: %s\n' "$*"
    exit 3
}
at_end_too() {
    # shellcheck disable=SC2154 # at_end's
    if [ -n "${ESTREAT_KEEP-}" ] && [ "$code" -ne 0 ]; then
        mkdir -p "$ESTREAT_KEEP"
        cp "$work/history" "$work"/*.log "$work/environment" "$ESTREAT_KEEP" 2>/dev/null || true
        for node in n1 n2 n3; do cp "$work/cluster/$node/log" "$ESTREAT_KEEP/$node.log" || true; done
        echo "kept in $ESTREAT_KEEP" >&2
    fi
    for node in n1 n2 n3; do
        ! mountpoint -q "$work/cluster/$node/data" || umount -l "$work/cluster/$node/data"
    done
}

# --- three nodes, each in its network, on its small disk, with faults to come ---
network_open "$network"
for node in n1 n2 n3; do
    mkdir -p "$work/cluster/$node" "$work/faults/$node"
    {
        printf '[node]\nid = %s\ndata = %s\ncluster = chaos-%s\n\n' "$node" "$work/cluster/$node/data" "$seed"
        for other in n1 n2 n3; do network_member "$node" "$other"; done
    } >"$work/cluster/$node/estreat.conf"
    # In a mount namespace of our own, so that nothing is left behind.
    if [ -n "${ESTREAT_CHAOS_INSIDE-}" ] && [[ " ${kinds[*]} " == *" full-disk "* ]]; then
        mkdir "$work/cluster/$node/data"
        mount -t tmpfs -o "size=$((96 + rounds / 4))m" tmpfs "$work/cluster/$node/data" || true
    fi
    network_run "$node" >"$work/faults/$node.run"
done
cat >"$work/node" <<SCRIPT
#!/bin/sh
node=\$(basename "\$(dirname "\$2")")
export ESTREAT_FAULTS="$work/faults/\$node"
export LD_PRELOAD="$tools/libestreat-faults.so"
exec \$(cat "$work/faults/\$node.run") "${ESTREATD:-$ESTREAT_BIN/estreatd}" "\$@"
SCRIPT
chmod +x "$work/node"
export ESTREATD=$work/node
start_cluster 3 -- "${options[@]}" || start_cluster 3 -- "${options[@]}" # see start_again

: >"$work/history"
"$tools/estreat-record-history" --out "$work/history" --seed "$seed" \
    --pause-ms $((rounds > 100 ? 40 : 10)) --timeout-ms 1500 >"$work/recorder.log" 2>&1 &
recorder=$!
started+=("$recorder")

# Something that is invoked from now on is acknowledged.
goes_on() {
    local from
    from=$(stat -c %s "$work/history")
    for _ in $(seq 300); do
        # The first whole line may be of before.
        ! tail -c "+$((from + 1))" "$work/history" | grep -q '"op":"append".*"result":"ok"' || return 0
        kill -0 "$recorder" 2>/dev/null || fail "the recorder has ended: $(cat "$work/recorder.log")"
        sleep 0.1
    done
    return 1
}

# Every kind comes once in as many rounds as there are kinds; in which order, the seed says.
deck=()
draw() {
    local at
    [ ${#deck[@]} -gt 0 ] || deck=("${kinds[@]}")
    at=$((RANDOM % ${#deck[@]}))
    kind=${deck[at]}
    unset "deck[at]"
    deck=("${deck[@]}")
}

goes_on || fail "nothing is acknowledged"
for round in $(seq "$rounds"); do
    draw
    numbers=("$RANDOM" "$RANDOM" "$RANDOM")
    fault=
    "fault_$kind" "${numbers[@]}"
    goes_on || fail "round $round: $fault: nothing is acknowledged within 30 s afterwards"
    for node in n1 n2 n3; do
        runs "$node" || fail "round $round: $fault: $node has ended: $(tail -n 1 "$work/cluster/$node/log")"
    done
    echo "round $round: $fault"
done
kill -TERM "$recorder"
wait "$recorder" || fail "the recorder: $(cat "$work/recorder.log")"
cat "$work/recorder.log"
for kind in "${kinds[@]}"; do
    printf '%s: %s\n' "$kind" "${count[$kind]-0}"
    [ "$rounds" -lt ${#kinds[@]} ] || [ "${count[$kind]-0}" -gt 0 ] || fail "no $kind in $rounds rounds"
done

# --- is it all there, and everywhere alike? ---
end=$((SECONDS + 60))
audited=1
until estreat --timeout 5 audit >/dev/null 2>&1; do
    refused=$(cat "$work"/cluster/*/log | grep -Eo 'member n[0-9] (came back with another data directory|runs on an older copy)' | head -n 1) || true
    [ -z "$refused" ] || lost "$refused"
    [ "$SECONDS" -lt "$end" ] || { audited=0; break; }
    sleep 0.2
done
"$tools/estreat-record-history" --out "$work/history" --read-all --timeout-ms 30000 >/dev/null ||
    lost "the log cannot be read: $(tail -n 1 "$work/history" | tail -c 300)"
code=0
"$tools/estreat-check-history" "$work/history" || code=$?
[ "$code" -ne 1 ] || lost "the history is no log's"
[ "$code" -eq 0 ] || fail "estreat-check-history exits $code"
# Only now: nodes that lost what they acknowledged may never become alike, and that is a loss.
[ "$audited" -eq 1 ] || fail "no audit within 60 s"
estreat --timeout 60 audit --deep >"$work/audit" || lost "the nodes differ: $(cat "$work/audit")"
grep -q CONSISTENT "$work/audit" || fail "the audit says: $(cat "$work/audit")"
cluster stop --dir "$work/cluster"
