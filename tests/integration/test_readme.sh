#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the README's first screens promise: its shell lines and its C lines do what they say.
source "$(dirname "$0")/lib.sh"

# The C lines, as they stand, inside a program that only installs would need more for.
build=$(dirname "$ESTREAT_BIN")
{
    printf '#include <estreat.h>\n#include <stdio.h>\nint main(void)\n{\n    int code = -1;\n'
    sed -n '/^```c$/,/^```$/p' "$root/README.md" | grep -v '^```' | sed 's/^/    /'
    printf '    if (code == ESTREAT_OK) printf("position %%llu\\n", (unsigned long long)at.position);\n'
    printf '    if (code == ESTREAT_OK) estreat_close(client);\n    return code;\n}\n'
} >"$work/example.c"
sed -i 's/127.0.0.1:8970/'"127.0.0.1:28970"'/' "$work/example.c"
# A library that was built with a sanitizer needs the sanitizer's runtime in the program.
sanitizer=()
case $(ldd "$build/lib/libestreat.so") in
*libtsan*) sanitizer=(-fsanitize=thread) ;;
*libasan*) sanitizer=(-fsanitize=address,undefined) ;;
esac
cc -std=c11 "${sanitizer[@]}" -Wall -Wextra -Werror -I"$root/client" "$work/example.c" -L"$build/lib" -lestreat \
    -Wl,-rpath,"$build/lib" -o "$work/example" || fail "the README's C lines do not compile"

# One node, no file: the default directory, and the lines that follow in the README.
export XDG_STATE_HOME=$work/state
estreatd --dev --set member.dev.client=127.0.0.1:28970 --set member.dev.peer=127.0.0.1:28971 2>"$work/dev.log" &
node=$!
started+=("$node")
export ESTREAT_ENDPOINTS=127.0.0.1:28970
wait_until 10 estreat --timeout 1 status
export ESTREAT_TRUST=$work/state/estreat/verifier-key
cd "$work"
sed -n '/^    export ESTREAT_TRUST/,/^$/p' "$root/README.md" | grep -v 'export ESTREAT_TRUST' | sed 's/^    //' >"$work/lines.sh"
[ "$(wc -l <"$work/lines.sh")" -ge 4 ] || fail "the README's lines were not found"
bash -euo pipefail "$work/lines.sh" >"$work/lines.out" || fail "the README's lines fail"
grep -q 'opened with 100' "$work/lines.out" || fail "get --as-of 0 did not show the first event"
grep -q VERIFIED "$work/lines.out" || fail "the proof was not verified"
equal "$("$work/example")" "position 2"
kill -TERM "$node"
wait "$node" || fail "estreatd did not end with 0"
