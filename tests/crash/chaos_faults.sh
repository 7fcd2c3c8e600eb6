# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The faults of test_chaos.sh. Each function does its fault to nodes that it draws, holds it for a
# while, ends it, and says what it was in $fault. It adds to count[KIND] only when the fault was
# seen to happen (a partition by the proxy is taken for one). While one holds, another may come and
# go: overlap, transfer.

kinds=(kill kill-all pause full-disk kill-full sync write partition one-way overlap transfer)
declare -A count
meanwhile=() # the function, and its random numbers, that hold runs
down=        # whom the fault that holds has stopped, and no other is to strike

pid_of() { cat "$work/cluster/$1/pid"; }
runs() { kill -0 "$(pid_of "$1")" 2>/dev/null; }
any_node() { echo "n$((1 + $1 % 3))"; }
others_of() { printf '%s\n' n1 n2 n3 | grep -vx "$1"; }

# Up to 1.9 s, or what there is to do meanwhile.
hold() {
    local what=("${meanwhile[@]}") first=$fault
    if [ ${#what[@]} -eq 0 ]; then
        sleep "$(($1 % 2)).$(($1 % 10))"
    else
        meanwhile=()
        "${what[@]}"
        fault="$first, meanwhile $fault"
    fi
}

hold_down() { # node, random number
    down=$1
    hold "$2"
    down=
}

# The leader if $1 is even, else any node by $1; but none that is down.
leader_or_any() {
    local node=
    [ $(($1 % 2)) -ne 0 ] || node=$(estreat --timeout 2 -o json status 2>/dev/null | json 'v["leader"] or ""') || true
    node=${node:-$(any_node $(($1 / 2)))}
    [ "$node" != "$down" ] || node=$(others_of "$down" | sed -n "$((1 + $1 / 2 % 2))p")
    echo "$node"
}

start_again() {
    cluster start-node "$1" --dir "$work/cluster" -- "${options[@]}" 2>"$work/start.log" ||
        lost "$1 does not start: $(tail -n 1 "$work/start.log") $(tail -n 1 "$work/cluster/$1/log")"
}

# Waits until the node has taken note of the fault that lies in its directory, or has ended.
struck() { # node, name
    for _ in $(seq 100); do
        [ -e "$work/faults/$1/$2" ] || return 0
        sleep 0.05
    done
    rm -f "$work/faults/$1/$2"
    return 1
}

metrics_struck() { grep -c 'metrics "cannot be written"' "$work/cluster/$1/log" || true; }

# Waits until the node has ended. Returns 1 if it was the metrics that could not be written: it goes
# on without them, and when it has no leader it may write nothing else.
ended() { # node, metrics_struck before
    for _ in $(seq 200); do
        runs "$1" || return 0
        [ "$(metrics_struck "$1")" -eq "$2" ] || return 1
        sleep 0.05
    done
    fail "$1 goes on after $fault"
}

fault_kill() { # random numbers
    local node
    node=$(leader_or_any "$1")
    fault="kill -9 $node"
    cluster kill "$node" --dir "$work/cluster"
    hold_down "$node" "$2"
    start_again "$node"
    count[kill]=$((${count[kill]-0} + 1))
}

fault_kill-all() {
    local nodes=(n1 n2 n3)
    # All, or all but one, at once.
    [ $(($1 % 3)) -ne 0 ] || unset "nodes[$2 % 3]"
    fault="kill -9 ${nodes[*]}"
    for node in "${nodes[@]}"; do kill -9 "$(pid_of "$node")"; done
    for node in "${nodes[@]}"; do cluster kill "$node" --dir "$work/cluster" 2>/dev/null; done
    [ $(($2 % 2)) -eq 0 ] || hold "$3"
    for node in "${nodes[@]}"; do start_again "$node"; done
    count[kill-all]=$((${count[kill-all]-0} + 1))
}

fault_pause() {
    local node
    node=$(leader_or_any "$1")
    fault="pause $node"
    kill -STOP "$(pid_of "$node")"
    sleep 0.8 # longer than an election, as a rule
    hold_down "$node" "$2"
    kill -CONT "$(pid_of "$node")"
    count[pause]=$((${count[pause]-0} + 1))
}

times_full() { grep -c 'disk nearly full' "$work/cluster/$1/log" || true; }

fill() {
    if mountpoint -q "$work/cluster/$1/data"; then
        head -c 100G /dev/zero >"$work/cluster/$1/data/ballast" 2>/dev/null || true
    else
        : >"$work/faults/$1/full"
    fi
}
make_room() { rm -f "$work/cluster/$1/data/ballast" "$work/faults/$1/full"; }

# Waits until the node says once more than $2 times that its disk is full.
is_full() {
    for _ in $(seq 60); do
        [ "$(times_full "$1")" = "$2" ] || return 0
        sleep 0.05
    done
    return 1
}

fault_full-disk() {
    local node before
    node=$(leader_or_any "$1")
    fault="full disk of $node"
    before=$(times_full "$node")
    fill "$node"
    if is_full "$node" "$before"; then
        count[full-disk]=$((${count[full-disk]-0} + 1))
        hold_down "$node" "$2" # it would not start again: that writes a few bytes
    else
        fault+=" did not happen"
    fi
    make_room "$node"
}

# The next leader has stored what it refuses when it is sent again: nobody may call that refused.
fault_kill-full() {
    local node other before
    node=$(leader_or_any 0)
    fault="kill -9 $node, full disks of the others"
    other=$(others_of "$node" | head -n 1)
    before=$(times_full "$other")
    kill -9 "$(pid_of "$node")"
    for other in $(others_of "$node"); do fill "$other"; done
    cluster kill "$node" --dir "$work/cluster" 2>/dev/null
    sleep 1
    hold "$1"
    other=$(others_of "$node" | head -n 1)
    if is_full "$other" "$before"; then
        count[kill-full]=$((${count[kill-full]-0} + 1))
    else
        fault+=" did not happen"
    fi
    start_again "$node"
    for other in $(others_of "$node"); do make_room "$other"; done
}

# A failed write or sync: the node ends, since it does not know any more what is on its disk.
disk_error() { # name, random numbers
    local node before
    node=$(leader_or_any "$2")
    fault="failing $1 of $node"
    before=$(metrics_struck "$node")
    : >"$work/faults/$node/$1"
    if struck "$node" "$1" && ended "$node" "$before"; then
        grep -q 'stopped by a fault' <(tail -n 3 "$work/cluster/$node/log") || fail "$node does not say why it ended"
        hold_down "$node" "$3"
        start_again "$node"
        count[$1]=$((${count[$1]-0} + 1))
    else
        fault+=" did not happen"
    fi
}
fault_sync() { disk_error sync "$@"; }
fault_write() { disk_error write "$@"; }

fault_partition() {
    local node other cut=true
    node=$(leader_or_any "$1")
    if [ $(($2 % 4)) -eq 0 ]; then # two do not hear each other, the third hears both
        other=$(others_of "$node" | sed -n "$((1 + $2 % 2))p")
        fault="partition $node | $other"
        { network_cut "$node" "$other" && network_cut "$other" "$node"; } || cut=false
    else
        fault="partition $node | the others"
        for other in $(others_of "$node"); do
            { network_cut "$node" "$other" && network_cut "$other" "$node"; } || cut=false
        done
    fi
    hold_the_cut partition "$cut" "$3"
}

fault_one-way() {
    local node other cut=true
    node=$(leader_or_any "$1")
    for other in $(others_of "$node"); do
        case $(($2 % 3)) in
        0) fault="$node is not heard" && { network_cut "$node" "$other" || cut=false; } ;;
        1) fault="$node hears nothing" && { network_cut "$other" "$node" || cut=false; } ;;
        *) fault="$node is not heard by $other" && { network_cut "$node" "$other" || cut=false; } && break ;;
        esac
    done
    hold_the_cut one-way "$cut" "$3"
}

