#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds Estreat on a Debian 12 that need not have anything but git and bash: see --help.
set -euo pipefail
# shellcheck source=deploy/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'EOT'
usage: deploy/build.sh [--no-install] [PRESET]

Lists and installs the Debian packages that are missing (as root or through sudo), then
builds PRESET (default: release) into build/PRESET; the programs are in build/PRESET/bin.

--no-install  leaves packages alone
PRESET        release, dev, asan-ubsan, tsan, coverage or fuzz
EOT
}

install=true
preset=
while [ $# -gt 0 ]; do
    case $1 in
    --no-install) install=false ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*)
        printf 'build.sh: unknown option %s\n' "$1" >&2
        usage >&2
        exit 64
        ;;
    *)
        [ -z "$preset" ] || {
            usage >&2
            exit 64
        }
        preset=$1
        ;;
    esac
    shift
done
preset=${preset:-release}

sections=(build)
case $preset in
release) ;;
dev | asan-ubsan | tsan | coverage) sections+=(test) ;;
fuzz) sections+=(test fuzz) ;;
*)
    printf 'build.sh: no preset %s\n' "$preset" >&2
    exit 64
    ;;
esac

install_packages "$install" "${sections[@]}"
build_preset "$preset" >&2 || die "building $preset failed"
say "built: build/$preset/bin"
