#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: tidy.sh CLANG_TIDY BUILD_DIR product|tests. clang-tidy over our sources, those of tests/ or
# all others, as the build compiles them, on all processors. A file that was clean, and whose headers and configuration are as they were, is
# not looked at again: BUILD_DIR/tidy holds an empty file named by the digest of all that matters.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
tidy=$1
build=$2
of=$3
clean=$build/tidy
mkdir -p "$clean"

common=$({
    "$tidy" --version
    cat .clang-tidy
    sources '*.h' '*.proto' | xargs -d '\n' cat
} | sha256sum | cut -d ' ' -f 1)

# Only what the build compiles has a command to check it with.
compiled=$(sed -n 's/^ *"file": "\(.*\)".*$/\1/p' "$build/compile_commands.json")

of_kind() { if [ "$of" = tests ]; then grep '^tests/'; else grep -v '^tests/'; fi; }
sources '*.c' | of_kind | while read -r file; do
    ! grep -qxF "$PWD/$file" <<<"$compiled" || printf '%s\0' "$file"
done | xargs -0 -P "$(nproc)" -n 1 bash -c '
    digest=$({ echo "$3"; cat "$4"; } | sha256sum | cut -d " " -f 1)
    [ ! -e "$2/$digest" ] || exit 0
    out=$("$1" --quiet -p "$(dirname "$2")" "$4" 2>&1) || {
        printf "%s\n" "$out" | grep -v "warnings generated" || true
        exit 1
    }
    : >"$2/$digest"
' tidy "$tidy" "$clean" "$common"
