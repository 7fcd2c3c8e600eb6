#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_cases.sh CHECKER: each history of cases.txt gets the verdict that stands above it, with the
# lines that it names; and the command line.
set -euo pipefail
checker=$1
here=$(dirname "$0")
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-history.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# One file a case, and a list of them: number, verdict, rule or line, ...
awk -v work="$work" '
    function quoted(text) { return "\"" text "\"" }
    /^#/ || /^$/ { next }
    /^== / { cases++; file = work "/" cases; printf "" >file; print cases, substr($0, 4) >(work "/list"); next }
    $1 == "append" {
        printf "{\"process\":1,\"op\":\"append\",\"key\":\"%s\",\"payload\":\"x\",\"id\":\"%s\",\"invoke_ns\":%s," \
               "\"return_ns\":%s,\"result\":\"%s\",\"position\":%s}\n", $3, $2, $4, $5, $6, $7 >file
        next
    }
    $1 == "read" || $1 == "part" {
        seen = ""
        for (i = 7; i <= NF; i++) seen = seen (i > 7 ? "," : "") quoted($i)
        printf "{\"process\":2,\"op\":\"read\",\"key\":\"%s\",\"payload\":[%s],\"id\":\"r\",\"invoke_ns\":%s," \
               "\"return_ns\":%s,\"result\":\"ok\",\"position\":%s,\"from\":%s,\"partial\":%s}\n", \
               $2 == "*" ? "" : $2, seen, $4, $5, $6, $3, $1 == "part" ? "true" : "false" >file
        next
    }
    { print >file }' "$here/cases.txt"

declare -A count=([right]=0 [wrong]=0 [malformed]=0)
rules=
while read -r number verdict rest; do
    case $verdict in
    right:) want=0 pattern='^valid: ' ;;
    wrong)
        read -r rule line other _ <<<"$rest"
        rules+="$rule"$'\n'
        want=1 pattern="^$work/$number:$line: $rule: .* \\(see line ${other%:}\\)\$"
        ;;
    malformed) want=64 pattern="^$work/$number:${rest%%:*}: " ;;
    *) fail "case $number: $verdict" ;;
    esac
    code=0
    said=$("$checker" "$work/$number" 2>&1) || code=$?
    [ "$code" -eq "$want" ] || fail "$verdict $rest: exit $code instead of $want: $said"
    [ "$(wc -l <<<"$said")" -eq 1 ] || fail "$verdict $rest: more than one line: $said"
    grep -Eq "$pattern" <<<"$said" || fail "$verdict $rest: it says: $said"
    count[${verdict%:}]=$((count[${verdict%:}] + 1))
done <"$work/list"
for verdict in right wrong malformed; do
    [ "${count[$verdict]}" -ge 10 ] || fail "only ${count[$verdict]} $verdict histories"
done
# Each rule that README.md lists has a case that breaks it.
sed -n 's/^| `\([a-z]*-[a-z-]*\)` |.*/\1/p' "$here/README.md" >"$work/rules"
[ "$(wc -l <"$work/rules")" -ge 8 ] || fail "README.md lists too few rules"
while read -r rule; do
    grep -qx "$rule" <<<"$rules" || fail "no case breaks $rule"
done <"$work/rules"

printf '%s' '{"process":1,"op":"append"' >"$work/cut"
for arguments in "" "--help" "$work/absent" "$work" "$work/1 $work/1" "$work/cut"; do
    code=0
    # shellcheck disable=SC2086
    "$checker" $arguments >/dev/null 2>&1 || code=$?
    [ "$code" -eq 64 ] || fail "\"$arguments\" exits $code"
done
printf '%s right, %s wrong, %s malformed\n' "${count[right]}" "${count[wrong]}" "${count[malformed]}"
