#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_install.sh BUILD CC [CXX]: the public header stands alone, the libraries give names of
# estreat_* and no others, and what is installed builds the example.
set -euo pipefail
build=$1 cc=$2 cxx=${3-}
root=${ESTREAT_SOURCE_DIR:?}
work=$(mktemp -d "${TMPDIR:-/tmp}/estreat-install.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

"$cc" -std=c99 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c "$root/client/estreat.h"
[ -z "$cxx" ] || "$cxx" -std=c++11 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c++ "$root/client/estreat.h"

# Each function of the header is exported, and nothing else is.
grep -v '^ \*\|^/\*' "$root/client/estreat.h" | tr '\n' ' ' | grep -oE 'ESTREAT_API[^;]*;' |
    grep -oE 'estreat_[a-z_]+\(' | tr -d '(' | sort -u >"$work/declared"
nm -D --defined-only "$build/lib/libestreat.so" | awk '{print $3}' | sort -u >"$work/exported"
diff "$work/declared" "$work/exported" || fail 'libestreat.so does not export what the header declares'
nm -g --defined-only "$build/lib/libestreat.a" | awk 'NF == 3 {print $3}' | sort -u >"$work/global"
diff "$work/declared" "$work/global" || fail 'libestreat.a does not give what the header declares'

cmake --install "$build" --component client --prefix "$work/prefix" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail 'cmake --install'; }
[ -f "$work/prefix/include/estreat.h" ] || fail 'no header was installed'
[ -x "$work/prefix/bin/estreat" ] || fail 'no estreat was installed'
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name estreat.pc)")
export PKG_CONFIG_PATH
# The file names the prefix that was configured; here it is another one.
flags=$(pkg-config --define-variable=prefix="$work/prefix" --cflags --libs estreat)
libdir=$(pkg-config --define-variable=prefix="$work/prefix" --variable=libdir estreat)
# shellcheck disable=SC2086 # flags are words
"$cc" "$root/client/examples/append.c" $flags -o "$work/example"
# Through a file: grep -q ends at the first match, and ldd, still writing, would fail the pipe.
LD_LIBRARY_PATH=$libdir ldd "$work/example" >"$work/ldd"
grep -q "$libdir/libestreat.so" "$work/ldd" || fail 'the example does not use the library'
# shellcheck disable=SC2086
static=$(pkg-config --define-variable=prefix="$work/prefix" --static --libs estreat | sed "s|-lestreat|$libdir/libestreat.a|")
# shellcheck disable=SC2086
"$cc" "$root/client/examples/append.c" -I"$work/prefix/include" $static -o "$work/static-example"
