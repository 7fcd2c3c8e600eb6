# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Networks that a test can cut, between nodes n1, n2, n3, and only there: clients reach all of them.
# Sourced by test_chaos.sh. Two kinds behind the same functions:
#
#   namespaces  each node in a network namespace of its own, on a bridge. A sends nothing to B while
#               A takes B to have a link address that nobody has: what it sends is lost, silently,
#               and nothing else changes. Needs root and iproute2.
#   proxy       all on loopback; nodes dial each other through proxy.py.
#
# network_open KIND, network_member NODE OTHER, network_run NODE (words before a command that put it
# in the node's network), network_cut A B, network_heal. Between namespaces a cut is
# tried: network_cut fails if A still reaches B. (Rules of nftables would do as well, where they are:
# the neighbour's address needs nothing that iproute2 has not.)

link_of() { printf '02:00:00:00:00:0%s' "${1#n}"; }
host_of() {
    if [ "$network" = namespaces ]; then printf '10.77.0.%s' "${1#n}"; else printf 127.0.0.1; fi
}

network_open() {
    network=$1
    mkdir -p "$work/cuts"
    if [ "$network" = namespaces ]; then open_namespaces; else open_proxy; fi
}

open_namespaces() {
    local node
    ip link set lo up
    mkdir -p /run/netns
    mount -t tmpfs tmpfs /run/netns # the names are ours alone, too
    ip link add nodes type bridge
    ip link set nodes up
    ip address add 10.77.0.100/24 dev nodes
    for node in n1 n2 n3; do
        ip netns add "$node"
        ip link add "$node" type veth peer name eth0 address "$(link_of "$node")" netns "$node"
        ip link set "$node" master nodes up
        ip -n "$node" link set lo up
        ip -n "$node" link set eth0 up
        ip -n "$node" address add "$(host_of "$node")/24" dev eth0
    done
    network_heal
}

# Ports from base_port on, which the caller has drawn outside the range from which the kernel takes
# ports for outgoing connections.
open_proxy() {
    local from to routes=()
    for from in n1 n2 n3; do
        for to in n1 n2 n3; do
            [ "$from" = "$to" ] || routes+=("$from:$to:$(proxy_port "$from" "$to"):$(peer_port "$to")")
        done
    done
    "$root/tests/crash/proxy.py" "$work/cuts" "${routes[@]}" 2>"$work/proxy.log" &
    started+=($!)
}

client_port() {
    if [ "$network" = namespaces ]; then echo 8970; else echo $((base_port + ${1#n})); fi
}
peer_port() {
    if [ "$network" = namespaces ]; then echo 8971; else echo $((base_port + 10 + ${1#n})); fi
}
proxy_port() { echo $((base_port + 20 + 10 * ${1#n} + ${2#n})); }

# The lines of member $2 in the configuration of $1.
network_member() {
    local peer
    peer=$(host_of "$2"):$(peer_port "$2")
    if [ "$network" = proxy ] && [ "$1" != "$2" ]; then peer=127.0.0.1:$(proxy_port "$1" "$2"); fi
    printf '[member.%s]\nclient = %s\npeer = %s\n\n' "$2" "$(host_of "$2"):$(client_port "$2")" "$peer"
}

network_run() {
    if [ "$network" = namespaces ]; then printf 'nsenter --net=/run/netns/%s' "$1"; fi
}

# A connection is neither made nor refused.
is_silent() { # from, host, port
    local code=0
    # shellcheck disable=SC2016
    nsenter --net="/run/netns/$1" timeout 0.3 bash -c ': >"/dev/tcp/$0/$1"' "$2" "$3" 2>/dev/null || code=$?
    [ "$code" -eq 124 ]
}

network_cut() { # nothing goes from $1 to $2
    if [ "$network" = namespaces ]; then
        ip -n "$1" neigh replace "$(host_of "$2")" lladdr 02:00:00:00:00:99 dev eth0 nud permanent
        is_silent "$1" "$(host_of "$2")" "$(peer_port "$2")"
    else
        : >"$work/cuts/$1-$2"
    fi
}

network_heal() {
    local from to
    for from in n1 n2 n3; do
        for to in n1 n2 n3; do
            [ "$from" != "$to" ] || continue
            if [ "$network" = namespaces ]; then
                ip -n "$from" neigh replace "$(host_of "$to")" lladdr "$(link_of "$to")" dev eth0 nud permanent
            else
                rm -f "$work/cuts/$from-$to"
            fi
        done
    done
}
