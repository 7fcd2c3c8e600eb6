#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How far a node lags, in events, entries, bytes and seconds, as `estreat status` tells it: a follower
# that hears nothing from the others lags more and more, so does one that does not answer, as far as it
# last told the leader, and both come back to nothing. Meanwhile it serves what it has to those who ask for no more.
source "$(dirname "$0")/lib.sh"
# shellcheck source=tests/crash/network.sh
source "$root/tests/crash/network.sh"
base_port=$((10000 + RANDOM % 18000))
network_open proxy
for node in n1 n2 n3; do
    mkdir -p "$work/cluster/$node"
    {
        printf '[node]\nid = %s\ndata = %s\ncluster = lag\n\n' "$node" "$work/cluster/$node/data"
        for other in n1 n2 n3; do network_member "$node" "$other"; done
    } >"$work/cluster/$node/estreat.conf"
done
start_cluster 3
# Reads at the node alone, with a consistency and within a second.
read_there() { estreat --endpoints "$endpoint" --timeout 1 -o raw get mark --consistency "$1"; }
append() { # events of 1,000 bytes
    for _ in $(seq "$1"); do printf '%01000d\n' 0; done | estreat --timeout 10 ingest --key k --batch 1 - >/dev/null
}
lag_of() {
    estreat --timeout 1 -o json status |
        json "[[n['lag'], n['lag_entries'], n['lag_bytes'], n['lag_s']] for n in v['nodes'] if n['id'] == '$1'][0]"
}
falls_behind() { # node, why: by 20 events of 1,000 bytes, then, half a second later, by 40
    local first second
    append 20
    first=$(lag_of "$1")
    sleep 0.5
    append 20
    second=$(lag_of "$1")
    lags "$leader" "[0, 0, 0, 0.0]" || fail "the leader lags"
    echo "$2: $first, then $second"
    python3 - "$first" "$second" <<'EOT' || fail "that is not how far it lags"
import json, sys
(events, entries_1, bytes_1, seconds_1), (more, entries_2, bytes_2, seconds_2) = map(json.loads, sys.argv[1:])
assert (events, more) == (20, 40)
assert 1 <= entries_1 <= 22 and entries_1 < entries_2 <= 44
assert 20_000 < bytes_1 < 25_000 and 40_000 < bytes_2 < 50_000
assert seconds_1 > 0 and seconds_2 >= seconds_1 + 0.5
EOT
}
lags() { [ "$(lag_of "$1")" = "$2" ]; }

append 5
estreat append mark before >/dev/null
leader=$(leader_of)
node=$([ "$leader" = n1 ] && echo n2 || echo n1)
for each in n1 n2 n3; do wait_until 5 lags "$each" "[0, 0, 0, 0.0]"; done
client_of() { estreat -o json status | json "[n for n in v['nodes'] if n['id'] == '$1'][0]['endpoint']"; }
endpoint=$(client_of "$node")
for consistency in linearizable local 6; do equal "$(read_there $consistency)" before "a follower, $consistency"; done

for other in n1 n2 n3; do
    [ "$other" = "$node" ] || { network_cut "$node" "$other" && network_cut "$other" "$node"; }
done
falls_behind "$node" cut

estreat append mark after >/dev/null
equal "$(read_there local)" before "what it has"
equal "$(read_there 6)" before "the size that it has"
expect 2 read_there 47
expect 2 read_there linearizable
network_heal
equal "$(estreat --endpoints "$endpoint" --timeout 5 -o raw get mark --consistency 47)" after
wait_until 5 lags "$node" "[0, 0, 0, 0.0]"

# The leader goes on without one that stopped and knows how far it was; another leader was never told.
pid=$(cat "$work/cluster/$node/pid")
sleep 0.5
kill -STOP "$pid"
falls_behind "$node" stopped

# Nor does a client that meets it first and has little time.
for i in 1 2 3 4 5; do
    estreat --endpoints "$endpoint,$(client_of "$leader")" --timeout 3 append meanwhile "$i" >/dev/null
done

third=$(printf '%s\n' n1 n2 n3 | grep -v -e "$leader" -e "$node")
estreat transfer "$third" >/dev/null
lags "$node" "[null, null, null, null]" || fail "nobody can know that: $(lag_of "$node")"
kill -CONT "$pid"
wait_until 5 lags "$node" "[0, 0, 0, 0.0]"
cluster stop --dir "$work/cluster"
