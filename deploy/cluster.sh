#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A local cluster on loopback, for trying things out. See --help.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: deploy/cluster.sh start [-n NODES] [--dir DIR] [-- ESTREATD OPTIONS]
       deploy/cluster.sh status|stop [--dir DIR]
       deploy/cluster.sh kill|stop-node|start-node|new-node ID [--dir DIR] [-- ESTREATD OPTIONS]

start       makes NODES (default 3) nodes n1, n2, ... on free ports, or starts those that
            are in DIR already, and waits until they have a leader. Prints lines for eval:
            ESTREAT_ENDPOINTS, ESTREAT_TRUST, PATH if estreat is not on it, and a comment
            for each node.
status      prints the same and asks the cluster; exits 0 if there is a leader, else 2.
stop        stops all nodes. The data stays; remove DIR to begin anew.
kill ID     kill -9.   stop-node ID   SIGTERM: flushes, hands leadership over.
start-node ID          starts it again.
new-node ID            starts one more, which waits to be added, and prints how that is done.

DIR is where the cluster lives, default $TMPDIR/estreat-cluster-UID.
Programs come from $ESTREAT_BIN, else build/release/bin, else build/dev/bin; the server is
$ESTREATD where that is set. {dir} in an option is the node's own directory.
EOF
}

die() {
    printf 'cluster.sh: %s\n' "$*" >&2
    exit "${code:-64}"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command=${1-}
[ $# -gt 0 ] && shift
nodes=3
given= # by -n
dir=${TMPDIR:-/tmp}/estreat-cluster-$(id -u)
id=
extra=()
while [ $# -gt 0 ]; do
    case $1 in
    -n) nodes=${2-} given=$nodes; shift 2 || die "-n needs a number" ;;
    --dir) dir=${2-}; shift 2 || die "--dir needs a directory" ;;
    --) shift; extra=("$@"); break ;;
    -h | --help) usage; exit 0 ;;
    -*) die "unknown option $1" ;;
    *) [ -z "$id" ] || die "unexpected argument $1"; id=$1; shift ;;
    esac
done
[ -n "$dir" ] || die "--dir needs a directory"
dir=$(realpath -m -- "$dir") # a node is known by the path on its command line
case $command in
start | status | stop) [ -z "$id" ] || die "$command takes no node's id" ;;
kill | stop-node | start-node) [ -n "$id" ] || die "$command needs a node's id, such as n1" ;;
esac

find_bin() {
    for candidate in "${ESTREAT_BIN-}" "$root/build/release/bin" "$root/build/dev/bin"; do
        if [ -n "$candidate" ] && [ -x "$candidate/estreatd" ]; then
            bin=$candidate
            return
        fi
    done
    code=1 die "estreatd is not built; run deploy/build.sh"
}

# Ports that nothing listens on now, outside the range from which the kernel takes ports for
# outgoing connections, so that none of those takes them first.
free_ports() {
    local want=$1 found=0 port=$((10000 + (RANDOM % 18000)))
    while [ "$found" -lt "$want" ]; do
        port=$((port + 1))
        [ "$port" -lt 30000 ] || port=10000
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s\n' "$port"
            found=$((found + 1))
        fi
    done
}

started_at() { # process $1, in the kernel's ticks; a program that becomes another keeps it
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1 # $(<FILE) ends the shell if there is none
    read -ra stat <<<"${stat##*) }"
    printf '%s\n' "${stat[19]}"
}

# Of node $1. A stale pid file may name somebody else's process; one that has ended, or is about to,
# has no program any more.
is_running() {
    local pid
    pid=$(cat "$dir/$1/pid" 2>/dev/null) || return 1
    readlink "/proc/$pid/exe" >/dev/null 2>&1 &&
        [ "$(started_at "$pid")" = "$(cat "$dir/$1/started" 2>/dev/null)" ]
}

