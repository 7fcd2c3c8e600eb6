#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Our Raft core against etcd's on the same scripts: see README.md and --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib.sh"
here=$root/tests/oracle

usage() {
    cat <<'EOT'
usage: tests/oracle/run.sh [--no-install] [--plant NAME] (--seeds A..B | --script FILE)

Builds both programs (RAFT_DRIVE and ETCD_DRIVE name ones that are built already), runs the
scripts of the seeds [A, B), or one, and compares. The last line is "scripts N, differing N, allowed N".
Exits 1 if one differs, 77 if Go or etcd's library is not installed.

--no-install  leaves packages alone
--plant NAME  gives our core a bug: it must be found
EOT
}

install=true
arguments=()
given=false
while [ $# -gt 0 ]; do
    case $1 in
    --no-install) install=false ;;
    --plant | --seeds | --script)
        [ $# -ge 2 ] || {
            usage >&2
            exit 64
        }
        [ "$1" = --plant ] || given=true
        arguments+=("$1" "$2")
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
$given || {
    usage >&2
    exit 64
}

install_packages "$install" oracle
gopath=${ESTREAT_GOPATH:-/usr/share/gocode}
if ! command -v go >/dev/null || [ ! -d "$gopath/src/go.etcd.io/etcd/raft" ]; then
    echo "skipped: golang-go and golang-etcd-server-dev are not installed"
    exit 77
fi

out=$root/build/oracle
mkdir -p "$out"
if [ -z "${RAFT_DRIVE:-}" ]; then
    build_preset dev raft-drive >"$out/build.log" 2>&1 || {
        tail -n 40 "$out/build.log" >&2
        die "raft-drive could not be built"
    }
    RAFT_DRIVE=$root/build/dev/tests/raft-drive
fi
if [ -z "${ETCD_DRIVE:-}" ]; then
    # Two runs at once may build it; each puts a whole program there.
    program=$(mktemp "$out/etcd-drive.XXXXXX")
    (cd "$here/etcd" && GO111MODULE=off GOPATH=$gopath GOCACHE=${GOCACHE:-$out/cache} go build -o "$program" .) || {
        rm -f "$program"
        die "etcd-drive could not be built"
    }
    ETCD_DRIVE=$out/etcd-drive
    mv "$program" "$ETCD_DRIVE"
fi

PYTHONDONTWRITEBYTECODE=1 exec python3 "$here/compare.py" --ours "$RAFT_DRIVE" \
    --etcd "$ETCD_DRIVE" "${arguments[@]}"
