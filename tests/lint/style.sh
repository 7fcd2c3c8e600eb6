#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What no compiler looks at: licence lines, leftovers, scripts that do not parse.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
failed=0
complain() {
    printf '%s\n' "$1"
    sed 's/^/    /'
    failed=1
}

found=$(mktemp)
trap 'rm -f "$found"' EXIT

sources '*.c' '*.h' '*.sh' '*.py' | while read -r file; do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
done >"$found"
[ ! -s "$found" ] || complain "no licence line at the top:" <"$found"

# Spelt so that this file is no leftover itself.
sources '*.c' '*.h' '*.sh' '*.py' '*.txt' '*.cmake' '*.proto' '*.md' |
    xargs -d '\n' grep -nwE 'TO''DO|FIX''ME|XX''X' >"$found" || true
[ ! -s "$found" ] || complain "leftovers:" <"$found"

sources '*.sh' | while read -r file; do
    bash -n "$file" 2>&1 || true
done >"$found"
[ ! -s "$found" ] || complain "scripts that bash cannot read:" <"$found"

exit "$failed"
