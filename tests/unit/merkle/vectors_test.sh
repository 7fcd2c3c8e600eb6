#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vectors_test.sh PROGRAM FOLDER: merkle-vectors names each wrong case, and no right one.
set -u
program=$1
folder=$2

fail() {
    echo "$1"
    exit 1
}

out=$("$program" "$folder/right") || fail "right cases came out wrong: $out"
right=$(find "$folder/right" -name '*.json' | wc -l)
[ "$out" = "$right right, 0 wrong" ] || fail "expected $right right: $out"

out=$("$program" "$folder/right" "$folder/wrong" "$folder/absent")
[ $? -eq 1 ] || fail "wrong cases must exit 1"
wrong=$(find "$folder/wrong" -name '*.json' | wc -l)
last=$(echo "$out" | tail -n 1)
[ "$last" = "$right right, $((wrong + 1)) wrong" ] || fail "expected $wrong + 1 wrong: $out"
find "$folder/wrong" -name '*.json' | while read -r case; do
    echo "$out" | grep -qF "$case: " || fail "$case is not named: $out"
done || exit 1
echo "$out" | grep -q "^$folder/absent: " || fail "the absent folder is not named: $out"

empty=$(mktemp -d)
"$program" "$empty" > /dev/null 2>&1
[ $? -eq 1 ] || fail "a folder without cases must exit 1"
rmdir "$empty"
"$program" --help > /dev/null 2>&1
[ $? -eq 64 ] || fail "an option must exit 64"

"$program" > /dev/null 2>&1
[ $? -eq 64 ] || fail "no arguments must exit 64"
echo "ok"
