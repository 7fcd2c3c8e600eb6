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
threads. Reads are KEYS / 2, of stores compacted whole; seeks a tenth of that; fillsync has
FILLSYNC operations (default KEYS / 400, from 1,000 to 5,000) for each thread. Bytes on disk are
those of the directory after the compaction, logs left out; write amplification is
write_bytes of /proc/PID/io over the user's bytes, from the start of overwrite until what it
wrote is flushed and no compaction is due.

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
reads=$((keys / 2))
seeks=$((reads / 10))
fillsync=$((keys / 400 < 1000 ? 1000 : keys / 400 > 5000 ? 5000 : keys / 400))
fillsync=${FILLSYNC:-$fillsync} # db_bench takes a thousandth of it for its number of keys

install_packages "$install" build bench
command -v db_bench >/dev/null || die "there is no db_bench: install the package rocksdb-tools"
build_preset release engine_bench >&2
engine_bench=$root/build/release/bin/engine_bench

work=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/estreat-compare.XXXXXX")
trap 'rm -rf "$work"' EXIT
results=$work/results # lines: side, workload, value
seed=0                # of the next run; the same for both sides

# measured COMMAND...: its output, then "write_bytes N", which is asked before it is reaped.
measured() {
    python3 - "$@" <<'PYTHON'
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
with open(f"/proc/{child.pid}/io") as io:
    print(*(line.strip().replace(":", "") for line in io if line.startswith("write_bytes")))
sys.exit(child.wait())
PYTHON
}

# bench SIDE STORE BENCHMARKS FLAG...: runs them, and notes the rates.
bench() {
    local side=$1 dir=$work/$1-$2 names=$3 common
    shift 3
    seed=$((seed + 1))
    common=(--key_size=16 --value_size=300 --compression_type=lz4 --bloom_bits=10
        --cache_size=67108864 --write_buffer_size=67108864 --num="$keys" "$@")
    if [ "$side" = rocksdb ]; then
        set -- db_bench --db="$dir" --benchmarks="$names" --compression_ratio=0.5 \
            --verify_checksum=true --disable_wal=false --max_background_jobs=2 \
            --seed="$seed" "${common[@]}"
    else
        set -- "$engine_bench" --db="$dir" --benchmarks="$names" --seed="$seed" "${common[@]}"
    fi
    printf '$ %s\n' "$*" >>"$work/log"
    measured "$@" >"$work/output" 2>>"$work/log" || {
        tail -n 20 "$work/log" >&2
        die "$1 failed"
    }
    cat "$work/output" >>"$work/log"
    # The round's lines, and the rates from them.
    sed -n "s/^\([a-z0-9]* *: .*ops\/sec.*\)/$side \1/p" "$work/output" >&2
    sed -n "s/^\([a-z0-9]*\) *:.* micros\/op \([0-9]*\) ops\/sec.*/$side \1$suffix \2/p" \
        "$work/output" >>"$results"
}

# What db_bench divides differs between its versions.
check_operations() {
    grep -q " $1 operations;" "$work/output" || die "$side did not make $1 operations"
}

# What overwrite wrote to the disk, for a byte of the user's.
note_amplification() {
    awk -v side="$1" -v user=$((keys * 316)) \
        '$1 == "write_bytes" {printf "%s write_amplification %.3f\n", side, $2 / user}' \
        "$work/output" >>"$results"
}

note_bytes() { # without the logs: *.log and LOG* are RocksDB's, log/ is ours
    find "$work/$1-fill" -type f ! -name '*.log' ! -name 'LOG*' ! -path '*/log/*' -printf '%s\n' |
        awk -v side="$1" '{sum += $1} END {printf "%s bytes_on_disk %d\n", side, sum}' >>"$results"
}

round_of() {
    local side=$1 suffix=
    seed=$((round * 1000))
    bench "$side" sequence fillseq
    rm -rf "${work:?}/$side-sequence"
    bench "$side" fill fillrandom
    bench "$side" fill overwrite,flush,waitforcompaction --use_existing_db=1
    note_amplification "$side"
    bench "$side" fill compact --use_existing_db=1
    note_bytes "$side"
    bench "$side" fill readrandom,readmissing,readseq,readreverse --use_existing_db=1 \
        --reads="$reads"
    bench "$side" fill seekrandom --use_existing_db=1 --reads="$seeks" --seek_nexts=50
    rm -rf "${work:?}/$side-fill"
    suffix=_1
    bench "$side" sync fillsync --num="$fillsync" --threads=1
    check_operations "$fillsync"
    suffix=_16
    bench "$side" sync fillsync --num="$fillsync" --threads=16
    check_operations $((fillsync * 16))
    rm -rf "${work:?}/$side-sync"
}

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds, $keys keys"
    round_of rocksdb
    round_of estreat
done

# name, goal, and which side of it is good
goals='fillseq 1.5 above
fillrandom 1.5 above
overwrite 1.5 above
fillsync_1 - -
fillsync_16 1.5 above
readrandom 1.2 above
readmissing 1.2 above
readseq 1.2 above
readreverse 1.2 above
seekrandom 1.2 above
bytes_on_disk 1.0 below
write_amplification 1.0 below'

median() {
    awk -v side="$1" -v name="$2" '$1 == side && $2 == name {print $3}' "$results" | sort -g |
        awk '{value[NR] = $1} END {print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2}'
}

missed=false
printf '%-20s %15s %15s %7s %9s\n' workload RocksDB Estreat ratio goal
while read -r name goal side; do
    verdict=$(awk -v ours="$(median estreat "$name")" -v theirs="$(median rocksdb "$name")" \
        -v goal="$goal" -v side="$side" -v name="$name" 'BEGIN {
            ratio = ours / theirs
            met = side == "-" ? "" : (side == "above" ? ratio >= goal : ratio <= goal) ? "met" : "MISSED"
            sign = side == "above" ? ">= " : side == "below" ? "<= " : ""
            printf "%-20s %15s %15s %7.2f %9s %s\n", name, theirs, ours, ratio, sign goal, met
        }')
    printf '%s\n' "$verdict"
    [[ $verdict != *MISSED ]] || missed=true
done <<<"$goals"
if $missed; then exit 1; fi
