#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_million.sh CHECKER: a million lines take less than 30 s of processor time (5, in truth), and
# one wrong line in their middle is found.
set -euo pipefail
checker=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-history.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# Four writers that overlap, and a read of what came since the last for each hundred appends.
history() { # position of the event that lies
    awk -v lie="$1" 'BEGIN {
        for (i = 0; i < 990000; i++) {
            if (i % 100 == 0) seen = ""
            printf "{\"process\":%d,\"op\":\"append\",\"key\":\"k%d\",\"payload\":\"x\",\"id\":\"w%d-%d\"," \
                   "\"invoke_ns\":%d,\"return_ns\":%d,\"result\":\"ok\",\"position\":%d}\n", \
                   i % 4, i % 1000, i % 4, i, i * 10, i * 10 + 35, i == lie ? i - 10 : i
            seen = seen (i % 100 ? "," : "") "\"" i ":w" i % 4 "-" i "\""
            if (i % 100 == 99)
                printf "{\"process\":9,\"op\":\"read\",\"key\":\"\",\"payload\":[%s],\"id\":\"r\",\"invoke_ns\":%d," \
                       "\"return_ns\":%d,\"result\":\"ok\",\"position\":%d,\"from\":%d}\n", \
                       seen, i * 10 + 36, i * 10 + 50, i + 1, i - 99
        }
    }'
}
history -1 >"$work/right"
TIMEFORMAT=%U
took=$({ time "$checker" "$work/right" >"$work/said"; } 2>&1) || fail "a right history is refused: $(cat "$work/said")"
[ "${took%.*}" -lt 30 ] || fail "a million lines took $took s"
history 500000 >"$work/wrong"
code=0
said=$("$checker" "$work/wrong") || code=$?
[ "$code" -eq 1 ] || fail "a wrong history exits $code"
grep -q 'wrong:505101: exactly-once: id "w0-500000" .* (see line 505001)$' <<<"$said" || fail "it says: $said"
printf '%s lines in %s s of processor time\n' "$(wc -l <"$work/right")" "$took"
