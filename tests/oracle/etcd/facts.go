// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go.etcd.io/etcd/raft/raftpb"
)

// What must hold whatever happens (paper, figure 3), and digests of logs: as ../facts.h.
type facts struct {
	leaders   map[uint64]uint64
	committed map[uint64]uint64
}

const digestEmpty uint64 = 0xcbf29ce484222325

func addByte(digest uint64, b byte) uint64 {
	return (digest ^ uint64(b)) * 0x100000001b3
}

func addNumber(digest, number uint64) uint64 {
	for shift := uint(0); shift < 64; shift += 8 {
		digest = addByte(digest, byte(number>>shift))
	}
	return digest
}

func digestOf(before uint64, entry raftpb.Entry) uint64 {
	digest := addNumber(addNumber(before, entry.Index), entry.Term)
	if entry.Type != raftpb.EntryNormal {
		return addByte(digest, 2)
	}
	empty := byte(0)
	if len(entry.Data) == 0 {
		empty = 1
	}
	digest = addByte(digest, empty)
	for _, b := range entry.Data {
		digest = addByte(digest, b)
	}
	return digest
}

func (f *facts) lead(term, id uint64) {
	if before := f.leaders[term]; before != 0 && before != id {
		say("unsafe nodes %d and %d lead term %d\n", before, id, term)
	}
	f.leaders[term] = id
}

func (f *facts) commit(id, index, digest uint64) {
	if before := f.committed[index]; before != 0 && before != digest {
		say("unsafe node %d commits another entry %d\n", id, index)
	}
	f.committed[index] = digest
}
