#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each planted bug is found by the seed that plants.txt gives, and that seed passes without it; or a
# scenario says that it sees the bug (scenarios.sh). And each of the checks that matter most has found one:
# a check that cannot fail proves nothing.
set -euo pipefail
sim=$1
table=$(dirname "$0")/plants.txt
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

count=0
while read -r plant seed nodes what; do
    case $plant in '' | '#'*) continue ;; esac
    code=0
    "$sim" --seed "$seed" --nodes "$nodes" --plant "$plant" >"${TMPDIR:-/tmp}/estreat-plant.$$" 2>/dev/null || code=$?
    found=$(grep FAILED "${TMPDIR:-/tmp}/estreat-plant.$$" | head -n 1 || true)
    rm -f "${TMPDIR:-/tmp}/estreat-plant.$$"
    [ "$code" -eq 1 ] || fail "$plant: seed $seed exits $code"
    [[ $found == *" FAILED: $what"* ]] || fail "$plant: not \"$what\", but: $found"
    [ "$seed" -le 1000 ] || fail "$plant: not found within 1,000 seeds"
    printf '%-20s %s\n' "$plant" "$found"
    "$sim" --seed "$seed" --nodes "$nodes" >/dev/null 2>&1 || fail "seed $seed fails without $plant"
    count=$((count + 1))
done <"$table"
[ "$count" -ge 12 ] || fail "only $count plants are in the table"
while read -r plant _; do
    grep -q "^$plant " "$table" || grep -q "^# plant: $plant: " "$(dirname "$0")"/scenarios/*.txt ||
        fail "$plant is not in the table, nor in a scenario"
done < <("$sim" --list-plants)
while read -r check; do
    grep -qE "^[a-z][^#]* $check\$" "$table" || grep -qE "^# plant: [a-z-]*: $check\$" "$(dirname "$0")"/scenarios/*.txt ||
        fail "no planted bug shows that \"$check\" can fail"
done <<'EOT'
one leader a term
leader completeness
log matching
equal entries at equal indexes
nothing is applied that is not durable on the node
what is acknowledged is in the log
no position twice
exactly once
a read sees what was acknowledged before it
an event has the version that was told
equal log roots at equal sizes
equal derived content at equal positions
equal content of the keyspaces
a node keeps to its memory
all is answered and alike once faults have ended
EOT
