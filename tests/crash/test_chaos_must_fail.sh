#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Is a loss seen? test_chaos.sh has to fail, for the right reason, when the power fails at all nodes
# of which none, in truth, has synced what it acknowledged: some do not start again, or, if they do,
# the history of their clients is no log's.
set -euo pipefail
here=$(dirname "$0")

must_fail() { # option, seed
    local code=0
    said=$(ESTREAT_CHAOS_OPTIONS="--mirror {dir}/mirror $1" ESTREAT_CHAOS_KINDS=kill-all ESTREAT_SEED=$2 \
        ESTREAT_CHAOS_ROUNDS=3 "$here/test_chaos.sh" 2>&1) || code=$?
    if [ "$code" -ne 3 ]; then
        printf '%s\nFAILED: with %s it exits %s instead of 3\n' "$said" "$1" "$code" >&2
        exit 1
    fi
    printf '%s: %s\n' "$1" "$(grep -E '^LOST|: [a-z]+-[a-z]+: id|: [a-z]+-[a-z]+: position' <<<"$said" | tr '\n' ' ')"
}

must_fail --no-sync 1
for seed in 1 2 3 4; do
    must_fail --no-later-sync "$seed"
    ! grep -q '^LOST: the history' <<<"$said" || exit 0
done
echo "FAILED: the history of nodes that forget was a log's, or there was none" >&2
exit 1
