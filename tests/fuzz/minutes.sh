#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: minutes.sh NAME...: builds the fuzz targets with libFuzzer, ASan and UBSan, and runs each
# for ESTREAT_FUZZ_SECONDS (180), or ESTREAT_FUZZ_RUNS inputs. What it finds stays in
# build/fuzz/found, what it learned in build/fuzz/corpus. To keep the least of that which says all:
#   fuzz_NAME -set_cover_merge=1 -use_counters=0 -max_len=1024 tests/fuzz/corpus/NAME build/fuzz/corpus/NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v clang-14 >/dev/null || {
    echo "skipped: no clang-14"
    exit 77
}
limit=(-max_total_time="${ESTREAT_FUZZ_SECONDS:-180}")
[ -z "${ESTREAT_FUZZ_RUNS:-}" ] || limit=(-runs="$ESTREAT_FUZZ_RUNS")
targets=()
for name in "$@"; do
    targets+=("fuzz_$name" "${name}_driver")
done
cmake --preset fuzz >build/fuzz.log
cmake --build build/fuzz --target "${targets[@]}" >>build/fuzz.log
failed=0
for name in "$@"; do
    corpus=build/fuzz/corpus/$name
    mkdir -p "$corpus" build/fuzz/found
    "build/fuzz/tests/${name}_driver" --write-seeds "$corpus"
    bytes_max=$("build/fuzz/tests/${name}_driver" --bytes-max)
    "build/fuzz/tests/fuzz_$name" "${limit[@]}" -max_len="$bytes_max" \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/found/$name-" "$corpus" 2>&1 |
        grep -v '^INFO' || failed=1
done
exit "$failed"
