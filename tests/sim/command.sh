#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The simulator's command line: what it refuses, that one seed always gives one trace, and what it says
# when what it runs crashes or hangs.
set -euo pipefail
sim=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-sim.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

for bad in "--seed x" "--seed -1" "--seed 18446744073709551615" "--seed 18446744073709551617" \
    "--seeds 5" "--seeds 5..5" "--seeds 5..4" "--seeds 5.4..6" "--seeds 5..18446744073709551616" \
    "--nodes 2" "--nodes 8" "--ops 0" "--plant none" "extra"; do
    code=0
    # shellcheck disable=SC2086
    "$sim" $bad >/dev/null 2>&1 || code=$?
    [ "$code" -eq 64 ] || fail "$bad exits $code"
done
# Seed 57 has snapshots, changes of members and quick elections.
one=$("$sim" --seed 57 --trace 2>/dev/null)
# Elsewhere in memory, and on memory that holds something else.
two=$(MALLOC_PERTURB_=170 setarch "$(uname -m)" "$sim" --seed 57 --trace 2>/dev/null)
[ "$one" = "$two" ] || fail "one seed gave two traces"
[ "$(printf '%s\n' "$one" | wc -l)" -gt 1000 ] || fail "--trace prints too little"
# Of many seeds, the last lines are.
many=$("$sim" --seeds 1..31 --ops 400 2>/dev/null | tail -n 1)
[ "$many" = "$(MALLOC_PERTURB_=170 setarch "$(uname -m)" "$sim" --seeds 1..31 --ops 400 2>/dev/null | tail -n 1)" ] ||
    fail "the same seeds gave two traces"
three=$("$sim" --seed 4 --ops 400 2>/dev/null | tail -n 1)
[ "$(printf '%s\n' "$one" | tail -n 1)" != "$three" ] || fail "two seeds gave one trace"
printf '%s\n' "$three" | grep -Eq '^seeds 1 failed 0 trace [0-9a-f]{16}$' || fail "the last line is: $three"
for nodes in 3 7; do
    last=$("$sim" --seeds 1..4 --nodes "$nodes" --ops 400 2>/dev/null | tail -n 1) || fail "$nodes nodes"
    [[ $last == "seeds 3 failed 0 trace "* ]] || fail "1..4 is not half-open: $last"
done
# What a seed was is printed, and is what a seed must be.
counts=$("$sim" --seed 5 2>/dev/null)
count() { sed -n "s/.* $1 \([0-9]*\) .*/\1/p" <<<"$counts"; }
[[ $(count ops) -ge 2000 && $(count faults) -ge 10 && $(count crashes) -ge 1 && $(count compared) -ge 1 ]] ||
    fail "a seed is: $counts"