hold_the_cut() { # kind, whether it was seen to cut, random number
    "$2" || fault+=" did not happen"
    sleep 0.5
    hold "$3"
    network_heal
    ! "$2" || count[$1]=$((${count[$1]-0} + 1))
}

seen() { # how many faults, of all kinds
    local each sum=0
    for each in "${count[@]}"; do sum=$((sum + each)); done
    echo "$sum"
}

# Two faults, of which the second comes and goes while the first one holds. Both together may leave no
# quorum: then all stand until one has gone. With a full disk or a cut perhaps nothing is written, so no
# write would fail; and the network heals as a whole.
fault_overlap() {
    local two=(sync write kill pause full-disk partition one-way) first second before
    first=$(($1 % 7))
    second=$((first < 4 ? $2 % 7 : 2 + $2 % 3))
    before=$(seen)
    meanwhile=("fault_${two[second]}" "$2" "$3" "$1")
    "fault_${two[first]}" "$1" "$3" "$2"
    meanwhile=()
    [ "$(seen)" -ne $((before + 2)) ] || count[overlap]=$((${count[overlap]-0} + 1))
}

# Leadership is handed over, twice, in the middle of a fault that leaves a quorum. The time is that of a
# client that asks a node first which is paused.
fault_transfer() {
    local one=(kill pause full-disk partition one-way)
    meanwhile=(hand_over)
    "fault_${one[$1 % 5]}" "$1" "$2" "$3"
    meanwhile=()
}

hand_over() {
    local transfers=0
    for _ in 1 2; do
        ! estreat --timeout 8 transfer 2>/dev/null || transfers=$((transfers + 1))
    done
    fault="$transfers transfers"
    [ "$transfers" -eq 0 ] || count[transfer]=$((${count[transfer]-0} + 1))
}
