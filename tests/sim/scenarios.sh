#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each scenario happens as it says, and otherwise with the bugs that it says it guards against.
set -euo pipefail
sim=$1
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

count=0
for file in "$(dirname "$0")"/scenarios/*.txt; do
    name=$(basename "$file" .txt)
    "$sim" --scenario "$file" 2>/dev/null || fail "$name"
    while IFS=: read -r plant text; do
        code=0
        said=$("$sim" --scenario "$file" --plant "$plant" 2>/dev/null) || code=$?
        [ "$code" -eq 1 ] || fail "$name does not see $plant: exits $code"
        [[ -n $text && $said == *"${text# }"* ]] || fail "with $plant $name says:$said"
    done < <(sed -n 's/^# plant: //p' "$file")
    count=$((count + 1))
done
[ "$count" -ge 10 ] || fail "only $count scenarios"
