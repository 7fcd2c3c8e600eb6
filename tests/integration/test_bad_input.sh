#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What bad input gets: one clear line, the right exit code, and nothing lost.
source "$(dirname "$0")/lib.sh"

# --- the command line ---
expect 64 estreat
expect 64 estreat --no-such-flag status
said no-such-flag
expect 64 estreat frobnicate
said frobnicate
expect 64 estreat get
expect 64 estreat read --from yesterday
said yesterday
expect 64 estreat append k v --severity loud
expect 64 estreat append k v --expect some
expect 64 estreat prove 0 5
said "size 0"
expect 64 estreatd
expect 64 estreatd --no-such-flag
expect 64 estreatd --config "$work/absent.conf"
said absent.conf
printf '[node]\nid = n1\nshape = round\n' >"$work/bad.conf"
expect 64 estreatd --config "$work/bad.conf"
said bad.conf:3 shape
printf '[member.n1]\nclient = h:1\nclient = h:2\n' >"$work/bad.conf"
expect 64 estreatd --config "$work/bad.conf"
said bad.conf:3 twice

# --- endpoints that nobody is behind: bounded time, exit 2 ---
begin=$SECONDS
expect 2 estreat --endpoints 127.0.0.1:1 --timeout 3 get k
said 127.0.0.1:1
expect 2 estreat --endpoints 127.0.0.1:1,127.0.0.1:2 --timeout 3 append k v
[ $((SECONDS - begin)) -lt 12 ] || fail "unreachable endpoints took $((SECONDS - begin)) s"
expect 64 estreat --endpoints nonsense --timeout 3 get k

# --- one node, whose ports get garbage ---
start_cluster 1
client=$(sed -n 's/^# node n1 .* client 127.0.0.1:\([0-9]*\) .*/\1/p' "$work/environment")
peer=$(sed -n 's/^# node n1 .* peer 127.0.0.1:\([0-9]*\) .*/\1/p' "$work/environment")
data=$work/cluster/n1/data
estreat append k before >/dev/null
expect 64 estreat append k v --type $'not \xff text'
said UTF-8
for verb in "append k v" "get k" "history k" head; do
    # shellcheck disable=SC2086
    if estreat --endpoints "127.0.0.1:$peer" --timeout 3 $verb >/dev/null 2>"$work/said"; then
        fail "a peer port took: $verb"
    fi
    grep -qF "127.0.0.1:$peer: this port is for the cluster's nodes; clients have another" "$work/said" ||
        fail "$verb: $(cat "$work/said")"
done
for port in "$client" "$peer"; do
    head -c 100000 /dev/urandom >"/dev/tcp/127.0.0.1/$port" 2>/dev/null || true
    # In a shell of its own: the node may have hung up, and SIGPIPE would end this one.
    (printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || true
    for _ in $(seq 300); do : >"/dev/tcp/127.0.0.1/$port" || true; done
    # Half-open: connected, silent.
    exec {silent}<>"/dev/tcp/127.0.0.1/$port"
done
equal "$(estreat -o raw --timeout 5 get k)" before

# --- sizes ---
head -c 524288 /dev/zero | tr '\0' x >"$work/largest"
expect 0 estreat append big - <"$work/largest"
equal "$(estreat -o raw get big | wc -c)" 524289
printf y >>"$work/largest"
expect 64 estreat append big - <"$work/largest"
expect 64 estreat append "$(head -c 1025 /dev/zero | tr '\0' k)" v
expect 0 estreat append "$(head -c 1024 /dev/zero | tr '\0' k)" v
expect 64 estreat append "" v
expect 64 estreat ingest "$work/largest"
said largest
expect 64 estreat ingest "$work/absent"
said absent

# --- a data directory that is in use, another's, or damaged; a port in use ---
conf=$work/cluster/n1/estreat.conf
expect 1 estreatd --config "$conf" --set "member.n1.client=127.0.0.1:0" --set "member.n1.peer=127.0.0.1:0"
said "$data" "in use"
expect 1 estreatd --config "$conf" --set "node.data=$work/second" --set "member.n1.peer=127.0.0.1:0"
said "$client"
cluster stop --dir "$work/cluster"
expect 1 estreatd --config "$conf" --set node.cluster=other
said "$data"
sed 's/n1/n9/g' "$conf" >"$work/other.conf"
sed -i "s|^data = .*|data = $data|" "$work/other.conf"
expect 1 estreatd --config "$work/other.conf"
said "$data"

# A byte in the middle of a table or manifest is damage, named with its file.
cp -r "$data" "$work/copy"
manifest=$(find "$work/copy/tables" -name 'MANIFEST-*' | head -n 1)
printf '\377\377\377' | dd of="$manifest" bs=1 seek=20 conv=notrunc status=none
expect 1 estreatd --config "$conf" --set "node.data=$work/copy"
said "$(basename "$manifest")"

# So is one in the acknowledged part of the log: it is not cut off.
cluster start --dir "$work/cluster" >/dev/null
for i in $(seq 20); do estreat append log "event $i of the log" >/dev/null; done
sleep 1.5 # idle: the tail is attested
cluster kill n1 --dir "$work/cluster"
segment=$(grep -rl 'event 3 of the log' "$data/wal" | head -n 1)
offset=$(grep -abo 'event 3 of the log' "$segment" | head -n 1 | cut -d: -f1)
cp -r "$data" "$work/rotten"
printf X | dd of="$work/rotten/wal/$(basename "$segment")" bs=1 seek="$offset" conv=notrunc status=none
expect 1 estreatd --config "$conf" --set "node.data=$work/rotten"
said "$(basename "$segment")"
cluster start --dir "$work/cluster" >/dev/null
equal "$(estreat -o json history log | lines_json 'len(v)')" 20
equal "$(estreat -o raw get k)" before
cluster stop --dir "$work/cluster"

# --- a node that cannot start is not said to have started ---
cluster start -n 1 --dir "$work/second" >/dev/null
cluster stop --dir "$work/second"
expect 1 cluster start-node n1 --dir "$work/second" -- --no-such-option
grep -q "did not start" "$work/stderr" || { cat "$work/stderr" >&2; fail "start-node does not say so"; }

# --- a node of another cluster behind a member's address: the log says so ---
cluster start -n 3 --dir "$work/third" >"$work/third.environment"
cluster stop-node n3 --dir "$work/third"
sed 's/^cluster = .*/cluster = alien/; s|^data = .*|data = '"$work"'/alien|' "$work/third/n3/estreat.conf" >"$work/alien.conf"
estreatd --config "$work/alien.conf" >"$work/alien.log" 2>&1 &
started+=($!)
told() { grep -q "refuses this node.*alien" "$work/third/n1/log"; }
wait_until 20 told
