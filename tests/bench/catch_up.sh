#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# catch_up.sh [MIB]: how fast a follower that was away gets the log from the leader's disk. One of
# three is killed, MIB (1024) of events of 4 KiB are appended, it comes back. Prints MB/s until all is
# durable in its log, and until all is applied, both from the moment at which its process is started: its
# recovery and the leader's noticing it are included, also how long until it serves; and what the disk
# takes in one stream of 4 MiB writes, each synced, right before. Exits 1 below 200 MB/s of the former.
# Programs from $ESTREAT_BIN, else build/release/bin.
set -euo pipefail
mib=${1:-1024}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export ESTREAT_BIN=${ESTREAT_BIN:-$root/build/release/bin}
PATH=$ESTREAT_BIN:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-catch-up.XXXXXX")
cluster() { "$root/deploy/cluster.sh" "$@" --dir "$work/cluster"; }
trap 'cluster stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

eval "$(cluster start -n 3 | grep '^export')"
node=$(estreat -o json status | python3 -c 'import json, sys
print(next(n["id"] for n in json.load(sys.stdin)["nodes"] if n["role"] == "follower"))')
cluster kill "$node"
estreat bench --workload batch --connections 2 --payload 4096 --events $((mib * 256)) >/dev/null
dd if=/dev/zero of="$work/stream" bs=4M count=128 oflag=dsync 2>&1 | sed -n 's/.*, /disk alone, one stream: /p'
rm "$work/stream"
sleep 5 # flushes and merges end

python3 - "$node" "$mib" "$root/deploy/cluster.sh" "$work/cluster" <<'EOT'
import json, subprocess, sys, time
node, mib, cluster, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

def ask(*words):
    out = subprocess.run(["estreat", "--timeout", "5", "-o", "json", *words], capture_output=True)
    return json.loads(out.stdout) if out.returncode == 0 else None

def match():
    said = ask("member", "list")
    return {m["id"]: m["match"] for m in said["members"]} if said else {}

goal = max(match().values())
# Its own status says how far it is before it hears of anybody.
begin = time.monotonic()
subprocess.run([cluster, "start-node", node, "--dir", directory], check=True)
serves = time.monotonic() - begin
durable = None
while True:
    if durable is None and match().get(node, 0) >= goal:
        durable = time.monotonic() - begin
    status = ask("status") if durable is not None else None
    mine = next((n for n in status["nodes"] if n["id"] == node), None) if status else None
    if mine and mine["applied"] is not None and mine["applied"] >= goal:
        break
    if time.monotonic() - begin > 300:
        sys.exit("it did not catch up within 300 s")
    time.sleep(0.1)  # each question is a process, on the processors that are measured
applied = time.monotonic() - begin
bytes = mib * 2**20
print(f"{mib} MiB: it serves after {serves:.2f} s; durable after {durable:.2f} s, "
      f"{bytes / durable / 1e6:.0f} MB/s (goal: 200); applied after {applied:.2f} s, {bytes / applied / 1e6:.0f} MB/s")
sys.exit(bytes / durable < 200e6)
EOT
