// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strings"
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

// membersText: "1v,2v,3l", the members that a node goes by, voters and learners; "-": nobody.
func (n *node) membersText() string {
	var members []string
	for id := uint64(1); id <= nodesMax; id++ {
		if contains(n.disk.members.Voters, id) {
			members = append(members, fmt.Sprintf("%dv", id))
		} else if contains(n.disk.members.Learners, id) {
			members = append(members, fmt.Sprintf("%dl", id))
		}
	}
	if len(members) == 0 {
		return "-"
	}
	return strings.Join(members, ",")
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
		say("node %d %s term %d vote %d leader %d last %d/%d log %016x members %s commit %d/%d "+
			"committed %016x\n", n.id, roleOf(n), status.Term, status.Vote, status.Lead, last,
			term, n.logDigest(), n.membersText(), status.Commit, commitTerm, n.digest)
	}
}

// leader leads the newest term; nil: nobody. One that was removed may go on for a while.
func (c *cores) leader() *node {
	var leader *node
	for _, n := range c.nodes {
		if !c.removed[n.id] && n.leads != 0 && (leader == nil || n.leads > leader.leads) {
			leader = n
		}
	}
	return leader
}

func (c *cores) atRest() bool {
	leader := c.leader()
	if leader == nil {
		return false
	}
	first := leader.core.BasicStatus()
	firstLast, _ := leader.end()
	rest := true
	for _, id := range leader.members() {
		n := c.node(id)
		status := n.core.BasicStatus()
		last, _ := n.end()
		rest = rest && status.Lead == first.Lead && status.Term == first.Term &&
			last == firstLast && status.Commit == firstLast
	}
	return rest
}

func (c *cores) bestCandidate() uint64 {
	var best *node
	var bestLast, bestTerm uint64
	for _, n := range c.nodes {
		last, term := n.end()
		if c.removed[n.id] || !n.isVoter(n.id) {
			continue
		}
		if best == nil || term > bestTerm || (term == bestTerm && last > bestLast) {
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
		if c.leader() == nil {
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
