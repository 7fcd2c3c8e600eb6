# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Nodes whose disk does as a test says, by libestreat-faults.so: start_cluster, but each node finds its
# faults in $work/cluster/NODE/faults. By posix calls, for that library sees no others.
start_faulty_cluster() { # nodes, options of estreatd...
    local nodes=$1 node
    shift
    cat >"$work/node" <<SCRIPT
#!/bin/sh
export ESTREAT_FAULTS="\$(dirname "\$2")/faults"
export LD_PRELOAD="$ESTREAT_BIN/../tests/libestreat-faults.so"
exec "$ESTREAT_BIN/estreatd" "\$@"
SCRIPT
    chmod +x "$work/node"
    export ESTREATD=$work/node
    start_cluster "$nodes" -- --set storage.io=posix "$@"
    for node in "$work"/cluster/*/; do mkdir "$node/faults"; done
}
