#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# campaign.sh FILE A..B [ESTREAT-SIM [NODES]]: the seeds [A, B), in pieces of 250, one after the other.
# Each piece is a line of FILE when it is done, and so is each seed that failed; stopped at any time
# and called again, it goes on after the last piece. Ends with the sum of FILE, which may be of several
# ranges and builds; exits 1 if a seed failed. Several at a time: each with a FILE of its own.
set -euo pipefail
piece=250
if [ $# -lt 2 ] || ! [[ $2 =~ ^[0-9]+\.\.[0-9]+$ && ${2%..*} -lt ${2#*..} ]]; then sed -n '3,6s/^# //p' "$0" >&2; exit 64; fi
file=$1
begin=${2%..*}
end=${2#*..}
here=$(cd "$(dirname "$0")" && pwd)
sim=${3:-$here/../../build/dev/tests/estreat-sim}
nodes=${4:-5}
commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)
touch "$file"

at=$(awk -v begin="$begin" -v end="$end" -v nodes="$nodes" 'BEGIN { at = begin }
    $1 == "seeds" && $4 == nodes && $2 == at && $2 < end { at = $3 } END { print at }' "$file")
while [ "$at" -lt "$end" ]; do
    to=$((at + piece < end ? at + piece : end))
    started=$(date +%s%N)
    out=$("$sim" --seeds "$at..$to" --nodes "$nodes" 2>/dev/null) || true
    spent=$((($(date +%s%N) - started) / 1000000))
    failures=$(grep FAILED <<<"$out" || true)
    # A seed that crashes or hangs ends the process, and is the last that is counted; go on after it.
    seeds=$(sed -n '$s/^seeds \([0-9]*\) failed .*/\1/p' <<<"$out")
    [ "${seeds:-0}" -gt 0 ] || { printf 'campaign: %s ended in seeds %s..%s: %s\n' "$sim" "$at" "$to" "$out" >&2; exit 2; }
    to=$((at + seeds))
    [ -z "$failures" ] || sed "s/\$/ (nodes $nodes, $commit)/" <<<"$failures" >>"$file"
    printf 'seeds %d %d %d failed %d ms %d commit %s\n' "$at" "$to" "$nodes" \
        "$(grep -c FAILED <<<"$failures" || true)" "$spent" "$commit" >>"$file"
    at=$to
done
awk '$1 == "seeds" { seeds += $3 - $2; failed += $6; ms += $8 }
    END { printf "seeds %d failed %d hours %.2f seeds/h %.0f\n", seeds, failed, ms / 3600000, ms ? seeds * 3600000 / ms : 0
          exit failed > 0 }' "$file"
