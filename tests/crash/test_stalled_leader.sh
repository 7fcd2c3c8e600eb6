#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A leader whose disk stalls, while a client appends: another leads soon, appends go on before the disk
# answers again, and the old leader lives. Once its disk is well it follows as if nothing had been.
source "$(dirname "$0")/../integration/lib.sh"
# shellcheck source=tests/crash/faulty_nodes.sh
source "$root/tests/crash/faulty_nodes.sh"
tools=$ESTREAT_BIN/../tests
election_ms=600 # the default
# Two timeouts until the leader takes its disk for stalled, one for a hand-over that comes to nothing,
# two for an election.
bound_ms=$((5 * election_ms))
# What one sync takes: longer than all that is looked at meanwhile.
stall_ms=4500
start_faulty_cluster 3
now_ms() { date +%s%3N; }
status() { estreat --timeout 2 -o json status; }
of_old() { status | json "[n for n in v['nodes'] if n['id'] == '$old'][0]['$1']"; }
old_says() { grep -q "wal \"the disk $1\"" "$work/cluster/$old/log"; }
another_leads() { [ "$(status | json "v['leader'] not in (None, '', '$old')")" = true ]; }
follows() { [ "$(of_old role) $(of_old state) $(of_old lag)" = "follower ok 0" ]; }
acknowledged() { grep -c '"op":"append".*"result":"ok"' "$work/history"; }
more_than() { [ "$(acknowledged)" -gt "$1" ]; }

"$tools/estreat-record-history" --out "$work/history" --pause-ms 5 >"$work/recorder.log" 2>&1 &
recorder=$!
started+=("$recorder")
wait_until 10 more_than 100
old=$(leader_of)
pid=$(cat "$work/cluster/$old/pid")

begin=$(now_ms)
echo "$stall_ms" >"$work/cluster/$old/faults/slow"
until another_leads; do
    [ $(($(now_ms) - begin)) -le $((2 * bound_ms)) ] || fail "nobody else leads"
done
took_ms=$(($(now_ms) - begin))
[ "$took_ms" -le "$bound_ms" ] || fail "another leads only after $took_ms ms, not within $bound_ms"
before=$(acknowledged)
wait_until 2 more_than $((before + 100))
old_says 'does not answer' || fail "$old does not say that its disk is stalled"
! old_says 'answers again' || fail "the disk was not stalled for long enough"
echo "another leads after $took_ms ms; $(($(acknowledged) - before)) appends until $(($(now_ms) - begin)) ms"
rm "$work/cluster/$old/faults/slow"

wait_until 20 follows
old_says 'answers again' || fail "$old does not say that its disk is well"
equal "$(cat "$work/cluster/$old/pid")" "$pid"
kill -0 "$pid" || fail "$old has ended"
kill -TERM "$recorder"
wait "$recorder" || fail "the recorder: $(cat "$work/recorder.log")"
"$tools/estreat-record-history" --out "$work/history" --read-all --timeout-ms 30000 >/dev/null
"$tools/estreat-check-history" "$work/history" || fail "the history is no log's"
estreat --timeout 60 audit --deep >"$work/audit" || fail "the nodes differ: $(cat "$work/audit")"
grep -q CONSISTENT "$work/audit" || fail "the audit says: $(cat "$work/audit")"
cluster stop --dir "$work/cluster"
