// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"

	"go.etcd.io/etcd/raft"
)

// Bringing a cluster to rest, and what is printed of it: as ../stabilize.c.

const triesMax = 20

func (n *node) logDigest() uint64 {
	digest := digestEmpty
	last, _ := n.end()
	if last == 0 {
		return digest
	}
	entries, err := n.disk.Entries(1, last+1, math.MaxUint64)
	check(err)
	for _, entry := range entries {
		digest = digestOf(digest, entry)
	}
	return digest
}

func (c *cores) status() {
	for _, n := range c.nodes {
		status := n.core.BasicStatus()
		last, term := n.end()
		if status.Commit != n.applied {
			panic("not all that is committed is applied")
		}
		commitTerm, err := n.disk.Term(n.applied)
		check(err)
		say("node %d %s term %d vote %d leader %d last %d/%d log %016x commit %d/%d "+
			"committed %016x\n", n.id, roleOf(n), status.Term, status.Vote, status.Lead, last,
			term, n.logDigest(), status.Commit, commitTerm, n.digest)
	}
}

func (c *cores) atRest() bool {
	first := c.nodes[0].core.BasicStatus()
	firstLast, _ := c.nodes[0].end()
	rest := first.Lead != raft.None
	for _, n := range c.nodes {
		status := n.core.BasicStatus()
		last, _ := n.end()
		rest = rest && status.Lead == first.Lead && status.Term == first.Term &&
			last == firstLast && status.Commit == firstLast
	}
	return rest
}

func (c *cores) anyLeader() bool {
	for _, n := range c.nodes {
		if n.leads != 0 {
			return true
		}
	}
	return false
}

func (c *cores) bestCandidate() uint64 {
	best := c.nodes[0]
	bestLast, bestTerm := best.end()
	for _, n := range c.nodes[1:] {
		last, term := n.end()
		if term > bestTerm || (term == bestTerm && last > bestLast) {
			best, bestLast, bestTerm = n, last, term
		}
	}
	return best.id
}

func (c *cores) sweep() {
	for a := 1; a <= len(c.nodes); a++ {
		for b := a + 1; b <= len(c.nodes); b++ {
			c.exchange(uint64(a), uint64(b), math.MaxUint64)
		}
	}
}

func (c *cores) stabilize() {
	c.heal()
	for i := 0; i < triesMax && !c.atRest(); i++ {
		c.sweep()
		c.sweep()
		if !c.anyLeader() {
			for _, n := range c.nodes {
				c.tick(n.id, expiredTicks)
			}
			c.campaign(c.bestCandidate())
		}
	}
	if c.atRest() {
		say("stable\n")
	} else {
		say("unstable\n")
	}
}
