#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full disk: appends get RESOURCE_EXHAUSTED, reads go on, nothing acknowledged is lost, and all
# resumes when there is room.
source "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || { echo "skipped: mounting a small file system needs root"; exit 77; }
mkdir "$work/small"
mount -t tmpfs -o size=96m tmpfs "$work/small" 2>/dev/null || { echo "skipped: cannot mount a tmpfs"; exit 77; }
at_end_too() { umount "$work/small"; }

cluster start -n 1 --dir "$work/small/cluster" -- --set storage.reserve_mib=8 --set storage.segment_mib=8 \
    --set storage.memtable_mib=8 --set storage.retain_mib=16 >"$work/environment"
at_end_too() { cluster stop --dir "$work/small/cluster"; umount "$work/small"; }
eval "$(grep '^export' "$work/environment")"

estreat append before x >/dev/null
# Incompressible lines until it is full; the ballast makes that soon.
head -c 60000000 /dev/zero >"$work/small/ballast" || true
head -c 40000000 /dev/urandom | base64 -w 300 >"$work/lines"
code=0
estreat --timeout 5 -o json ingest "$work/lines" >"$work/out" 2>"$work/stderr" || code=$?
ended_by_full_disk "$code" "$work/stderr"
expect 1 estreat --timeout 2 append after x
grep -q RESOURCE_EXHAUSTED "$work/stderr" || fail "append: not RESOURCE_EXHAUSTED"

# Reads go on; what was acknowledged is a prefix of the file, in order, once.
equal "$(estreat -o raw get before)" x
estreat -o raw history lines >"$work/back"
n=$(wc -l <"$work/back")
[ "$n" -gt 0 ] || fail "nothing was taken before the disk was full"
head -n "$n" "$work/lines" | cmp - "$work/back" || fail "what is there is not a prefix of the file"

# Room again: appends go on by themselves, without a restart.
rm "$work/small/ballast"
wait_until 20 estreat --timeout 2 append after x
equal "$(estreat -o raw get after)" x
cluster kill n1 --dir "$work/small/cluster"
# From here on its log is elsewhere: on a full disk its last lines would be lost.
mv "$work/small/cluster/n1/log" "$work/n1.log"
ln -s "$work/n1.log" "$work/small/cluster/n1/log"
cluster start --dir "$work/small/cluster" -- --set storage.reserve_mib=8 --set storage.segment_mib=8 \
    --set storage.memtable_mib=8 --set storage.retain_mib=16 >/dev/null
estreat -o raw history lines | head -n "$n" | cmp - "$work/back" || fail "lost after a restart"
equal "$(estreat -o raw get after)" x

# A stop does not wait for room: neither for the last flush, nor for a deep audit's.
seq -f "%.0f $(printf '%0300d' 0)" 1 5000 | estreat ingest --key more - >/dev/null
# Several times, since what a flush under way lets go of makes room again.
for _ in 1 2 3 4; do
    head -c 90000000 /dev/zero >>"$work/small/ballast" 2>/dev/null || true
    sleep 0.3
done
estreat --timeout 60 audit --deep >"$work/audit" 2>&1 &
audit=$!
sleep 1
begin=$SECONDS
cluster stop-node n1 --dir "$work/small/cluster"
[ $((SECONDS - begin)) -lt 15 ] || fail "stopping with a full disk took $((SECONDS - begin)) s"
tail -n 1 "$work/small/cluster/n1/log" | grep -q '"stopped"' || fail "n1 did not stop cleanly"
code=0
wait "$audit" || code=$?
[ "$code" -eq 2 ] || { cat "$work/audit" >&2; fail "an audit of what could not be flushed exits $code"; }
rm "$work/small/ballast"
cluster start --dir "$work/small/cluster" -- --set storage.reserve_mib=8 --set storage.segment_mib=8 \
    --set storage.memtable_mib=8 --set storage.retain_mib=16 >/dev/null
equal "$(estreat -o raw history more | wc -l)" 5000
