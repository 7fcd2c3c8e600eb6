#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damage on one node's disk: a table that is rotten or gone is found, said, kept in mind, does not
# serve and does not lead; what is lost (log, its end, key) is not taken for new.
source "$(dirname "$0")/lib.sh"
start_cluster 3
node_line() { sed -n "s/^# node $1 .* $2 \([^ ]*\).*/\1/p" "$work/environment"; }
state_of() { estreat -o json status | json "[n['state'] for n in v['nodes'] if n['id'] == '$1'][0]"; }
flip() { # file, offset
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\$(printf %o $((byte ^ 255)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
largest_table() { find "$work/cluster/$1/data/tables" -name '*.sst' -printf '%s %p\n' | sort -rn | head -n 1 | cut -d' ' -f2-; }
audit_is() { estreat --timeout 3 audit >/dev/null 2>&1; }
seq 1 20000 | estreat -o json ingest --key numbers - >/dev/null

# A leader is stopped (it flushes), one byte of its largest table rots, and it comes back.
victim=$(leader_of)
client=$(node_line "$victim" client)
cluster stop-node "$victim" --dir "$work/cluster"
table=$(largest_table "$victim")
cp "$table" "$work/whole.sst"
flip "$table" $(($(stat -c %s "$table") / 2))
cluster start-node "$victim" --dir "$work/cluster"
wait_until 20 audit_is
expect 1 estreat -o json audit --deep >"$work/audit"
equal "$(json '[n["id"] for n in v["nodes"] if n["verdict"] != "CONSISTENT"]' <"$work/audit")" "[\"$victim\"]"
grep -q "$(basename "$table")" "$work/audit" || fail "the audit does not name the file"

# It says so, to audits that read nothing, too; serves no reads; and lets another lead.
case $(state_of "$victim") in fault:*) ;; *) fail "the status of $victim is \"$(state_of "$victim")\"" ;; esac
expect 1 estreat audit >"$work/audit"
grep -q "$victim.*DIVERGENT" "$work/audit" || fail "an audit passes over a node that knows of damage"
not_victim() { [ "$(leader_of)" != "$victim" ]; }
wait_until 10 not_victim
expect 1 estreat --endpoints "$client" --timeout 3 get numbers --consistency local
grep -q damaged "$work/stderr" || fail "it does not say why it serves nothing"
equal "$(ESTREAT_ENDPOINTS=$client,$ESTREAT_ENDPOINTS estreat -o raw get numbers)" 20000

# It goes on storing: appends need it when another is away.
other=$(sed -n 's/^# node \([^ ]*\) .*/\1/p' "$work/environment" | grep -vx "$victim" | grep -vx "$(leader_of)")
cluster kill "$other" --dir "$work/cluster"
expect 0 estreat --timeout 10 append k v
cluster start-node "$other" --dir "$work/cluster"

# A restart makes nothing whole; the operator does, and says so.
cluster stop-node "$victim" --dir "$work/cluster"
cluster start-node "$victim" --dir "$work/cluster"
wait_until 20 state_of "$victim"
case $(state_of "$victim") in fault:*) ;; *) fail "after a restart the status of $victim is \"$(state_of "$victim")\"" ;; esac
cluster stop-node "$victim" --dir "$work/cluster"
[ ! -e "$table" ] || cp "$work/whole.sst" "$table"
rm "$work/cluster/$victim/data/fault"
cluster start-node "$victim" --dir "$work/cluster"
wait_until 20 audit_is

