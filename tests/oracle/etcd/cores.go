// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"

	"go.etcd.io/etcd/raft"
	"go.etcd.io/etcd/raft/raftpb"
)

// A cluster of etcd's cores under the rules of ../README.md, as ../cores.h is one of ours.

const (
	electionTicks = 128
	expiredTicks  = 2 * electionTicks
	roundsMax     = 10000
)

// storage knows the members without a snapshot that names them.
type storage struct {
	*raft.MemoryStorage
	members raftpb.ConfState // as of what is applied
}

func (s *storage) InitialState() (raftpb.HardState, raftpb.ConfState, error) {
	hard, _, err := s.MemoryStorage.InitialState()
	return hard, s.members, err
}

type node struct {
	id       uint64
	removed  map[uint64]bool // as of what is applied
	core     *raft.RawNode
	disk     *storage
	applied  uint64
	digest   uint64 // of what is applied
	leads    uint64 // the term; 0: none
	gaveVote bool   // while it was a pre-candidate, see noteVote
}

type cores struct {
	nodes         []*node
	voters        []uint64             // who is a member from the start
	removed       map[uint64]bool      // whoever was
	links         [][][]raftpb.Message // [from-1][to-1]
	cuts          [][]bool
	entryMessages bool
	facts         facts
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// allow notes that a difference of the two cores was bridged; README.md has the reasons.
func allow(reason string) {
	say("allowed %s\n", reason)
}

// newCores: count empty nodes; the first so many voters are the cluster, the others wait.
func newCores(count, voters uint64, entryMessages bool) *cores {
	c := &cores{
		entryMessages: entryMessages,
		removed:       map[uint64]bool{},
		facts:         facts{leaders: map[uint64]uint64{}, committed: map[uint64]uint64{}},
	}
	for id := uint64(1); id <= count; id++ {
		n := &node{
			id:      id,
			removed: map[uint64]bool{},
			disk:    &storage{MemoryStorage: raft.NewMemoryStorage()},
			digest:  digestEmpty,
		}
		if id <= voters {
			c.voters = append(c.voters, id)
		}
		c.nodes = append(c.nodes, n)
		c.links = append(c.links, make([][]raftpb.Message, count))
		c.cuts = append(c.cuts, make([]bool, count))
	}
	for _, n := range c.nodes {
		if n.id <= voters {
			n.disk.members.Voters = c.voters
		}
		c.boot(n)
	}
	return c
}

func (c *cores) node(id uint64) *node {
	return c.nodes[id-1]
}

func (c *cores) boot(n *node) {
	messageBytes := uint64(1024 * 1024)
	if c.entryMessages {
		messageBytes = 0 // one entry
	}
	core, err := raft.NewRawNode(&raft.Config{
		ID:                        n.id,
		ElectionTick:              electionTicks,
		HeartbeatTick:             1,
		Storage:                   n.disk,
		Applied:                   n.applied,
		MaxSizePerMsg:             messageBytes,
		MaxCommittedSizePerReady:  math.MaxUint64,
		MaxInflightMsgs:           256,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		Logger:                    quiet{},
	})
	check(err)
	n.core = core
	n.gaveVote = false
	c.drain(n)
}

// ---- Links ----

func isElection(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgVote, raftpb.MsgVoteResp,
		raftpb.MsgTimeoutNow:
		return true
	}
	return false
}

func isLeaders(t raftpb.MessageType) bool {
	return t == raftpb.MsgApp || t == raftpb.MsgHeartbeat
}

// lose takes out of a link what is an append, or also what is a heartbeat.
func (c *cores) lose(from, to uint64, heartbeats bool) {
	link := &c.links[from-1][to-1]
	kept := (*link)[:0]
	for _, m := range *link {
		lost := m.Type == raftpb.MsgApp || (heartbeats && isLeaders(m.Type))
		if !lost {
			kept = append(kept, m)
		}
	}
	*link = kept
}

func (c *cores) post(m raftpb.Message) {
	half := c.cuts[m.To-1][m.From-1] && m.Type == raftpb.MsgApp
	if !c.cuts[m.From-1][m.To-1] && !half {
		link := &c.links[m.From-1][m.To-1]
		*link = append(*link, m)
	}
}

// ---- One core ----

// take stores and applies what the core wants, until it wants nothing, and returns its messages.
func (c *cores) take(n *node) []raftpb.Message {
	var messages []raftpb.Message
	for n.core.HasReady() {
		ready := n.core.Ready()
		if !raft.IsEmptyHardState(ready.HardState) {
			check(n.disk.SetHardState(ready.HardState))
		}
		check(n.disk.Append(ready.Entries))
		messages = append(messages, ready.Messages...)
		for _, entry := range ready.CommittedEntries {
			if entry.Type == raftpb.EntryConfChange {
				c.applyChange(n, entry)
			}
			n.digest = digestOf(n.digest, entry)
			n.applied = entry.Index
			c.facts.commit(n.id, entry.Index, n.digest)
		}
		n.core.Advance(ready)
	}
	return messages
}