# A process that was killed has no program any more, but holds its lock until its last thread has
# ended: its first one, the one that "State" speaks of, may be a zombie before the others.
wait_for_end() { # of the process that was node $1
    local pid status
    pid=$(cat "$dir/$1/pid" 2>/dev/null) || return 0
    for _ in $(seq 200); do
        status=$(cat "/proc/$pid/status" 2>/dev/null) || return 0
        [[ ! $status =~ State:[[:space:]]*[ZX] || ! $status =~ Threads:[[:space:]]*[01]$'\n' ]] || return 0
        ! readlink "/proc/$pid/exe" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
}

must_exist() { [ -f "$dir/$1/estreat.conf" ] || die "there is no node $1 in $dir"; }

start_node() {
    local node=$1
    is_running "$node" && return
    wait_for_end "$node"
    find_bin
    # The descriptors of the caller are its own: a node must not hold its pipes open.
    setsid "${ESTREATD:-$bin/estreatd}" --config "$dir/$node/estreat.conf" \
        "${extra[@]//\{dir\}/"$dir/$node"}" \
        </dev/null >>"$dir/$node/log" 2>&1 &
    started_at $! >"$dir/$node/started" || true
    printf '%s\n' $! >"$dir/$node/pid"
}

end_node() { # signal, node
    local pid
    is_running "$2" || { printf 'cluster.sh: node %s is not running\n' "$2" >&2; return 0; }
    pid=$(cat "$dir/$2/pid")
    kill "-$1" "$pid" 2>/dev/null || true
    for _ in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || { rm -f "$dir/$2/pid"; return 0; }
        sleep 0.1
    done
    code=1 die "node $2 (pid $pid) does not end"
}

all_nodes() {
    local conf
    for conf in "$dir"/*/estreat.conf; do
        if [ -f "$conf" ]; then basename "$(dirname "$conf")"; fi
    done
}

setting() { # node, section, name
    sed -n "/^\[$2\]/,/^\[/ s/^$3 *= *//p" "$dir/$1/estreat.conf" | head -n 1
}

endpoints() {
    local node list=
    for node in $(all_nodes); do
        list=$list${list:+,}$(setting "$node" "member.$node" client)
    done
    printf '%s' "$list"
}

print_environment() {
    local node pid
    printf 'export ESTREAT_ENDPOINTS=%q\n' "$(endpoints)"
    printf 'export ESTREAT_TRUST=%q\n' "$dir/trust"
    # shellcheck disable=SC2016
    command -v estreat >/dev/null || printf 'export PATH=%q:$PATH\n' "$bin"
    for node in $(all_nodes); do
        pid=-
        is_running "$node" && pid=$(cat "$dir/$node/pid")
        printf '# node %s pid %s client %s peer %s dir %s\n' "$node" "$pid" \
            "$(setting "$node" "member.$node" client)" "$(setting "$node" "member.$node" peer)" \
            "$dir/$node"
    done
}

has_leader() {
    "$bin/estreat" --endpoints "$(endpoints)" --timeout "$1" -o json status 2>/dev/null |
        grep -Eq '"leader": ?"[^"]+"'
}

# A node that is no member of anything yet.
write_joining() { # node
    local ports cluster node
    read -r node < <(all_nodes)
    cluster=$(setting "$node" node cluster)
    mapfile -t ports < <(free_ports 2)
    mkdir -p "$dir/$1"
    {
        printf '[node]\nid = %s\ndata = %s\ncluster = %s\njoin = on\n\n' "$1" "$dir/$1/data" "$cluster"
        printf '[member.%s]\nclient = 127.0.0.1:%s\npeer = 127.0.0.1:%s\n' "$1" "${ports[@]}"
    } >"$dir/$1/estreat.conf"
}

