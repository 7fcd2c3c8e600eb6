#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job from end to end, on a real log file: see --help.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: deploy/demo.sh [--keep] [--no-install] [--] [FILE...]

Builds Estreat, starts three nodes on loopback and shows, each command before it runs:
ingest and read back; get, history and time travel; a proof that is checked without the
cluster; an audit; the loss of the leader under load; a tampered disk that is found.
Exits 0 only if all of it was so, 64 on wrong usage, else 1.

FILE...       what to ingest, by line (default: /var/log/dpkg.log, else a list of this
              machine's packages and files)
--keep        leaves the cluster running, and says how to use and end it
--no-install  does not install Debian packages
EOF
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
keep=false
install=()
files=()
usage_error() {
    printf 'demo.sh: %s\n' "$*" >&2
    exit 64
}

add_file() {
    local other
    [ -e "$1" ] || usage_error "there is no file $1"
    [ -f "$1" ] || usage_error "$1 is not a file"
    [ -r "$1" ] || usage_error "cannot read $1"
    [ -s "$1" ] || usage_error "$1 is empty"
    for other in "${files[@]}"; do
        [ "${other##*/}" != "$(basename -- "$1")" ] || usage_error "two files are named ${other##*/}"
    done
    files+=("$(realpath -s -- "$1")")
}

while [ $# -gt 0 ]; do
    case $1 in
    --keep) keep=true ;;
    --no-install) install=(--no-install) ;;
    -h | --help) usage; exit 0 ;;
    --)
        shift
        for file in "$@"; do add_file "$file"; done
        break
        ;;
    -*) usage_error "unknown option $1" ;;
    *) add_file "$1" ;;
    esac
    shift
done

"$root/deploy/build.sh" "${install[@]}" release
bin=$root/build/release/bin
PATH=$bin:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-demo.XXXXXX")
ingest= # its process, while it runs in the background
cluster() { "$root/deploy/cluster.sh" "$@" --dir "$work/cluster"; }

finish() {
    local code=$?
    trap - EXIT
    trap '' INT TERM
    if $keep && [ "$code" -eq 0 ]; then
        # shellcheck disable=SC2016
        printf '\nThe cluster goes on. To use it:\n  export PATH=%q:$PATH\n  eval "$(%q start --dir %q)"\nTo end it:\n  %q stop --dir %q && rm -r %q\n' \
            "$bin" "$root/deploy/cluster.sh" "$work/cluster" "$root/deploy/cluster.sh" "$work/cluster" "$work"
    else
        [ -z "$ingest" ] || kill "$ingest" 2>/dev/null || true
        [ "$code" -eq 0 ] || [ "$code" -eq 130 ] || tail -n 5 "$work"/cluster/*/log >&2 2>/dev/null || true
        cluster stop >/dev/null 2>&1 || true
        rm -rf "$work"
        case $code in
        0) ;;
        130) printf '\nInterrupted; nothing is left running.\n' >&2 ;;
        *) printf '\nThe demonstration FAILED.\n' >&2 ;;
        esac
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

bold=
plain=
if [ -t 1 ]; then
    bold=$'\033[1m'
    plain=$'\033[0m'
fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() {
    printf '$%s\n' "$(printf ' %q' "$@")" >&2
    "$@"
}
good() { printf '  => %s\n' "$*"; }
fail() { printf '  => NOT SO: %s\n' "$*" >&2; exit 1; }
field() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v=v[int(k)] if isinstance(v,list) else v[k]
print(v)' "$1"; }
now_ms() { date +%s%3N; }

# What comes back of a file: each line with its newline, also a last one that had none.
whole_lines() {
    cat "$1"
    [ -z "$(tail -c 1 "$1" | tr '\0' x)" ] || echo
}

keep_from_options() { # a key, as the last argument of a command: sets key_argument
    key_argument=("$1")
    [[ $1 != -* ]] || key_argument=(-- "$1")
}

if [ ${#files[@]} -eq 0 ]; then
    if [ -s /var/log/dpkg.log ] && [ -r /var/log/dpkg.log ]; then
        files=(/var/log/dpkg.log)
    else
        mkdir "$work/input"
        files=("$work/input/machine.log")
        {
            dpkg-query -W -f '${Package} ${Version} ${Status}\n' 2>/dev/null || true
            find /etc "$root" -xdev -printf '%TFT%TT %s %p\n' 2>/dev/null || true
        } >"${files[0]}"
    fi
fi
# Log files grow; the copy is what is compared with.
inputs=()
mkdir "$work/files"
for file in "${files[@]}"; do
    inputs+=("$work/files/${file##*/}")
    cp -- "$file" "$work/files/"
