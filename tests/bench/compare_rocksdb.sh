#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The engine against RocksDB's db_bench, in turn and on the same terms: see --help.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/bench/compare_rocksdb.sh [--no-install] [KEYS [ROUNDS]]

Runs RocksDB's db_bench and the engine's tests/bench/engine_bench by turns, ROUNDS times
(default 3), with KEYS keys (default 2,000,000), and prints for each workload the median
of both, the ratio, its goal, and whether it is met. Exits 1 where one is missed.

The terms: keys of 16 bytes, values of 300 that lz4 halves; a log that is not synced but in
fillsync; bloom filters of 10 bits; 64 MiB of block cache and of memtable; two background
threads. Reads are 1,000,000, or KEYS / 2 if that is less, of stores compacted whole; seeks a
tenth of that; fillsync has FILLSYNC operations (default KEYS / 400, from 1,000 to 5,000) for
each thread. Each workload must say that it made so many. Bytes on disk are those of the
directory after the compaction, logs left out; write amplification is write_bytes of
/proc/PID/io over the user's bytes, from the start of overwrite until what it wrote is flushed
and no compaction is due.

Of the engine alone there are goals, too, which the last rows show:
  *_p99.9_ms     how long all but a thousandth of writes take: at most 100 ms. Only the engine
                 pays for this measuring.
  fillrandom_flatness
                 its rate with KEYS over that with FLAT_KEYS (default 2,000,000), which is run in
                 each round if KEYS are more.
  memory_*       the most that the process had of its own (RssAnon, looked at each 20 ms) over
                 what was configured: the block cache when a compacted store is read, for nothing
                 is in memtables; besides, one active and two immutable memtables when it is
                 overwritten. RocksDB's beside it.
tests/bench/open_bench.sh measures the time to open, tests/bench/compression_bench.c what real
logs take.

DIRECTORY of the stores: $BENCH_DIR, else one in $TMPDIR or /tmp; removed at the end.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=deploy/lib.sh
. "$root/deploy/lib.sh"

install=true
positional=()
while [ $# -gt 0 ]; do
    case $1 in
    --no-install) install=false ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        usage >&2
        exit 64
        ;;
    *) positional+=("$1") ;;
    esac
    shift
done
keys=${positional[0]:-2000000}
rounds=${positional[1]:-3}
if [ ${#positional[@]} -gt 2 ] || ! [[ $keys =~ ^[1-9][0-9]{3,8}$ && $rounds =~ ^[1-9][0-9]?$ ]]; then
    usage >&2
    exit 64
fi
reads=$((keys / 2 < 1000000 ? keys / 2 : 1000000))
seeks=$((reads / 10))
fillsync=$((keys / 400 < 1000 ? 1000 : keys / 400 > 5000 ? 5000 : keys / 400))
fillsync=${FILLSYNC:-$fillsync} # db_bench takes a thousandth of it for its number of keys

flat_keys=${FLAT_KEYS:-2000000}
cache_bytes=$((64 << 20))
memtable_bytes=$((64 << 20))

install_packages "$install" build bench
command -v db_bench >/dev/null || die "there is no db_bench: install the package rocksdb-tools"
build_preset release engine_bench >&2
engine_bench=$root/build/release/bin/engine_bench

work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/estreat-compare.XXXXXX")
trap 'rm -rf "$work"' EXIT
results=$work/results # lines: side, workload, value
seed=0                # of the next run; the same for both sides

# measured COMMAND...: its output, then "write_bytes N", which is asked before it is reaped, and
# "own_bytes N", the most that it was seen to have.
measured() {
    python3 - "$@" <<'PYTHON'
import os, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:])
own = 0
while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
    with open(f"/proc/{child.pid}/status") as status:
        own = max([own] + [int(line.split()[1]) for line in status if line.startswith("RssAnon")])
    time.sleep(0.02)
with open(f"/proc/{child.pid}/io") as io:
    print(*(line.strip().replace(":", "") for line in io if line.startswith("write_bytes")))
print("own_bytes", own * 1024)
sys.exit(child.wait())
PYTHON
}

# bench SIDE STORE BENCHMARKS OPERATIONS FLAG...: runs them, and notes the rates; those that have a
# rate make so many operations each.
bench() {
    local side=$1 dir=$work/$1-$2 names=$3 operations=$4 common
    shift 4
    seed=$((seed + 1))
    common=(--key_size=16 --value_size=300 --compression_type=lz4 --bloom_bits=10
        --cache_size="$cache_bytes" --write_buffer_size="$memtable_bytes" --compression_ratio=0.5
        --verify_checksum=true --disable_wal=false --max_background_jobs=2 --num="$keys" "$@")
    local program=$engine_bench
    [ "$side" != rocksdb ] || program=db_bench
    set -- "$program" --db="$dir" --benchmarks="$names" --seed="$seed" "${common[@]}"
    printf '$ %s\n' "$*" >>"$work/log"
    measured "$@" >"$work/output" 2>>"$work/log" || {
        tail -n 20 "$work/log" >&2
        die "$1 failed"
    }
    check_operations "$side" "$names" "$operations"
    cat "$work/output" >>"$work/log"
    # The round's lines, and the rates from them.
    sed -n "s/^\([a-z0-9]* *: .*ops\/sec.*\)/$side \1/p" "$work/output" >&2
    sed -n "s/^\([a-z0-9]*\) *:.* micros\/op \([0-9]*\) ops\/sec.*/$side \1$suffix \2/p" \
        "$work/output" >>"$results"
    awk -v side="$side" -v suffix="$suffix" '
        / ops\/sec / {name = $1 suffix}
        /^Percentiles:/ {sub(/.*P99.9: /, ""); printf "%s %s_p99.9_ms %.3f\n", side, name, $1 / 1000}' \
        "$work/output" >>"$results"
}