write_configurations() {
    local ports i j
    mapfile -t ports < <(free_ports $((2 * nodes)))
    for ((i = 1; i <= nodes; i++)); do
        mkdir -p "$dir/n$i"
        {
            printf '[node]\nid = n%d\ndata = %s\ncluster = %s\n\n' "$i" "$dir/n$i/data" "$1"
            for ((j = 1; j <= nodes; j++)); do
                printf '[member.n%d]\nclient = 127.0.0.1:%s\npeer = 127.0.0.1:%s\n\n' "$j" \
                    "${ports[2 * j - 2]}" "${ports[2 * j - 1]}"
            done
        } >"$dir/n$i/estreat.conf"
    done
}

must_run() {
    is_running "$1" || { tail -n 3 "$dir/$1/log" >&2; code=1 die "node $1 did not start"; }
}

# Waits until each node has made its signing key, and collects what auditors need.
collect_trust() {
    local node
    : >"$dir/trust.new"
    for node in $(all_nodes); do
        for _ in $(seq 200); do
            [ -s "$dir/$node/data/verifier-key" ] && break
            must_run "$node"
            sleep 0.05
        done
        cat "$dir/$node/data/verifier-key" >>"$dir/trust.new"
    done
    mv "$dir/trust.new" "$dir/trust"
}

start() {
    local node present
    case $nodes in
    [1-7]) ;;
    *) die "-n takes 1 to 7 nodes" ;;
    esac
    find_bin
    present=$(all_nodes | wc -l)
    [ -z "$given" ] || [ "$present" -eq 0 ] || [ "$present" -eq "$given" ] ||
        die "$dir holds a cluster of $present already; stop it and remove that, or give --dir"
    if [ -z "$(all_nodes)" ]; then
        mkdir -p "$dir"
        write_configurations "local-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')"
    fi
    for node in $(all_nodes); do
        start_node "$node"
    done
    collect_trust
    for _ in $(seq 100); do
        if has_leader 2; then
            print_environment
            return
        fi
        for node in $(all_nodes); do must_run "$node"; done
        sleep 0.1
    done
    code=1 die "no leader within 10 s; see $dir/*/log"
}

case $command in
start) start ;;
status)
    find_bin
    [ -n "$(all_nodes)" ] || code=2 die "there is no cluster in $dir"
    print_environment
    "$bin/estreat" --endpoints "$(endpoints)" --timeout 5 status || true
    has_leader 5 || exit 2
    ;;
stop)
    # All at once: leadership handed over to one that ends next is no use.
    [ -n "$(all_nodes)" ] || printf 'cluster.sh: there is no cluster in %s\n' "$dir" >&2
    ends=()
    failed=0
    for node in $(all_nodes); do
        if is_running "$node"; then
            end_node TERM "$node" &
            ends+=($!)
        fi
    done
    for end in "${ends[@]}"; do wait "$end" || failed=1; done
    exit "$failed"
    ;;
kill) must_exist "$id"; end_node KILL "$id" ;;
stop-node) must_exist "$id"; end_node TERM "$id" ;;
start-node | new-node)
    if [ "$command" = new-node ]; then
        case $id in '' | *[!a-zA-Z0-9._-]*) die "new-node needs an ID of letters, digits, - _ ." ;; esac
        [ -n "$(all_nodes)" ] || die "there is no cluster in $dir"
        [ ! -e "$dir/$id" ] || die "$dir/$id is there already"
        write_joining "$id"
    fi
    must_exist "$id"
    start_node "$id"
    # It serves once its port takes connections; before that it may still find a reason not to.
    for _ in $(seq 300); do
        must_run "$id"
        port=$(setting "$id" "member.$id" client)
        if (exec 3<>"/dev/tcp/${port%:*}/${port##*:}") 2>/dev/null; then break; fi
        sleep 0.1
    done
    must_run "$id"
    if [ "$command" = new-node ]; then
        collect_trust
        printf 'estreat member add %s --client %s --peer %s\n' "$id" \
            "$(setting "$id" "member.$id" client)" "$(setting "$id" "member.$id" peer)"
    fi
    ;;
-h | --help) usage ;;
*)
    [ -z "$command" ] || printf 'cluster.sh: unknown command %s\n' "$command" >&2
    usage >&2
    exit 64
    ;;
esac