done

begun=$SECONDS
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
    keep_from_options "$name"
    show estreat -o raw history "${key_argument[@]}" >"$work/back"
    whole_lines "$copy" | cmp - "$work/back" || fail "$name was not read back as it was"
    good "$name: $(wc -l <"$work/back") lines, equal to the file"
done

step '2. Get, history, a time range, and time travel'
key=$(basename "${inputs[0]}")
keep_from_options "$key"
show estreat get "${key_argument[@]}"
estreat -o raw get "${key_argument[@]}" >"$work/newest"
whole_lines "${inputs[0]}" | tail -n 1 | cmp - "$work/newest" || fail "that is not the file's last line"
good "that is the file's last line"
show estreat -o json history --limit 6 "${key_argument[@]}" >"$work/history"
cat "$work/history"
# Lines [begin, end) of the file: the 3rd to the 5th, if it has so many.
last=$(wc -l <"$work/history")
begin=$((last < 3 ? last : 3))
end=$((last < 6 ? last + 1 : 6))
begin_time=$(sed -n "${begin}p" "$work/history" | field time)
end_time=$(($(sed -n "$((end - 1))p" "$work/history" | field time) + 1))
show estreat -o raw read --from "@$begin_time" --to "@$end_time" >"$work/range"
whole_lines "${inputs[0]}" | sed -n "${begin},$((end - 1))p" | cmp - "$work/range" || fail "those are not the lines of that time"
good "$(wc -l <"$work/range") events in that range of time, from the file's line $begin on"
past=$((last < 2 ? last : 2))
middle=$(sed -n "${past}p" "$work/history" | field position)
show estreat -o raw get --as-of "$middle" "${key_argument[@]}" >"$work/as-of"
whole_lines "${inputs[0]}" | sed -n "${past}p" | cmp - "$work/as-of" || fail "get --as-of does not give what was newest then"
good "at position $middle the newest event of $key was the file's line $past"

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
# Whatever this machine's pace is: the ingest's input, the file over and over, ends 6 s after the
# kill, and is kept to be compared with. Small batches make for thousands of requests, so that some
# are under way at the kill.
whole_lines "${inputs[0]}" >"$work/some"
if [ "$(wc -c <"$work/some")" -gt 4194304 ]; then
    head -c 4194304 "${inputs[0]}" >"$work/head"
    whole_lines "$work/head" >"$work/some"
fi
while [ "$(wc -c <"$work/some")" -lt 65536 ] && [ "$(wc -l <"$work/some")" -lt 4000 ]; do
    cat "$work/some" "$work/some" >"$work/head"
    mv "$work/head" "$work/some"
done
touch "$work/feeding"
# Lines of a few bytes are paced, so that what waits in the pipe is not minutes of work.
lines=$(wc -l <"$work/some")
pause=0
[ $(($(wc -c <"$work/some") / (lines + 1))) -ge 40 ] || pause=0.2
feed() { while [ -e "$work/feeding" ] && cat "$work/some"; do sleep "$pause"; done 2>/dev/null; }
printf '$ while sleep 0; do cat %q; done | estreat -o json ingest --key failover --batch 32 - &\n' "${inputs[0]}"
estreat -o json ingest --key failover --batch 32 - < <(feed | tee "$work/fed") >"$work/ingested" 2>"$work/ingest.err" &
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
still_ms=$((killed_ms + 6000 - $(now_ms)))
[ "$still_ms" -le 0 ] || sleep "$(printf '%d.%03d' $((still_ms / 1000)) $((still_ms % 1000)))"
kill -0 "$ingest" 2>/dev/null || { cat "$work/ingest.err" >&2; fail "the ingest ended before its input did"; }
rm "$work/feeding"
wait "$ingest" || { cat "$work/ingest.err" >&2; fail "the ingest failed"; }
ended_ms=$(now_ms)
ingest=
acknowledged=$(field events <"$work/ingested")
good "the ingest went on for $(( (ended_ms - killed_ms) / 1000 )) s after the kill, to the end of its input: $acknowledged events acknowledged"
show estreat -o raw history failover >"$work/back"
cmp "$work/fed" "$work/back" || fail "what was acknowledged is not there exactly once and in order"
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

step "All of it was so, in $((SECONDS - begun)) s."
