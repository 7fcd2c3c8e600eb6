#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# transfer.sh [ROUNDS]: how long appends stand still when leadership is handed over. A client appends
# one at a time; ROUNDS (50) times "estreat transfer". Prints milliseconds from one acknowledgement to
# the next, the largest while each command ran: p50, p99, max; and the same where nothing happened for
# as long. What begins after the command has ended is not the transfer's: a disk that hangs for 100 ms,
# which any append may meet, is so counted as seldom as it can be. Exits 1 if a transfer took 100 ms.
# Programs from $ESTREAT_BIN, else build/release/bin.
set -euo pipefail
rounds=${1:-50}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ESTREAT_BIN=${ESTREAT_BIN:-$root/build/release/bin}
PATH=$ESTREAT_BIN:$PATH
tools=$ESTREAT_BIN/../tests
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-transfer.XXXXXX")
recorder=
cluster() { "$root/deploy/cluster.sh" "$@" --dir "$work/cluster"; }
trap 'kill -9 $recorder 2>/dev/null || true; cluster stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

eval "$(cluster start -n 3 | grep '^export')"
"$tools/estreat-record-history" --out "$work/history" --writers 1 --readers 0 --pause-ms 1 \
    --timeout-ms 20000 >"$work/counts" &
recorder=$!
sleep 2
for _ in $(seq "$rounds"); do
    python3 -c 'import time; now = time.monotonic_ns(); print("quiet", now, now + 50_000_000)' >>"$work/moments"
    sleep 1
    python3 -c 'import subprocess, time
begin = time.monotonic_ns()
subprocess.run(["estreat", "transfer"], check=True, stdout=subprocess.DEVNULL)
print("transfer", begin, time.monotonic_ns())' >>"$work/moments"
    sleep 1
done
kill -TERM "$recorder"
wait "$recorder"
recorder=
"$tools/estreat-check-history" "$work/history"

python3 - "$work/history" "$work/moments" <<'EOT'
import bisect, json, sys
with open(sys.argv[1], encoding="utf-8") as lines:
    entries = [json.loads(line) for line in lines]
ends = sorted(e["return_ns"] for e in entries if e["op"] == "append" and e["result"] == "ok")
stands = {"quiet": [], "transfer": []}
with open(sys.argv[2], encoding="utf-8") as lines:
    for line in lines:
        what, begin, end = line.split()
        first = max(1, bisect.bisect(ends, int(begin)))
        last = bisect.bisect(ends, int(end))
        if last >= len(ends):
            sys.exit("nothing was acknowledged after a transfer")
        stands[what].append(max(ends[i] - ends[i - 1] for i in range(first, last + 1)) / 1e6)
for what, took in stands.items():
    took.sort()
    rank = lambda part: took[max(0, -(-len(took) * part // 100) - 1)]
    print(f"{what}: {len(took)} times, p50 {rank(50):.1f} ms, p99 {rank(99):.1f} ms, max {took[-1]:.1f} ms")
sys.exit(stands["transfer"][-1] >= 100)
EOT