# What db_bench divides differs between its versions; and a side that does less is faster.
check_operations() {
    local side=$1 name
    for name in ${2//,/ }; do
        case $name in
        flush | compact | waitforcompaction) ;;
        *) grep -q "^$name *:.* $3 operations;" "$work/output" || die "$side did not $name $3 times" ;;
        esac
    done
}

# What overwrite wrote to the disk, for a byte of the user's.
note_amplification() {
    awk -v side="$1" -v user=$((keys * 316)) \
        '$1 == "write_bytes" {printf "%s write_amplification %.3f\n", side, $2 / user}' \
        "$work/output" >>"$results"
}

# note_memory SIDE NAME BUDGET
note_memory() {
    awk -v side="$1" -v name="memory_$2" -v budget="$3" \
        '$1 == "own_bytes" {printf "%s %s %.2f\n", side, name, $2 / budget}' \
        "$work/output" >>"$results"
}

# What fillrandom makes with flat_keys, and what it has just made in part of that.
note_flatness() {
    local suffix=_small
    bench estreat small fillrandom "$flat_keys" --num="$flat_keys" --histogram=1
    rm -rf "${work:?}/estreat-small"
    awk '$1 == "estreat" && $2 ~ /^fillrandom(_small)?$/ {rate[$2] = $3}
        END {printf "estreat fillrandom_flatness %.2f\n", rate["fillrandom"] / rate["fillrandom_small"]}' \
        "$results" >"$work/flatness"
    cat "$work/flatness" >>"$results"
}

note_bytes() { # without the logs: *.log and LOG* are RocksDB's, log/ is ours
    find "$work/$1-fill" -type f ! -name '*.log' ! -name 'LOG*' ! -path '*/log/*' -printf '%s\n' |
        awk -v side="$1" '{sum += $1} END {printf "%s bytes_on_disk %d\n", side, sum}' >>"$results"
}

round_of() {
    local side=$1 suffix='' timed=()
    [ "$side" = rocksdb ] || timed=(--histogram=1)
    seed=$((round * 1000))
    bench "$side" sequence fillseq "$keys" "${timed[@]}"
    rm -rf "${work:?}/$side-sequence"
    bench "$side" fill fillrandom "$keys" "${timed[@]}"
    bench "$side" fill overwrite,flush,waitforcompaction "$keys" --use_existing_db=1 "${timed[@]}"
    note_amplification "$side"
    note_memory "$side" overwrite $((cache_bytes + 3 * memtable_bytes))
    bench "$side" fill compact - --use_existing_db=1
    note_bytes "$side"
    bench "$side" fill readrandom,readmissing,readseq,readreverse "$reads" --use_existing_db=1 \
        --reads="$reads"
    note_memory "$side" read "$cache_bytes"
    bench "$side" fill seekrandom "$seeks" --use_existing_db=1 --reads="$seeks" --seek_nexts=50
    rm -rf "${work:?}/$side-fill"
    suffix=_1
    bench "$side" sync fillsync "$fillsync" --num="$fillsync" --threads=1 "${timed[@]}"
    suffix=_16
    bench "$side" sync fillsync $((fillsync * 16)) --num="$fillsync" --threads=16 "${timed[@]}"
    rm -rf "${work:?}/$side-sync"
    if [ "$side" = estreat ] && [ "$keys" -gt "$flat_keys" ]; then
        note_flatness
    fi
}

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds, $keys keys"
    round_of rocksdb
    round_of estreat
done

# name, goal, which side of it is good, and of what it is: the ratio, or the engine's own figure
goals='fillseq 1.5 above ratio
fillrandom 1.5 above ratio
overwrite 1.5 above ratio
fillsync_1 - - ratio
fillsync_16 1.5 above ratio
readrandom 1.2 above ratio
readmissing 1.2 above ratio
readseq 1.2 above ratio
readreverse 1.2 above ratio
seekrandom 1.2 above ratio
bytes_on_disk 1.0 below ratio
write_amplification 1.0 below ratio
fillseq_p99.9_ms 100 below own
fillrandom_p99.9_ms 100 below own
overwrite_p99.9_ms 100 below own
fillsync_1_p99.9_ms 100 below own
fillsync_16_p99.9_ms 100 below own
memory_overwrite 1.1 below own
memory_read 1.1 below own'
[ "$keys" -le "$flat_keys" ] || goals+=$'\nfillrandom_flatness 0.7 above own'

# median SIDE NAME: "-" if there is none.
median() {
    awk -v side="$1" -v name="$2" '$1 == side && $2 == name {print $3}' "$results" | sort -g |
        awk '{value[NR] = $1}
            END {print NR == 0 ? "-" : NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2}'
}

missed=false
printf '%-20s %15s %15s %7s %9s\n' workload RocksDB Estreat ratio goal
while read -r name goal side of; do
    verdict=$(awk -v ours="$(median estreat "$name")" -v theirs="$(median rocksdb "$name")" \
        -v goal="$goal" -v side="$side" -v of="$of" -v name="$name" 'BEGIN {
            if (of == "ratio") {
                figure = ours / theirs
                ratio = sprintf("%.2f", figure)
            } else {
                figure = ours == "-" ? (side == "above" ? 0 : 1e9) : ours
                ratio = ""
            }
            met = side == "-" ? "" : (side == "above" ? figure >= goal : figure <= goal) ? "met" : "MISSED"
            sign = side == "above" ? ">= " : side == "below" ? "<= " : ""
            printf "%-20s %15s %15s %7s %9s %s\n", name, theirs, ours, ratio, sign goal, met
        }')
    printf '%s\n' "$verdict"
    [[ $verdict != *MISSED ]] || missed=true
done <<<"$goals"
if $missed; then exit 1; fi
