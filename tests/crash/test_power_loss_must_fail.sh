#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Is a missing fdatasync seen? test_power_loss.sh has to fail, for the right reason, on nodes that
# sync nothing, and on nodes that sync a file once, so that they start again but know nothing of
# what was appended since.
set -euo pipefail
here=$(dirname "$0")
for option in --no-sync --no-later-sync; do
    code=0
    said=$(ESTREAT_POWER_OPTION=$option ESTREAT_POWER_ROUNDS=1 "$here/test_power_loss.sh" 2>&1) || code=$?
    if [ "$code" -ne 3 ]; then
        printf '%s\nFAILED: with %s it exits %s instead of 3\n' "$said" "$option" "$code" >&2
        exit 1
    fi
    printf '%s: %s\n' "$option" "$(grep '^LOST' <<<"$said")"
done