# Damage that applying meets: the newest row of a key, or the sessions, cannot be read. The node
# starts, stores and votes all the same, and is mended as it is of any other damage.
mkdir "$work/keys"
for key in $(seq 100 400); do echo "$key" >"$work/keys/$key"; done
estreat ingest "$work"/keys/* >/dev/null
cluster stop-node "$other" --dir "$work/cluster"
cp -r "$work/cluster/$other/data/tables" "$work/whole"
hit=
for table in "$work/cluster/$other/data/tables/"*.sst; do
    ! "$ESTREAT_BIN/estreat-tamper" "$table" --info | grep -Eq '^smallest [0-9a-f]{16}([0-9a-f]{2})?$' || continue
    flip "$table" 10
    hit=$((hit + 1))
done
[ -n "$hit" ] || fail "there is no table but of events"
cluster start-node "$other" --dir "$work/cluster"
third=$(sed -n 's/^# node \([^ ]*\) .*/\1/p' "$work/environment" | grep -vx "$other" | grep -vx "$(leader_of)")
cluster kill "$third" --dir "$work/cluster"
estreat --timeout 10 ingest "$work"/keys/* >/dev/null # a quorum needs it
seq 1 20000 | estreat --timeout 20 ingest --key more - >/dev/null
is_faulty() { case $(state_of "$other") in fault:*) ;; *) return 1 ;; esac; }
wait_until 20 is_faulty
grep -q 'nothing more is applied until the damage is mended' "$work/cluster/$other/log" ||
    fail "applying did not meet the damage"
cluster start-node "$third" --dir "$work/cluster"
cluster stop-node "$other" --dir "$work/cluster"
rm -r "$work/cluster/$other/data/tables" "$work/cluster/$other/data/fault"
mv "$work/whole" "$work/cluster/$other/data/tables"
cluster start-node "$other" --dir "$work/cluster"
wait_until 20 audit_is

# A table that holds no events is read by a deep audit, too.
cluster stop-node "$other" --dir "$work/cluster"
for table in "$work/cluster/$other/data/tables/"*.sst; do
    "$ESTREAT_BIN/estreat-tamper" "$table" --info | grep -Eq '^smallest [0-9a-f]{16}([0-9a-f]{2})?$' || break
done
cp "$table" "$work/whole.sst"
flip "$table" $(($(stat -c %s "$table") / 3))
cluster start-node "$other" --dir "$work/cluster"
wait_until 20 audit_is
expect 1 estreat audit --deep >"$work/audit"
grep -q "$other.*DIVERGENT" "$work/audit" || fail "a deep audit passes over $table"
cluster stop-node "$other" --dir "$work/cluster"
[ ! -e "$table" ] || cp "$work/whole.sst" "$table"
rm "$work/cluster/$other/data/fault"

# So is one that is gone: its node starts all the same, to store and to vote.
table=$(largest_table "$other")
mv "$table" "$work/whole.sst"
cluster start-node "$other" --dir "$work/cluster"
is_missing() { case $(state_of "$other") in fault:*missing*) ;; *) return 1 ;; esac; }
wait_until 20 is_missing
cluster stop-node "$other" --dir "$work/cluster"
mv "$work/whole.sst" "$table"
rm "$work/cluster/$other/data/fault"

# refuses WHAT-IT-SAYS...: the node does not start, each time it is tried.
refuses() {
    local _
    for _ in 1 2; do
        expect 1 estreatd --config "$work/cluster/$other/estreat.conf"
        said "$@"
    done
}
# A log that is gone is lost: its node may have voted. A key that is gone is not replaced.
for lost in wal signing-key; do
    mv "$work/cluster/$other/data/$lost" "$work/$lost"
    refuses "$work/cluster/$other/data/$lost"
    [ ! -e "$work/cluster/$other/data/$lost" ] || [ -z "$(ls -A "$work/cluster/$other/data/$lost")" ] ||
        fail "a refused start left a new $lost"
    rm -rf "${work:?}/cluster/$other/data/$lost"
    mv "$work/$lost" "$work/cluster/$other/data/$lost"
done
# A member that the cluster does not have would not be counted, whatever the file says.
{
    cat "$work/cluster/$other/estreat.conf"
    printf '[member.n9]\nclient = 127.0.0.1:1\npeer = 127.0.0.1:2\n'
} >"$work/more.conf"
expect 1 estreatd --config "$work/more.conf"
said "the configuration names n9, which is no member of the cluster"
cluster start-node "$other" --dir "$work/cluster"
wait_until 20 audit_is
cluster stop --dir "$work/cluster"

# One node signs a head, is killed, and its log loses its end: it knows, and does not go on.
cluster start -n 1 --dir "$work/alone" >"$work/environment"
eval "$(grep '^export' "$work/environment")"
seq 1 5000 | estreat ingest --key numbers - >/dev/null
estreat head >/dev/null
cluster kill n1 --dir "$work/alone"
log=$(find "$work/alone/n1/data/wal" -name '*.wal' | sort | head -n 1)
truncate -s $(($(grep -abo 'numbers' "$log" | tail -n 1 | cut -d: -f1) / 2 / 512 * 512)) "$log"
expect 1 estreatd --config "$work/alone/n1/estreat.conf"
grep -Eq 'lost its end|wal' "$work/stderr" || { cat "$work/stderr" >&2; fail "the log's lost end is not said"; }
expect 1 cluster start-node n1 --dir "$work/alone"
