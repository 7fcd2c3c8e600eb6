#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job from end to end, on a real log file: see --help.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: deploy/demo.sh [--keep] [--no-install] [FILE...]

Builds Estreat, starts three nodes on loopback and shows, each command before it runs:
ingest and read back; get, history and time travel; a proof that is checked without the
cluster; an audit; the loss of the leader under load; a tampered disk that is found.
Exits 0 only if all of it was so.

FILE...       what to ingest (default: /var/log/dpkg.log, else a log made here)
--keep        leaves the cluster running, and says how to use and end it
--no-install  does not install Debian packages
EOF
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
keep=false
install=()
files=()
while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=true ;;
    --no-install) install=(--no-install) ;;
    -h | --help) usage; exit 0 ;;
    -*) printf 'demo.sh: unknown option %s\n' "$1" >&2; exit 64 ;;
    *) [ -r "$1" ] || { printf 'demo.sh: cannot read %s\n' "$1" >&2; exit 64; }
       files+=("$(realpath "$1")") ;;
    esac
    shift
done

"$root/deploy/build.sh" "${install[@]}" release
bin=$root/build/release/bin
PATH=$bin:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-demo.XXXXXX")
cluster() { "$root/deploy/cluster.sh" "$@" --dir "$work/cluster"; }

finish() {
    local code=$?
    trap - EXIT
    if $keep && [ "$code" -eq 0 ]; then
        printf '\nThe cluster goes on. To use it:\n  export PATH=%s:$PATH\n  eval "$(%s start --dir %s)"\nTo end it:\n  %s stop --dir %s && rm -r %s\n' \
            "$bin" "$root/deploy/cluster.sh" "$work/cluster" "$root/deploy/cluster.sh" "$work/cluster" "$work"
    else
        [ "$code" -eq 0 ] || tail -n 5 "$work"/cluster/*/log >&2 2>/dev/null || true
        cluster stop >/dev/null 2>&1 || true
        rm -rf "$work"
        [ "$code" -eq 0 ] || printf '\nThe demonstration FAILED.\n' >&2
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*" >&2; "$@"; }
good() { printf '  => %s\n' "$*"; }
fail() { printf '  => NOT SO: %s\n' "$*" >&2; exit 1; }
field() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v=v[int(k)] if isinstance(v,list) else v[k]
print(v)' "$1"; }
now_ms() { date +%s%3N; }

if [ ${#files[@]} -eq 0 ]; then
    if [ -s /var/log/dpkg.log ] && [ -r /var/log/dpkg.log ]; then
        files=(/var/log/dpkg.log)
    else
        # What this machine can tell of itself: its packages and its processes' limits.
        mkdir -p "$work/input"
        { dpkg-query -W -f '${Package} ${Version} ${Status}\n'; find / -xdev -maxdepth 4 -printf '%TFT%TT %s %p\n' 2>/dev/null | head -n 5000; } >"$work/input/machine.log"
        files=("$work/input/machine.log")
    fi
fi
# Log files grow; the copy is what is compared with.
inputs=()
mkdir -p "$work/files"
for file in "${files[@]}"; do
    copy=$work/files/$(basename "$file")
    [ ! -e "$copy" ] || { printf 'demo.sh: two files are named %s\n' "$(basename "$file")" >&2; exit 64; }
    cp "$file" "$copy"
    [ -s "$copy" ] || { printf 'demo.sh: %s is empty\n' "$file" >&2; exit 64; }
    inputs+=("$copy")
done

step 'Three nodes'
printf '$ deploy/cluster.sh start\n'
environment=$(cluster start)
printf '%s\n' "$environment"
eval "$environment"

step '1. Ingest, and read back'
ingested=$(show estreat -o json ingest "${inputs[@]}")
events=$(field events <<<"$ingested")
rate=$(field events_per_s <<<"$ingested")
good "$events events at ${rate%.*} events/s"
for copy in "${inputs[@]}"; do
    name=$(basename "$copy")
    show estreat -o raw history "$name" >"$work/back"
    # Every line comes back with its newline, also a last one that had none.
    { cat "$copy"; [ -z "$(tail -c 1 "$copy")" ] || echo; } | cmp - "$work/back" || fail "$name was not read back as it was"
    good "$name: $(wc -l <"$work/back") lines, equal to the file"
done

step '2. Get, history, a time range, and time travel'
key=$(basename "${inputs[0]}")
show estreat get "$key"
show estreat -o json history "$key" | tail -n 1
# A range of time: from the 3rd event of the file to before the 6th.
estreat -o json history "$key" >"$work/history"
first_time=$(sed -n 3p "$work/history" | field time)
past_time=$(sed -n 6p "$work/history" | field time)
middle=$(sed -n 2p "$work/history" | field position)
in_range=$(show estreat -o raw read --from "@$first_time" --to "@$past_time" | wc -l)
[ "$in_range" -ge 1 ] || fail "no events in the range of time"
good "$in_range events in that range of time"
show estreat -o raw get "$key" --as-of "$middle" >"$work/as-of"
sed -n 2p "${inputs[0]}" | cmp - "$work/as-of" || fail "get --as-of does not give what was newest then"
good "at position $middle the newest event of $key was the file's line 2"

step '3. A proof, checked without the cluster'
show estreat prove "$middle" --out "$work/proof"
(unset ESTREAT_ENDPOINTS && show estreat --trust "$ESTREAT_TRUST" verify "$work/proof") || fail "the proof was refused"
show python3 "$root/deploy/check_proof.py" "$work/proof" "$ESTREAT_TRUST" || fail "Python refused the proof"
sed 's/^index .*/index 999999999/' "$work/proof" >"$work/forged"
if estreat verify "$work/forged" >/dev/null 2>&1; then fail "a forged proof was accepted"; fi
good "proved twice, by programs that share no code; a forged copy is refused"

step '4. Audit'
verdict=$(show estreat -o json audit) || fail "the audit did not exit 0"
[ "$(field verdict <<<"$verdict")" = CONSISTENT ] || fail "the audit says $verdict"
good "CONSISTENT at size $(field size <<<"$verdict")"

step '5. The leader is killed during an ingest'
lines=$(wc -l <"${inputs[0]}")
[ "$lines" -gt 0 ] || lines=1
# Small batches one after another have a steady pace. Measure it, and take enough for 12 s of it:
# the kill comes after 2 s, and 5 s more are to follow even if this machine gets faster.
head -n 2000 "${inputs[0]}" >"$work/some"
pace=$(estreat -o json ingest --key pace --batch 32 --repeat $((10000 / $(wc -l <"$work/some" | sed 's/^0$/1/') + 1)) "$work/some" | field events_per_s)
repeat=$(( (${pace%.*} * 12) / lines + 1 ))
printf '$ estreat -o json ingest --key failover --batch 32 --repeat %s %s &\n' "$repeat" "${inputs[0]}"
estreat -o json ingest --key failover --batch 32 --repeat "$repeat" "${inputs[0]}" >"$work/ingested" 2>"$work/ingest.err" &
ingest=$!
sleep 2
leader=$(estreat -o json status | field leader)
pid=$(cat "$work/cluster/$leader/pid")
survivors=$(grep -v "^# node $leader " <<<"$environment" | sed -n 's/^# node .* client \([^ ]*\) .*/\1/p' | paste -sd,)
killed_ms=$(now_ms)
show kill -9 "$pid"
leader_ms=
while [ -z "$leader_ms" ] && [ $(($(now_ms) - killed_ms)) -lt 10000 ]; do
    new=$(estreat --endpoints "$survivors" --timeout 1 -o json status 2>/dev/null | field leader 2>/dev/null || true)
    if [ -n "$new" ] && [ "$new" != "$leader" ] && [ "$new" != None ]; then leader_ms=$(now_ms); else sleep 0.02; fi
done
[ -n "$leader_ms" ] || fail "nobody took over"
good "$new leads $((leader_ms - killed_ms)) ms after the kill of $leader"
[ $((leader_ms - killed_ms)) -le 2000 ] || fail "that is more than 2 s"
wait "$ingest" || { cat "$work/ingest.err" >&2; fail "the ingest failed"; }
ended_ms=$(now_ms)
[ $((ended_ms - killed_ms)) -ge 5000 ] || fail "the ingest ended $((ended_ms - killed_ms)) ms after the kill; it should go on for 5 s (give a larger file)"
acknowledged=$(field events <"$work/ingested")
good "the ingest ended by itself $(( (ended_ms - killed_ms) / 1000 )) s after the kill: $acknowledged events acknowledged"
estreat -o raw history failover >"$work/back"
for ((i = 0; i < repeat; i++)); do cat "${inputs[0]}"; [ -z "$(tail -c 1 "${inputs[0]}")" ] || echo; done | cmp - "$work/back" || fail "what was acknowledged is not there exactly once and in order"
[ "$(wc -l <"$work/back")" = "$acknowledged" ] || fail "not as many events as were acknowledged"
good "each of them is there exactly once, in order"
printf '$ deploy/cluster.sh start-node %s\n' "$leader"
cluster start-node "$leader"
caught_up=false
for _ in $(seq 150); do
    if estreat --timeout 2 -o json audit >"$work/audit" 2>/dev/null && [ "$(field verdict <"$work/audit")" = CONSISTENT ] &&
        estreat --timeout 2 -o json status | python3 -c 'import json,sys; s=json.load(sys.stdin); sys.exit(any(n["lag"] for n in s["nodes"]))'; then
        caught_up=true
        break
    fi
    sleep 0.2
done
$caught_up || fail "$leader did not catch up within 30 s"
good "$leader came back and caught up; the audit says CONSISTENT"

step '6. A follower whose disk was tampered with'
leader=$(estreat -o json status | field leader)
victim=$(sed -n 's/^# node \([^ ]*\) .*/\1/p' <<<"$environment" | grep -vx "$leader" | head -n 1)
printf '$ deploy/cluster.sh stop-node %s\n' "$victim"
cluster stop-node "$victim" # it flushes
# The largest table whose keys are positions (8 bytes) holds events.
table=
while read -r _ file; do
    if "$bin/estreat-tamper" "$file" --info | grep -Eq '^smallest [0-9a-f]{16}$'; then table=$file; break; fi
done < <(find "$work/cluster/$victim/data/tables" -name '*.sst' -printf '%s %p\n' | sort -rn)
[ -n "$table" ] || fail "$victim has no table of events"
position=$(show "$bin/estreat-tamper" "$table" --byte -3) # near its value's end: in the payload
position=$((16#$position))
good "one payload byte of the event at position $position was changed, and the checksums made to fit"
printf '$ deploy/cluster.sh start-node %s\n' "$victim"
cluster start-node "$victim"
for _ in $(seq 100); do
    estreat --timeout 2 audit >/dev/null 2>&1 && break
    sleep 0.1
done
code=0
show estreat audit --deep || code=$?
[ "$code" -eq 1 ] || fail "audit --deep exits $code"
estreat -o json audit --deep >"$work/audit" || true
python3 - "$work/audit" "$victim" "$position" <<'EOF' || fail "the audit does not name $victim and position $position"
import json, sys
audit = json.load(open(sys.argv[1]))
victim = [node for node in audit["nodes"] if node["id"] == sys.argv[2]][0]
others = [node for node in audit["nodes"] if node["id"] != sys.argv[2]]
position = int(sys.argv[3])
ok = audit["verdict"] == victim["verdict"] == "DIVERGENT"
ok = ok and victim["ranges"] == [{"begin": position, "end": position + 1}]
ok = ok and all(node["verdict"] == "CONSISTENT" for node in others)
sys.exit(not ok)
EOF
good "DIVERGENT, exit 1: $victim at position $position"

step 'All of it was so.'
