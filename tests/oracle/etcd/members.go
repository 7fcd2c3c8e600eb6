// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"

	"go.etcd.io/etcd/raft/raftpb"
)

// Changes of the members: as ../members.c.

const (
	nodesMax     = 7
	votersMin    = 3
	changeRounds = 2
)

func contains(ids []uint64, id uint64) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}

func without(ids []uint64, id uint64) []uint64 {
	var rest []uint64
	for _, other := range ids {
		if other != id {
			rest = append(rest, other)
		}
	}
	return rest
}

func (n *node) isVoter(id uint64) bool {
	return contains(n.disk.members.Voters, id)
}

func (n *node) members() []uint64 {
	members := append([]uint64{}, n.disk.members.Voters...)
	return append(members, n.disk.members.Learners...)
}

// applyChange: our entries hold the whole membership, so a node that was added needs none before
// it; etcd's hold the change alone, and such a node begins with the members of the start.
func (c *cores) applyChange(n *node, entry raftpb.Entry) {
	var change raftpb.ConfChange
	check(change.Unmarshal(entry.Data))
	if len(n.disk.members.Voters) == 0 {
		for _, voter := range c.voters {
			n.core.ApplyConfChange(raftpb.ConfChange{Type: raftpb.ConfChangeAddNode, NodeID: voter})
		}
	}
	n.disk.members = *n.core.ApplyConfChange(change)
	if change.Type == raftpb.ConfChangeRemoveNode {
		n.removed[change.NodeID] = true
	}
}

// after is who is a member once the change is made; false: there is no such change. etcd's core
// leaves it to its driver to ask for changes that make sense.
func (n *node) after(change raftpb.ConfChangeType, target uint64) (raftpb.ConfState, bool) {
	voters, learners := n.disk.members.Voters, n.disk.members.Learners
	isVoter, isLearner := contains(voters, target), contains(learners, target)
	switch change {
	case raftpb.ConfChangeAddLearnerNode:
		return raftpb.ConfState{Voters: voters, Learners: append(without(learners, 0), target)},
			!isVoter && !isLearner && !n.removed[target]
	case raftpb.ConfChangeAddNode:
		return raftpb.ConfState{Voters: append(without(voters, 0), target),
			Learners: without(learners, target)}, isLearner
	default:
		return raftpb.ConfState{Voters: without(voters, target),
			Learners: without(learners, target)}, isVoter || isLearner
	}
}

// audience: those who take part, the leader, and all members of after the change who hear it and
// it them.
func (c *cores) audience(id uint64, after raftpb.ConfState) map[uint64]bool {
	found := map[uint64]bool{id: true}
	for _, other := range append(append([]uint64{}, after.Voters...), after.Learners...) {
		if !c.cuts[id-1][other-1] && !c.cuts[other-1][id-1] {
			found[other] = true
		}
	}
	return found
}

func isQuorum(voters []uint64, audience map[uint64]bool) bool {
	present := 0
	for _, id := range voters {
		if audience[id] {
			present++
		}
	}
	return len(voters) >= votersMin && present > len(voters)/2
}

// willCommit: nobody knows of a later term, and there is a quorum of before and of after.
func (c *cores) willCommit(n *node, after raftpb.ConfState, audience map[uint64]bool) bool {
	term := n.core.BasicStatus().Term
	for id := range audience {
		if c.node(id).core.BasicStatus().Term > term {
			return false
		}
	}
	return isQuorum(n.disk.members.Voters, audience) && isQuorum(after.Voters, audience)
}

func (c *cores) dropAll(id uint64) {
	for _, other := range c.nodes {
		c.drop(id, other.id)
		c.drop(other.id, id)
	}
}

// submit proposes a change. Where etcd's core refuses one it takes an empty entry in its place.
func (c *cores) submit(n *node, change raftpb.ConfChangeType, target uint64) bool {
	var err error
	if n.isTooEager() {
		allow("change-before-commit")
		err = n.core.Propose(nil)
	} else {
		err = n.core.ProposeConfChange(raftpb.ConfChange{Type: change, NodeID: target})
	}
	if err != nil {
		return false // as well while leadership is handed over
	}
	c.drain(n)
	last, _ := n.end()
	entries, err := n.disk.Entries(last, last+1, 1)
	check(err)
	return entries[0].Type == raftpb.EntryConfChange
}

// isTooEager: of the leader's own term nothing is committed, but all of before is applied.
func (n *node) isTooEager() bool {
	term := n.core.BasicStatus().Term
	applied, err := n.disk.Term(n.applied)
	check(err)
	last, _ := n.end()
	if applied == term || n.applied == last {
		return false
	}
	next, err := n.disk.Term(n.applied + 1)
	check(err)
	return next == term
}

// trySecond: before the change is committed another one is refused, that of the last member of
// after it but the leader.
func (c *cores) trySecond(n *node, after raftpb.ConfState) {
	var target uint64
	for _, id := range append(append([]uint64{}, after.Voters...), after.Learners...) {
		if id != n.id && id > target {
			target = id
		}
	}
	if c.submit(n, raftpb.ConfChangeRemoveNode, target) {
		say("second accepted\n")
	} else {
		say("second refused\n")
	}
}

func (c *cores) spread(n *node, audience map[uint64]bool) {
	last, _ := n.end()
	for round := 0; round < changeRounds; round++ {
		for _, other := range c.nodes {
			if other != n && audience[other.id] {
				c.exchange(n.id, other.id, math.MaxUint64)
			}
		}
	}
	for id := range audience {
		if c.node(id).applied < last {
			say("error node %d has not committed the change\n", id)
		}
	}
}

func (c *cores) change(change raftpb.ConfChangeType, id, target uint64) {
	n := c.node(id)
	leads := n.leads != 0 && target >= 1 && target <= uint64(len(c.nodes))
	isRemove := change == raftpb.ConfChangeRemoveNode
	if leads && isRemove && id == target {
		allow("remove-itself")
		say("refused\n")
		return
	}
	after, exists := n.after(change, target)
	if !leads || !exists {
		say("refused\n")
		return
	}
	audience := c.audience(id, after)
	if !c.willCommit(n, after, audience) {
		say("unheard\n")
		return
	}
	c.dropAll(id)
	if !c.submit(n, change, target) {
		say("refused\n")
		return
	}
	last, _ := n.end()
	say("changed %d\n", last)
	c.trySecond(n, after)
	c.spread(n, audience)
	if isRemove {
		c.removed[target] = true
		c.drop(id, target)
		c.drop(target, id)
		c.boot(c.node(target))
	}
}
