#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each verb against a cluster of three: results, JSON and exit codes.
source "$(dirname "$0")/lib.sh"
start_cluster 3

# append: positions, versions and conditions
first=$(estreat -o json append account-7 opened --type note --severity warn)
equal "$(json 'sorted(v)' <<<"$first")" '["position", "size", "time", "version"]'
equal "$(json 'v["version"]' <<<"$first")" 0
position=$(json 'v["position"]' <<<"$first")
printf 'paid\0 by card' | estreat -o json append account-7 - >/dev/null
expect 1 estreat append account-7 x --expect none
expect 1 estreat append account-7 x --expect 7
expect 0 estreat append account-7 closed --expect 1
expect 1 estreat append other x --expect 0
expect 0 estreat append other x --expect none

# get, history and time travel
equal "$(estreat -o raw get account-7)" closed
equal "$(estreat -o raw get account-7 --as-of "$position")" opened
time=$(estreat -o json get account-7 --as-of "$position" | json 'v["time"]')
equal "$(estreat -o raw get account-7 --as-of "@$time")" opened
event=$(estreat -o json get account-7 --as-of "$position")
equal "$(json 'v["key"]+v["type"]+v["severity"].lower()+v["payload"]' <<<"$event")" account-7notewarnopened
equal "$(estreat -o json history account-7 | lines_json '[e["version"] for e in v]')" '[0, 1, 2]'
expect 1 estreat get nobody
expect 0 estreat append account-7 "" --kind delete
expect 1 estreat get account-7
equal "$(estreat -o json history account-7 | lines_json 'v[-1]["kind"].lower()')" delete
expect 0 estreat append account-7 again --expect none
equal "$(estreat -o json get account-7 | json 'v["version"]')" 4

# binary payloads and keys come back as they were
equal "$(estreat -o raw get account-7 --as-of $((position + 1)) | od -An -c | tr -d ' \n')" 'paid\0bycard\n'

# ingest: every line, whatever is in it
printf 'plain\r\n\n\000nul\000\nlast without newline' >"$work/odd"
estreat -o json ingest "$work/odd" >"$work/out"
equal "$(json 'v["events"]' <"$work/out")" 4
{ cat "$work/odd"; echo; } | cmp - <(estreat -o raw history odd) || fail "ingest changed the lines"
seq 1 5000 | estreat -o json ingest --key numbers - >"$work/out"
equal "$(json 'v["events"]' <"$work/out")" 5000
from=$(json 'v["first"]' <"$work/out")
seq 1 5000 | cmp - <(estreat -o raw history numbers) || fail "ingest from stdin"
# files of one key stand one after another, like rotated logs; a failed one holds the next up
for i in 1 2 3 4 5 6; do seq -f "$i-%.0f" 1 9000 >"$work/rotated.$i"; done
estreat ingest --key rotated "$work"/rotated.* >/dev/null
cat "$work"/rotated.* | cmp - <(estreat -o raw history rotated) || fail "files of one key are mixed"

# read, count, tail
equal "$(estreat -o raw read --from "$from" --to $((from + 3)) | paste -sd,)" 1,2,3
equal "$(estreat -o raw read --from "$from" --limit 2 | paste -sd,)" 1,2
equal "$(estreat -o json read --prefix account | lines_json 'len(v)')" 5
equal "$(estreat -o json read --severity warn | lines_json 'len(v)')" 1
start=$(estreat -o json read --from "$from" --limit 1 | json 'v["time"]')
equal "$(estreat -o raw read --from "@$start" --limit 1)" 1
end=$(estreat -o json read --from $((from + 3)) --limit 1 | json 'v["time"]')
equal "$(estreat -o raw read --from "@$start" --to "@$end" | paste -sd,)" 1,2,3
equal "$(estreat -o raw read --from "@$((start + 1))" --to "@$((end + 1))" | paste -sd,)" 2,3,4
equal "$(estreat -o raw read --from "@$start" --to $((from + 2)) | paste -sd,)" 1,2
equal "$(estreat -o json count --from "@$start" --to "@$end" | json 'v["count"]')" 3
equal "$(estreat -o json count --from "@$end" --to "@$start" | json 'v["count"]')" 0
equal "$(estreat -o raw read --from "@$end" --to "@$start")" ""
equal "$(estreat -o json count --from 2500-01-01T00:00:00Z | json 'v["count"]')" 0
equal "$(estreat -o json count --to 1970-01-01T00:00:00Z | json 'v["count"]')" 0
expect 64 estreat read --to 2026-13-01T00:00:00Z
expect 64 estreat read --to 9999-01-01T00:00:00Z
expect 64 estreat count --from @18446744073709551616
total=$(estreat -o json count | json 'v["count"]')
equal "$total" "$(estreat -o json head | json 'v["size"]')"
equal "$(estreat -o json count --prefix numbers | json 'v["count"]')" 5000
timeout 20 estreat -o raw tail -f --from "$total" >"$work/followed" &
tail_pid=$!
started+=("$tail_pid")
sleep 0.5
estreat append live one >/dev/null
estreat append live two >/dev/null
wait_until 10 grep -q two "$work/followed"
equal "$(paste -sd, "$work/followed")" one,two
kill "$tail_pid"

# proofs
estreat -o json head >"$work/head"
size=$(json 'v["size"]' <"$work/head")
estreat prove "$position" --out "$work/proof"
equal "$(estreat -o json verify "$work/proof" | json 'v["position"]')" "$position"
python3 "$root/deploy/check_proof.py" "$work/proof" "$ESTREAT_TRUST" >/dev/null
estreat append more x >/dev/null
estreat prove 5 "$size" --out "$work/consistency"
expect 0 estreat verify "$work/consistency"
sed 's/^index .*/index 1/' "$work/proof" >"$work/forged"
expect 1 estreat verify "$work/forged"
expect 64 estreat verify "$work/nothing"
(unset ESTREAT_TRUST && expect 2 estreat verify "$work/proof") || exit 1
expect 1 estreat prove 99999999

# audit and status
equal "$(estreat -o json audit | json 'v["verdict"]')" CONSISTENT
equal "$(estreat -o json audit --deep | json '[n["verdict"] for n in v["nodes"]]')" '["CONSISTENT", "CONSISTENT", "CONSISTENT"]'
status=$(estreat -o json status)
equal "$(json 'len(v["nodes"])' <<<"$status")" 3
equal "$(json 'sorted(v)' <<<"$status")" '["cluster", "fdatasync_p50_ms", "leader", "nodes", "size", "term"]'
equal "$(json 'sorted(v["nodes"][0])' <<<"$status")" '["applied", "commit", "endpoint", "id", "lag", "lag_bytes", "lag_entries", "lag_s", "role", "state", "term"]'

# a node that does not answer is never reported as consistent
victim=$(grep -v "^# node $(leader_of) " "$work/environment" | sed -n 's/^# node \([^ ]*\) .*/\1/p' | head -n 1)
cluster kill "$victim" --dir "$work/cluster"
expect 2 estreat --timeout 3 -o json audit >"$work/audit"
equal "$(json 'v["verdict"]' <"$work/audit")" INCONCLUSIVE
cluster start-node "$victim" --dir "$work/cluster"
wait_until 20 estreat --timeout 3 audit
cluster stop --dir "$work/cluster"
