#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: tidy.sh CLANG_TIDY BUILD_DIR quick|deep. clang-tidy over our sources, as the build compiles
# them, on all processors: all of them, or those of the product, where the static analyser gives up
# on a function after a tenth of the states that it would look at. A file that was clean, and whose
# headers and configuration are as they were, is not looked at again: BUILD_DIR/tidy holds an empty
# file named by the digest of all that matters.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
tidy=$1
build=$2
depth=$3
clean=$build/tidy
options=()
if [ "$depth" = quick ]; then
    options=(--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang
        --extra-arg=max-nodes=20000)
fi
mkdir -p "$clean"

common=$({
    "$tidy" --version
    printf '%s\n' "$depth"
    cat .clang-tidy
    sources '*.h' '*.proto' | xargs -d '\n' cat
} | sha256sum | cut -d ' ' -f 1)

# Only what the build compiles has a command to check it with.
compiled=$(sed -n 's/^ *"file": "\(.*\)".*$/\1/p' "$build/compile_commands.json")

chosen() { if [ "$depth" = quick ]; then grep -v '^tests/'; else cat; fi; }
sources '*.c' | chosen | while read -r file; do
    ! grep -qxF "$PWD/$file" <<<"$compiled" || printf '%s\0' "$file"
done | xargs -0 -P "$(nproc)" -n 1 bash -c '
    tidy=$1 clean=$2 common=$3 file=${!#}
    digest=$({ echo "$common"; cat "$file"; } | sha256sum | cut -d " " -f 1)
    [ ! -e "$clean/$digest" ] || exit 0
    out=$("$tidy" --quiet -p "$(dirname "$clean")" "${@:4}" 2>&1) || {
        printf "%s\n" "$out" | grep -v "warnings generated" || true
        exit 1
    }
    : >"$clean/$digest"
' tidy "$tidy" "$clean" "$common" "${options[@]}"