# Of several, the least.
least=$("$sim" --seeds 5..7 --verbose 2>/dev/null | awk '
    $1 == "seed" { for (i = 3; i <= 7; i += 2) if (!($i in least) || $(i + 1) < least[$i]) least[$i] = $(i + 1) }
    $1 == "least:" { said = $0 }
    END { print said == "least: operations " least["ops"] " faults " least["faults"] " crashes " least["crashes"] }')
[ "$least" -eq 1 ] || fail "the least of two seeds is not what is said"
[ "$("$sim" --list-plants | wc -l)" -ge 12 ] || fail "fewer than twelve plants"

# after BYTES SIGNAL OPTION...: the simulator gets the signal when so much of its output was read, and
# exits 1; all that it said is in $work/out. It is no more than the pipe holds ahead of its reader, so it
# has not ended by then.
after() {
    local bytes=$1 signal=$2 pid code=0
    shift 2
    exec 3< <(exec "$sim" "$@" 2>/dev/null)
    pid=$!
    head -c "$bytes" <&3 >"$work/out"
    kill -s "$signal" "$pid"
    cat <&3 >>"$work/out"
    wait "$pid" || code=$?
    [ "$code" -eq 1 ] || fail "$signal: exit $code"
}
# Nothing of what a seed printed is lost with it, and it is named and counted.
"$sim" --seeds 57..59 --ops 400 --trace >"$work/whole" 2>/dev/null
most=$(($(wc -c <"$work/whole") - 80000)) # a pipe holds 65536
for signal in ABRT SEGV ALRM; do
    after "$most" "$signal" --seeds 57..59 --ops 400 --trace
    how="an assertion, or a bad access"
    [ "$signal" != ALRM ] || how="it does not end"
    tail -n 3 "$work/out" >"$work/end"
    head -n -3 "$work/out" >"$work/trace"
    [ "$(wc -c <"$work/trace")" -ge "$most" ] || fail "$signal: what was printed is lost"
    cmp -s -n "$(wc -c <"$work/trace")" "$work/trace" "$work/whole" || fail "$signal: a line is cut"
    [ "$(head -n 1 "$work/end")" = "seed 58 FAILED: $how" ] || fail "$signal: $(cat "$work/end")"
    grep -q '^least: operations 4' "$work/end" || fail "$signal: $(cat "$work/end")"
    grep -Eq '^seeds 2 failed 1 trace [0-9a-f]{16}$' "$work/end" || fail "$signal: $(cat "$work/end")"
done
scenario=$(dirname "$0")/scenarios/two_snapshots.txt
after 100000 ALRM --scenario "$scenario" --trace
[[ $(tail -n 2 "$work/out" | tr '\n' ' ') == "scenario $scenario FAILED: it does not end seeds 1 failed 1 trace "* ]] ||
    fail "a scenario that does not end: $(tail -n 2 "$work/out")"

# A script that says what is no command, or says more, makes no sense.
while read -r command; do
    printf '> cluster 3 first=n1\n> %s\n' "$command" >"$work/script"
    said=$("$sim" --scenario "$work/script" 2>/dev/null) && fail "a scenario says: $command"
    [[ $said == *" FAILED: the scenario makes sense: line 2: "* ]] || fail "$command: $said"
done <<'EOF'
cluster 3
append a once at=n1
append a att=n1
append a at=n1 twice
append a key=99999999999999999999
crash n1 at=3 torn
crash n1 torn ta=3
disk n1 fail sync 3
disk n1 flip log seed
memory n1 fail=1 before=2
run 99999999999y
expect size n1 many
until snapshots n1
EOF
for bad in 2 8 x "3 speed=4" "3 spare=5"; do
    printf '> cluster %s\n' "$bad" >"$work/script"
    said=$("$sim" --scenario "$work/script" 2>/dev/null) && fail "a cluster of $bad"
    [[ $said == *" FAILED: the scenario makes sense: line 1: "* ]] || fail "a cluster of $bad: $said"
done

# A campaign goes on where it was stopped, and counts once.
account=$work/account
campaign=$(dirname "$0")/campaign.sh
"$campaign" "$account" 1..3 "$sim" >/dev/null || fail "a campaign of two seeds"
sum=$("$campaign" "$account" 1..4 "$sim") || fail "a campaign that goes on"
[[ $sum == "seeds 3 failed 0 "* && $(wc -l <"$account") -eq 2 ]] || fail "the campaign's account: $sum"
printf 'seeds 4 9 5 failed 1 ms 3 commit x\n' >>"$account"
if "$campaign" "$account" 1..9 "$sim" >/dev/null; then
    fail "a campaign that forgets a failure"
fi
# It goes on after a seed that ended the process, too.
cat >"$work/dies" <<EOF
#!/bin/sh
[ "\$2" = 1..4 ] || exec "$(realpath "$sim")" "\$@"
printf 'seed 2 FAILED: it does not end\nseeds 2 failed 1 trace 0\n'
exit 1
EOF
chmod +x "$work/dies"
code=0
sum=$("$campaign" "$work/deaths" 1..4 "$work/dies") || code=$?
[[ $code -eq 1 && $sum == "seeds 3 failed 1 "* ]] || fail "a campaign with a death exits $code: $sum"
grep -q '^seed 2 FAILED: it does not end (nodes 5' "$work/deaths" || fail "no account of a death"
# But not where nothing says how far it came.
code=0
"$campaign" "$work/nothing" 1..4 false >/dev/null 2>&1 || code=$?
[ "$code" -eq 2 ] || fail "a campaign of a simulator that says nothing exits $code"
