#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_engine_bench.sh ENGINE_BENCH: each of its benchmarks runs on a small store, makes as many
# operations as it was told, finds what it must, and says so as db_bench does.
set -euo pipefail
engine_bench=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-engine-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
output=$work/output

bench() { "$engine_bench" --num=1000 --value_size=100 "$@" >"$output"; }

# expect PATTERN: a line of the output is that.
expect() {
    grep -qE "^$1\$" "$output" || {
        printf 'no line is "%s" in:\n' "$1"
        cat "$output"
        exit 1
    }
}

# rate NAME COUNT [REST]
rate() {
    expect "$1 +: +[0-9.]+ micros/op [0-9]+ ops/sec [0-9.]+ seconds $2 operations; +[0-9.]+ MB/s${3:-}"
}

took() { expect "$1 +: [0-9.]+ seconds"; }

bench --db="$work/keys" --histogram=1 \
    --benchmarks=fillrandom,overwrite,flush,waitforcompaction,compact,stats
rate fillrandom 1000
rate overwrite 1000
expect 'Percentiles: P50: [0-9.]+ P75: [0-9.]+ P99: [0-9.]+ P99.9: [0-9.]+ P99.99: [0-9.]+'
took flush
took waitforcompaction
took compact
expect 'estreat_wal_bytes_total [0-9]+'
took stats

bench --db="$work/keys" --benchmarks=fillseq,open
rate fillseq 1000
took open
# What was not flushed has been written again.
bench --db="$work/keys" --use_existing_db=1 --seek_nexts=5 \
    --benchmarks=readrandom,readmissing,readseq,readreverse,seekrandom
rate readrandom 1000 ' \(1000 of 1000 found\)'
rate readmissing 1000 ' \(0 of 1000 found\)'
rate readseq 1000
rate readreverse 1000
rate seekrandom 1000 ' \(1000 of 1000 found\)'

bench --db="$work/sync" --threads=4 --num=250 --benchmarks=fillsync
rate fillsync 1000

bench --db="$work/events" --benchmarks=fillevents,open
rate fillevents 1000
took open
bench --db="$work/events" --events=1 --benchmarks=open,flush,compact
took open
took compact

# The terms that db_bench is told.
bench --db="$work/terms" --compression_ratio=0.5 --verify_checksum=true --disable_wal=false \
    --max_background_jobs=2 --benchmarks=fillseq
rate fillseq 1000
code=0
bench --db="$work/terms" --disable_wal=true --benchmarks=fillseq 2>/dev/null || code=$?
[ "$code" -eq 64 ] || {
    echo "a log that cannot be switched off: exit code $code"
    exit 1
}

code=0
bench --db="$work/keys" --benchmarks=fillbackward 2>/dev/null || code=$?
[ "$code" -eq 64 ] || {
    echo "a benchmark that there is not: exit code $code"
    exit 1
}
