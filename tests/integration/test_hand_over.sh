#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A leader that is told to stop hands leadership over first: the client that appends one event after
# another waits for less than half an election timeout, and loses nothing. Prints how long it waited at
# most, each time; what counts is the median, since anything may hold up a machine once.
source "$(dirname "$0")/lib.sh"
tools=$ESTREAT_BIN/../tests
start_cluster 3 # election_ms = 600
"$tools/estreat-record-history" --out "$work/history" --writers 1 --readers 0 --pause-ms 1 \
    --timeout-ms 20000 >"$work/counts" &
recorder=$!
started+=("$recorder")
now_ns() { python3 -c 'import time; print(time.monotonic_ns())'; }
sleep 1
for _ in 1 2 3; do
    leader=$(leader_of)
    # A client that reads from the leader and does not go when it is told to: its end is waited for.
    endpoint=$(sed -n "s/^# node $leader .* client \\([^ ]*\\).*/\\1/p" "$work/environment")
    estreat --endpoints "$endpoint" tail -f >"$work/followed" 2>/dev/null &
    follower=$!
    started+=("$follower")
    wait_until 5 test -s "$work/followed"
    kill -STOP "$follower"
    now_ns >>"$work/moments"
    cluster stop-node "$leader" --dir "$work/cluster"
    tail -n 1 "$work/cluster/$leader/log" | grep -q '"stopped"' || fail "$leader did not stop cleanly"
    kill -9 "$follower"
    wait "$follower" 2>/dev/null || true
    sleep 0.3
    cluster start-node "$leader" --dir "$work/cluster"
    sleep 1
done
kill -TERM "$recorder"
wait "$recorder"
"$tools/estreat-check-history" "$work/history"
python3 - "$work/history" "$work/moments" <<'EOT' || fail "a stop took half as long as an election"
import bisect, json, statistics, sys
with open(sys.argv[1], encoding="utf-8") as lines:
    entries = [json.loads(line) for line in lines]
ends = sorted(e["return_ns"] for e in entries if e["op"] == "append" and e["result"] == "ok")
waited = []
with open(sys.argv[2], encoding="utf-8") as lines:
    for moment in map(int, lines):
        first = max(1, bisect.bisect(ends, moment))
        last = bisect.bisect(ends, moment + 1_200_000_000)
        if last <= first or last >= len(ends):
            sys.exit("nothing was acknowledged after a stop")
        waited.append(max(ends[i] - ends[i - 1] for i in range(first, last + 1)) / 1e6)
print("longest waits, ms:", " ".join(f"{ms:.1f}" for ms in waited))
sys.exit(0 if statistics.median(waited) < 300 else 1)
EOT
cluster stop --dir "$work/cluster"