// noteRole: what a leader had under way is lost when it leads no longer.
func (c *cores) noteRole(n *node) {
	status := n.core.BasicStatus()
	leads := uint64(0)
	if status.RaftState == raft.StateLeader {
		leads = status.Term
	}
	if n.leads != 0 && n.leads != leads {
		for _, other := range c.nodes {
			c.lose(n.id, other.id, true)
		}
	}
	if leads != 0 && n.leads != leads {
		c.facts.lead(leads, n.id)
	}
	n.leads = leads
	if status.RaftState != raft.StatePreCandidate {
		n.gaveVote = false
	}
}

func (c *cores) drain(n *node) {
	for _, m := range c.take(n) {
		c.post(m)
	}
	c.noteRole(n)
}

func (c *cores) handOver(m raftpb.Message) {
	n := c.node(m.To)
	before := n.core.BasicStatus()
	if isIgnored(n, before, m) {
		return
	}
	// An error means that the message was of no use.
	_ = n.core.Step(m)
	answers := c.take(n)
	noteVote(n, before, m)
	for _, answer := range bridgeAnswers(n, before, m, answers) {
		c.post(answer)
	}
	c.noteRole(n)
}

// ---- Time ----

func (c *cores) tick(id, ticks uint64) {
	n := c.node(id)
	for i := uint64(0); i < ticks; i++ {
		if n.core.BasicStatus().RaftState == raft.StateLeader {
			n.core.Tick()
			c.drain(n)
		} else {
			n.core.TickQuiesced() // a tick after which nobody campaigns
		}
	}
}

func (c *cores) campaign(id uint64) {
	n := c.node(id)
	if n.core.BasicStatus().RaftState == raft.StateLeader {
		return
	}
	n.gaveVote = false
	c.tick(id, expiredTicks)
	n.core.Tick()
	c.drain(n)
}

func (c *cores) tickLeader(id uint64) {
	if c.node(id).core.BasicStatus().RaftState == raft.StateLeader {
		c.tick(id, 1)
	}
}

// ---- Commands ----

func (c *cores) propose(id, number uint64) {
	n := c.node(id)
	err := n.core.Propose([]byte(fmt.Sprintf("%08d", number%100000000)))
	if err != nil {
		say("refused\n")
		return
	}
	c.drain(n)
	last, _ := n.end()
	say("accepted %d\n", last)
}

// takeLink takes all that is on a link now; what comes in the meantime is behind it.
func (c *cores) takeLink(from, to uint64) []raftpb.Message {
	taken := c.links[from-1][to-1]
	c.links[from-1][to-1] = nil
	return taken
}

func (c *cores) deliverElections(from, to uint64) {
	for _, m := range c.takeLink(from, to) {
		if isElection(m.Type) {
			c.handOver(m)
		} else {
			link := &c.links[from-1][to-1]
			*link = append(*link, m)
		}
	}
}

func (n *node) end() (index, term uint64) {
	index, err := n.disk.LastIndex()
	check(err)
	term, err = n.disk.Term(index)
	check(err)
	return index, term
}

func (c *cores) deliver(from, to uint64, entries *uint64) {
	for _, m := range c.takeLink(from, to) {
		isAppend := m.Type == raftpb.MsgApp
		if isAppend && *entries == 0 {
			continue
		}
		index, term := c.node(to).end()
		c.handOver(m)
		nowIndex, nowTerm := c.node(to).end()
		if isAppend && (index != nowIndex || term != nowTerm) {
			*entries--
		}
	}
}

func (c *cores) exchange(a, b, entriesMax uint64) {
	entries := entriesMax
	for twice := 0; twice < 2; twice++ {
		c.tickLeader(a)
		c.tickLeader(b)
		for rounds := 0; len(c.links[a-1][b-1])+len(c.links[b-1][a-1]) > 0; rounds++ {
			if rounds >= roundsMax {
				panic("the two do not come to an end")
			}
			c.deliver(a, b, &entries)
			c.deliver(b, a, &entries)
		}
	}
}

func (c *cores) repeat(from, to uint64) {
	link := &c.links[from-1][to-1]
	*link = append(*link, *link...)
}

func (c *cores) drop(from, to uint64) {
	c.links[from-1][to-1] = nil
}

func (c *cores) cut(from, to uint64) {
	c.cuts[from-1][to-1] = true
	c.drop(from, to)
	c.lose(to, from, false)
}

func (c *cores) isolate(id uint64) {
	for _, other := range c.nodes {
		if other.id != id {
			c.cut(id, other.id)
			c.cut(other.id, id)
		}
	}
}

func (c *cores) heal() {
	for _, row := range c.cuts {
		for i := range row {
			row[i] = false
		}
	}
}

func (c *cores) transfer(id, target uint64) {
	n := c.node(id)
	if n.core.BasicStatus().RaftState != raft.StateLeader || id == target {
		return
	}
	n.core.TransferLeader(target)
	c.drain(n)
}
