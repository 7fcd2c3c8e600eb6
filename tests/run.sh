#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One command checks everything: see --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib.sh"
cd "$root"

usage() {
    cat <<'EOT'
usage: tests/run.sh [--no-install] [--full] [--only REGEX]

Installs what is missing, builds, and runs: format, clang-tidy, layers; all tests in the dev
build; the unit tests under ASan and UBSan; the threaded ones under TSan. Ends with the line
"N passed, N failed" (and ", N skipped" if any was), and exits 1 if one failed.

--no-install  leaves packages alone
--full        also what takes longer than twenty minutes
--only REGEX  only tests whose name matches, e.g. unit.base, integration or lint.tidy
EOT
}

install=true
full=false
only=
while [ $# -gt 0 ]; do
    case $1 in
    --no-install) install=false ;;
    --full) full=true ;;
    --only)
        [ $# -ge 2 ] || {
            usage >&2
            exit 64
        }
        only=$2
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
    shift
done

passed=0
failed=0
skipped=0
ran=0
failures=()

# build PRESET [TARGET...]: a step that counts as a test.
build() {
    local begin=$SECONDS
    say "build $*"
    if build_preset "$@" >"build/$1.build.log" 2>&1; then
        passed=$((passed + 1))
        say "build $1: $((SECONDS - begin)) s"
    else
        tail -n 60 "build/$1.build.log"
        failed=$((failed + 1))
        failures+=("build.$1")
        return 1
    fi
}

# attribute NAME FILE: a number from the head of ctest's JUnit report.
attribute() {
    sed -n "s/^[ \t]*$1=\"\([0-9]*\)\".*/\1/p; s/.*<testsuite [^>]*$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1
}

# failed_names PRESET FILE: what failed or could not be run, but not what asked to be skipped.
failed_names() {
    awk -v preset="$1" '
        /<testcase / {
            name = $0; sub(/.*<testcase name="/, "", name); sub(/".*/, "", name)
            status = $0; sub(/.*status="/, "", status); sub(/".*/, "", status)
            if (status == "fail" || status == "disabled") print preset ": " name
        }
        /<skipped / && !/SKIP_/ && status == "notrun" { print preset ": " name }' "$2"
}

# run PRESET CTEST-OPTION...: all tests that the options choose, counted.
run() {
    local preset=$1 report code=0 total bad skip
    shift
    report=$root/build/$preset/run.xml
    rm -f "$report"
    [ -z "$only" ] || set -- "$@" -R "$only"
    say "test $preset"
    steady ctest --test-dir "build/$preset" --output-on-failure --no-tests=ignore \
        -j "$(nproc)" --output-junit "$report" "$@" || code=$?
    if [ ! -s "$report" ]; then
        # ctest writes none when nothing matched.
        [ "$code" -eq 0 ] || {
            failed=$((failed + 1))
            failures+=("$preset: ctest")
        }
        return 0
    fi
    total=$(attribute tests "$report")
    skip=$(attribute skipped "$report")
    # Programs that were not built are "disabled" there, or fail to start: both are failures.
    bad=$(($(attribute failures "$report") + $(attribute disabled "$report")))
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
        total=$((total + 1))
    fi
    ran=$((ran + total))
    passed=$((passed + total - bad - skip))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
    [ "$bad" -eq 0 ] || mapfile -t -O "${#failures[@]}" failures < <(failed_names "$preset" "$report")
}

# Sanitizers want their addresses free; some kernels scatter libraries over them.
steady() {
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        setarch "$(uname -m)" -R "$@"
    else
        "$@"
    fi
}

sections=(build test)
! $full || sections+=(oracle fuzz)
install_packages "$install" "${sections[@]}"
mkdir -p build

left_out=()
$full || left_out=(-LE '^full$')
# Sanitizers look at memory and threads: the unit tests' programs are enough for that.
case $only in
lint* | integration* | crash* | history*) sanitize=false ;;
*) sanitize=true ;;
esac
build_ahead() {
    renice -n 19 "$BASHPID" >/dev/null
    build_preset asan-ubsan unit_tests
    build_preset tsan threaded_tests
}
if build dev; then
    # Tests of whole clusters wait more than they work: what they leave of the processors builds
    # what comes next. Errors show when it is built again.
    ahead=
    if $sanitize; then
        set -m # a group of its own, to be ended with all that it started
        build_ahead >build/ahead.log 2>&1 &
        ahead=$!
        set +m
        trap 'kill -- "-$ahead" 2>/dev/null || true' EXIT
    fi
    run dev "${left_out[@]}"
    [ -z "$ahead" ] || wait "$ahead" || true
    trap - EXIT
fi
if $sanitize && build asan-ubsan unit_tests; then
    ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1} \
        run asan-ubsan -L '^unit$' "${left_out[@]}"
fi
if $sanitize && build tsan threaded_tests; then
    TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1} run tsan -L '^threaded$' "${left_out[@]}"
fi

if [ -n "$only" ] && [ "$ran" -eq 0 ] && [ ${#failures[@]} -eq 0 ]; then
    failed=$((failed + 1))
    failures+=("no test matches $only")
fi
say "took $((SECONDS / 60)) min $((SECONDS % 60)) s"
for name in "${failures[@]}"; do
    printf 'FAILED %s\n' "$name"
done
summary="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || summary+=", $skipped skipped"
printf '%s\n' "$summary"
[ "$failed" -eq 0 ]
