#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The membership of a running cluster: a node joins under load, becomes a voter by itself, leads, is
# removed while it leads, and disturbs nobody afterwards; another is promoted by command; a machine that
# comes back without what it acknowledged is refused, and so is a second copy of one that runs.
source "$(dirname "$0")/lib.sh"
start_cluster 3
members() { estreat --timeout 5 -o json member list | json "$1"; }
term_of() { estreat --timeout 5 -o json status | json 'v["term"]'; }
is_voter() { [ "$(members "[m['role'] for m in v['members'] if m['id'] == '$1']")" = '["voter"]' ]; }
audit_is() { estreat --timeout 3 audit >/dev/null 2>&1; }
leads() { [ "$(leader_of)" = "$1" ]; }
by_itself() { grep -q "learner has caught up\" member=$1\$" "$work"/cluster/*/log; } # it was promoted

# A writer that goes on through all of this.
(
    i=0
    while [ ! -e "$work/stop" ]; do
        seq "$((i * 500 + 1))" "$((i * 500 + 500))" |
            estreat --timeout 60 ingest --batch 50 --key writer - >/dev/null || exit 1
        i=$((i + 1))
        echo "$((i * 500))" >"$work/acknowledged"
    done
) &
writer=$!
started+=("$writer")
wait_until 20 test -s "$work/acknowledged"

# One more node: it waits, is added as a learner, and is promoted when it has caught up.
add=$(cluster new-node n4 --dir "$work/cluster")
grep -q 'waits to be added' "$work/cluster/n4/log" || fail "n4 does not say that it waits"
eval "$add"
wait_until 20 is_voter n4
by_itself n4 || fail "the leader does not say that n4 has caught up"
equal "$(members "sorted(m['id'] for m in v['members'])")" '["n1", "n2", "n3", "n4"]'
eval "$add" # again: as before
cluster status --dir "$work/cluster" >"$work/environment"
eval "$(grep '^export' "$work/environment")"

# It leads, and is removed while it does.
estreat transfer n4
wait_until 10 leads n4
estreat transfer
[ "$(leader_of)" != n4 ] || fail "the transfer went nowhere"
estreat transfer n4
wait_until 10 leads n4
estreat member remove n4
estreat member remove n4 # again: as before
equal "$(members "sorted(m['id'] for m in v['members'])")" '["n1", "n2", "n3"]'
[ "$(leader_of)" != n4 ] || fail "a removed node leads"

# Stopped and started again it disturbs nobody: the term stays. Its id does not come back.
term=$(term_of)
cluster stop-node n4 --dir "$work/cluster"
cluster start-node n4 --dir "$work/cluster"
sleep 3
equal "$(term_of)" "$term"
expect 1 bash -c "$add"
said "n4: a member of this id was removed"

# What cannot be done, says why.
expect 1 estreat member remove n9
said NOT_FOUND
expect 1 estreat member promote n9
said NOT_FOUND
estreat member promote n1 # a voter is one
expect 1 estreat member add n1 --client 127.0.0.1:1 --peer 127.0.0.1:2
said ALREADY_EXISTS
expect 1 estreat transfer n9
said NOT_FOUND
expect 64 estreat member add 'n 5' --client 127.0.0.1:1 --peer 127.0.0.1:2
expect 64 estreat member add n5 --client nowhere --peer 127.0.0.1:2
expect 64 estreat member add n5 --peer 127.0.0.1:2
said "needs --client HOST:PORT and --peer HOST:PORT"
expect 64 estreat member move n1
expect 64 estreat member remove
expect 64 estreat member list n1

touch "$work/stop"
wait "$writer" || fail "the writer failed"
acknowledged=$(cat "$work/acknowledged")
estreat --timeout 30 -o raw history writer >"$work/back"
seq 1 "$acknowledged" | cmp - "$work/back" || fail "$acknowledged were acknowledged"
cluster stop-node n4 --dir "$work/cluster"
rm -rf "$work/cluster/n4"
ESTREAT_ENDPOINTS=$(sed -n 's/^# node n[123] .*client \([^ ]*\).*/\1/p' "$work/environment" | paste -sd,)
wait_until 20 audit_is

# A copy of a machine that runs, started beside it, is refused by both others, who go on with the first.
other=$([ "$(leader_of)" = n1 ] && echo n2 || echo n1)
cp -r "$work/cluster/$other/data" "$work/beside"
estreatd --config "$work/cluster/$other/estreat.conf" --set "node.data=$work/beside" \
    --set "member.$other.client=127.0.0.1:0" --set "member.$other.peer=127.0.0.1:0" \
    </dev/null >/dev/null 2>"$work/beside.log" &
started+=($!)
refused_by_both() { [ "$(grep -c "member $other still runs" "$work/beside.log")" -ge 2 ]; }
wait_until 20 refused_by_both
kill "${started[-1]}"
wait "${started[-1]}" || true
seq 1 100 | estreat --timeout 10 ingest --key beside - >/dev/null
wait_until 20 audit_is
rm -rf "${work:?}/beside"

# A machine that was wiped does not come back under its id: it has forgotten what it acknowledged.
cluster stop-node "$other" --dir "$work/cluster"
mv "$work/cluster/$other/data" "$work/whole"
cluster start-node "$other" --dir "$work/cluster"
wait_until 20 grep -q "member $other came back with another data directory" "$work/cluster/$other/log"
equal "$(estreat -o json status | json "[n['applied'] for n in v['nodes'] if n['id'] == '$other']")" '[0]'
seq 1 100 | estreat ingest --key meanwhile - >/dev/null
cluster stop-node "$other" --dir "$work/cluster"

# Nor on an older copy of its directory, which lacks what came since.
rm -rf "${work:?}/cluster/$other/data"
cp -r "$work/whole" "$work/cluster/$other/data"
cluster start-node "$other" --dir "$work/cluster"
wait_until 20 audit_is
cluster stop-node "$other" --dir "$work/cluster"
rm -rf "${work:?}/cluster/$other/data"
cp -r "$work/whole" "$work/cluster/$other/data"
cluster start-node "$other" --dir "$work/cluster"
wait_until 20 grep -Eq "two copies of the data directory of member $other run|member $other runs on an older copy" "$work/cluster/$other/log"
cluster stop-node "$other" --dir "$work/cluster"

# It is removed, and its machine comes back under a new id. This time it is promoted by command, not
# while it stands still. Once it goes on, the leader, which looks twice a second whether a learner has
# caught up, may be first: then it says so, the command found a voter, and the next id is tried.
estreat member remove "$other"
for new in n5 n6 n7 n8 n9; do
    add=$(cluster new-node "$new" --dir "$work/cluster")
    kill -STOP "$(cat "$work/cluster/$new/pid")"
    eval "$add"
    expect 1 estreat member promote "$new"
    said "it has not caught up yet, or does not answer"
    equal "$(members "[m['role'] for m in v['members'] if m['id'] == '$new']")" '["learner"]'
    kill -CONT "$(cat "$work/cluster/$new/pid")"
    end=$((SECONDS + 20))
    until estreat member promote "$new" 2>"$work/stderr"; do
        [ "$SECONDS" -lt "$end" ] || fail "$new is not promoted: $(cat "$work/stderr")"
    done
    is_voter "$new" || fail "$new is no voter, though its promotion was acknowledged"
    by_itself "$new" || break
    estreat member remove "$new"
    cluster stop-node "$new" --dir "$work/cluster"
    rm -rf "${work:?}/cluster/$new"
done
! by_itself "$new" || fail "no command to promote was in time"
ESTREAT_ENDPOINTS=$(cluster status --dir "$work/cluster" | sed -n 's/^# node n[0-9]* pid [0-9]* client \([^ ]*\).*/\1/p' | paste -sd,)
wait_until 20 audit_is
estreat audit --deep >/dev/null
estreat --timeout 30 -o raw history writer | cmp - "$work/back"

# With a dead follower leadership still moves, to one that answers; what would leave no majority that
# answers is refused at once.
leader=$(leader_of)
read -r dead alive < <(members '" ".join(m["id"] for m in v["members"] if m["id"] != v["leader"])')
cluster kill "$dead" --dir "$work/cluster"
sleep 1.5
expect 1 estreat --timeout 10 transfer "$dead"
said "that member does not answer"
estreat --timeout 10 transfer
wait_until 10 leads "$alive"
expect 1 estreat --timeout 10 member remove "$alive"
said "which is no majority"
expect 1 estreat --timeout 10 member remove "$leader"
said "which is no majority"
estreat --timeout 10 member remove "$dead"

# The configurations name the new member, as one would write it down now; all lose their power.
for node in "$leader" "$alive"; do
    [ "$node" = "$new" ] || printf '\n[member.%s]\nclient = %s\npeer = %s\n' "$new" \
        "$(sed -n 's/^client = //p' "$work/cluster/$new/estreat.conf")" \
        "$(sed -n 's/^peer = //p' "$work/cluster/$new/estreat.conf")" >>"$work/cluster/$node/estreat.conf"
done
for node in "$leader" "$alive"; do cluster kill "$node" --dir "$work/cluster"; done
for node in "$leader" "$alive"; do cluster start-node "$node" --dir "$work/cluster"; done
ESTREAT_ENDPOINTS=$({ cluster status --dir "$work/cluster" 2>/dev/null || true; } | sed -n 's/^# node n[0-9]* pid [0-9]* client \([^ ]*\).*/\1/p' | paste -sd,)
wait_until 20 audit_is
equal "$(members 'len(v["members"])')" 2
cluster stop --dir "$work/cluster"
