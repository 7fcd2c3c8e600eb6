// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go.etcd.io/etcd/raft"
	"go.etcd.io/etcd/raft/raftpb"
)

// Where the two cores answer differently, and both may. Each function here recognises one such
// case exactly, gives etcd's core the consequence of our core's answer (a message that is refused
// or lost, which Raft allows at any time), and says "allowed REASON". README.md argues each.

// isIgnored: our core makes nothing of this message, etcd's would.
func isIgnored(n *node, before raft.BasicStatus, m raftpb.Message) bool {
	asksStill := before.RaftState == raft.StatePreCandidate
	granted := m.Type == raftpb.MsgPreVoteResp && !m.Reject
	switch {
	case n.removed[m.From] && !raft.IsResponseMsg(m.Type):
		allow("removed-asks")
		return true
	case granted && asksStill && m.Term != before.Term+1:
		allow("old-pre-vote-reply")
		return true
	case granted && asksStill && n.gaveVote:
		allow("vote-ends-pre-vote")
		return true
	case m.Type == raftpb.MsgTimeoutNow && before.RaftState == raft.StateFollower &&
		m.Term == before.Term && before.Lead != m.From:
		allow("timeout-now-from-stranger")
		return true
	}
	return false
}

// noteVote: a pre-candidate that votes for another in its own term stays one in etcd.
func noteVote(n *node, before raft.BasicStatus, m raftpb.Message) {
	after := n.core.BasicStatus()
	if m.Type == raftpb.MsgVote && before.RaftState == raft.StatePreCandidate &&
		after.RaftState == raft.StatePreCandidate && before.Term == after.Term &&
		before.Vote == raft.None && after.Vote == m.From {
		n.gaveVote = true
	}
}

// bridgeAnswers: what goes out because of `m`.
func bridgeAnswers(n *node, before raft.BasicStatus, m raftpb.Message,
	answers []raftpb.Message) []raftpb.Message {
	if m.Type == raftpb.MsgAppResp && n.core.BasicStatus().Commit > before.Commit {
		return withoutCommitNews(answers)
	}
	refusal := raftpb.Message{From: m.To, To: m.From, Term: before.Term, Reject: true}
	switch {
	case m.Type == raftpb.MsgPreVote && len(answers) == 0:
		refusal.Type = raftpb.MsgPreVoteResp
		allow("silent-lease")
		return []raftpb.Message{refusal}
	case m.Type == raftpb.MsgVote && m.Term < before.Term && len(answers) == 0:
		refusal.Type = raftpb.MsgVoteResp
		allow("silent-old-vote")
		return []raftpb.Message{refusal}
	}
	return answers
}

// withoutCommitNews: an acknowledgement makes etcd's leader tell a new commit index at once, in
// appends without entries; ours tells it with the next entries or heartbeat.
func withoutCommitNews(answers []raftpb.Message) []raftpb.Message {
	kept := answers[:0]
	for _, answer := range answers {
		if answer.Type == raftpb.MsgApp && len(answer.Entries) == 0 {
			allow("commit-news")
		} else {
			kept = append(kept, answer)
		}
	}
	return kept
}

// roleOf is the role that our core has in the same place.
func roleOf(n *node) string {
	switch n.core.BasicStatus().RaftState {
	case raft.StateLeader:
		return "leader"
	case raft.StateCandidate:
		return "candidate"
	case raft.StatePreCandidate:
		if n.gaveVote {
			return "follower"
		}
		return "pre-candidate"
	}
	return "follower"
}
