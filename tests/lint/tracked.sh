#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Nothing that a build makes is tracked, and nothing binary but what tests/golden and tests/fuzz keep.
set -euo pipefail
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || {
    echo "skipped: not a git checkout"
    exit 77
}

bad=$(git ls-files | grep -E '(^|/)(build|CMakeFiles|__pycache__)/|(^|/)(CMakeCache\.txt|core)$|\.(o|a|so|pyc|pb-c\.[ch]|gcda|gcno|profraw|orig|rej|swp)$' || true)
# git says "-" for the added lines of a file that it takes for binary.
binary=$(git diff --numstat "$(git hash-object -t tree /dev/null)" HEAD | awk -F'\t' '$1 == "-" {print $3}' |
    grep -vE '^tests/(golden|fuzz)/' || true)
large=$(git ls-files -z | xargs -0 -I{} find {} -maxdepth 0 -type f -size +1M)
for kind in bad binary large; do
    [ -z "${!kind}" ] || {
        printf 'tracked, and %s:\n%s\n' "$kind" "${!kind}"
        failed=1
    }
done
exit "${failed:-0}"
